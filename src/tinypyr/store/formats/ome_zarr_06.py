"""OME-Zarr 0.6 on Zarr v3: https://ngff.openmicroscopy.org/0.6/.

Arrays are stored as in 0.5. Axes belong to coordinate systems, and transformations name their input and output.
"""

from __future__ import annotations

from ..location import Location
from ..volume import LevelMetadata, StoredVolume
from . import ome_zarr_05

NAME = "ome-zarr-0.6"
DRIVER = ome_zarr_05.DRIVER
FAMILY = ome_zarr_05.FAMILY
KEEPS = ome_zarr_05.KEEPS | {"systems"}
HAS_FILL_VALUE = ome_zarr_05.HAS_FILL_VALUE
TRAITS = ome_zarr_05.TRAITS
FIXED_AXES = ome_zarr_05.FIXED_AXES
DESCRIBES_IN_LEVELS = ome_zarr_05.DESCRIBES_IN_LEVELS
axes_order = ome_zarr_05.axes_order
at_level = ome_zarr_05.at_level
zeros_of = ome_zarr_05.zeros_of
open_spec = ome_zarr_05.open_spec
new_spec = ome_zarr_05.new_spec
first_chunk = ome_zarr_05.first_chunk
chunk_pattern = ome_zarr_05.chunk_pattern
create_group = ome_zarr_05.create_group
level_paths = ome_zarr_05.level_paths
label_names = ome_zarr_05.label_names


def detect(location: Location) -> bool:
    """Return whether there is a group of Zarr v3 with this version of OME-Zarr, or with coordinate systems."""
    return bool(ome_zarr_05.has_systems(location))


def read(location: Location) -> StoredVolume:
    """Return the volume of a group of levels."""
    return ome_zarr_05.read_as(NAME, location)


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the group's zarr.json."""
    ome_zarr_05.describe_as("0.6", location, levels)
