"""One module per format: what its metadata says, how its arrays are opened and created, what levels add to it.

To add one: a module with these functions, and its line in FORMATS.

    FIXED                axes that levels cannot have fewer voxels along
    detect(place)        whether a store of this format lies there
    read(place)          its Volume, levels that exist included
    at_level(...)        how a level is stored, where the base is stored so
    axes_order(grid)     the order in which it stores the axes of a grid
    chunk_pattern(...)   what the keys of a level's chunks look like, below the level
    open_spec(...)       for TensorStore, to open a level
    new_spec(...)        for TensorStore, to create a level; refuses what the format cannot hold
    describe(...)        write what readers need to find the levels and to place them
"""

from __future__ import annotations

from types import ModuleType

from . import n5, ome_zarr_04, ome_zarr_05, precomputed

#: By the name that users give.
FORMATS: dict[str, ModuleType] = {
    "ome-zarr-0.5": ome_zarr_05,
    "ome-zarr-0.4": ome_zarr_04,
    "n5": n5,
    "precomputed": precomputed,
}
