"""Properties of a format for planning, checking and viewing, beside its functions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """Properties of a format.

    Attributes
    ----------
    metadata_keys : tuple of str
        Keys of which a store has at least one, for messages.
    viewer_scheme : str
        Neuroglancer's name of the format.
    has_shards : bool
        Whether chunks can be packed into shards.
    takes_shards : bool
        Whether new stores have the shards of their source unless the arguments say otherwise.
    can_link : bool
        Whether level 0 of a new store can be a link to that of another store.
    positions_are_corners : bool
        Whether a level's position in the metadata is that of its corner, which does not depend on the method.
    records_voxel_offset : bool
        Whether grids are read with their voxel offsets; otherwise these are in the notes.
    chunks_may_have_suffix : bool
        Whether other tools store chunks under their names with the suffix of a compression.
    skips_empty : bool
        Whether chunks of the fill value alone are left out unless the caller says otherwise.
    grid_key : str, optional
        Key of the metadata of all levels if the grid of a store cannot be replaced while levels are added to it.
    """

    metadata_keys: tuple[str, ...]
    viewer_scheme: str
    has_shards: bool = False
    takes_shards: bool = False
    can_link: bool = False
    positions_are_corners: bool = False
    records_voxel_offset: bool = False
    chunks_may_have_suffix: bool = False
    skips_empty: bool = True
    grid_key: str | None = None
