"""Neuroglancer precomputed: https://neuroglancer-docs.web.app/datasource/precomputed/volume.html.

World coordinates refer to corners: voxel i covers [i, i + 1) times the resolution, in nanometers, so that the origin of
all levels is the same. The axes are x, y, z and channel. A volume from elsewhere may be at other places than multiples
of the voxels; the record of :mod:`._record` has the exact ones.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from typing import Any

from ..._util.units import NANOMETERS
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, replace_grid
from ..location import Location
from ..metadata import Metadata
from ..volume import Layout, LevelMetadata, Loss, StoredVolume, checked_path, no_label_names
from . import _record
from ._sharded_zeros import ShardedZeros
from ._traits import Traits

DRIVER = "neuroglancer_precomputed"
FAMILY = "precomputed"
KEEPS = frozenset({"name", "user"})
HAS_FILL_VALUE = False
FIXED_AXES: tuple[str, ...] = ("c",)
DESCRIBES_IN_LEVELS = False
TRAITS = Traits(
    ("info",),
    "precomputed",
    has_shards=True,
    positions_are_corners=True,
    records_voxel_offset=True,
    chunks_may_have_suffix=True,
    skips_empty=False,  # (cloud-volume and others refuse missing chunks)
    grid_key="info",
)
label_names = no_label_names
AXES = ("x", "y", "z", "c")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")
#: Entries of the info file that define the volume.
OF_VOLUME = ("@type", "type", "data_type", "num_channels", "scales")
#: Entries that name folders of meshes and the like, relative to the info file.
OF_FOLDERS = ("mesh", "skeletons", "segment_properties")
#: Entries with a meaning in this format, so that user attributes cannot have these names.
RESERVED = frozenset([*OF_VOLUME, *OF_FOLDERS])
#: Entries of a scale that define how it is stored.
OF_SCALE = ("key", "size", "resolution", "voxel_offset", "chunk_sizes", "encoding", "sharding", "jpeg_quality",
        "png_level", "hidden", "compressed_segmentation_block_size")  # fmt: skip
#: Entries of a scale that are parameters of its encoding.
OF_ENCODING = ("jpeg_quality", "png_level")


def axes_order(grid: Grid) -> tuple[str, ...]:
    """Return x, y, z and channel; raise StoreError for other axes."""
    unknown_axes = [axis for axis in grid.axes if axis not in AXES]
    if unknown_axes:
        names = ", ".join(unknown_axes)
        raise StoreError(f"precomputed has the axes x, y, z and c, not {names}; choose another format")
    return AXES


def detect(location: Location) -> bool:
    """Return whether there is an info file."""
    return location.read("info") is not None


def read(location: Location) -> StoredVolume:
    """Return the volume that an info file describes."""
    info = location.json("info") or {}
    try:
        scales, notes = info["scales"], _record.record_of(info)
        channels = int(info["num_channels"])
        grids = _at_recorded_translation([_grid(scale, channels) for scale in scales], notes)
        paths = [checked_path(str(scale["key"]), location.name) for scale in scales]
        first = scales[0]
        layout = at_level(Layout((*first["chunk_sizes"][0], channels), None, None, 0, first), grids[0])
        kind: Any = {"segmentation": "labels", "image": "image"}[info["type"]]
        losses = {k: loss for k, scale in enumerate(scales) if (loss := _loss(scale, channels)) is not None}
        return StoredVolume(
            "precomputed",
            location,
            grids,
            paths,
            str(info["data_type"]).lower(),
            layout,
            kind,
            {},
            notes,
            _metadata(info, notes),
            losses=losses,
        )
    except UNREADABLE as error:
        raise StoreError(f"{location.name}/info cannot be understood: {brief(error)}") from None


def _grid(scale: dict[str, Any], channels: int) -> Grid:
    resolution = [float(r) for r in scale["resolution"]]
    offset = [int(o) for o in scale.get("voxel_offset", (0, 0, 0))]
    corner = [(o + 0.5) * r for o, r in zip(offset, resolution, strict=True)]
    units = ["nanometer"] * 3 + [None]
    return Grid([*scale["size"], channels], AXES, [*resolution, 1], [*corner, 0], units, [*offset, 0])


def _at_recorded_translation(grids: list[Grid], notes: dict[str, Any]) -> list[Grid]:
    """Return grids that are moved so that level 0 is where its source was, if the record of it is up to date."""
    recorded, base = notes.get("translation"), grids[0]
    offset = notes.get("voxel_offset") or {}
    if recorded is None or [int(offset.get(axis, 0)) for axis in AXES] != list(base.voxel_offset):
        return grids
    moved = [float(t) - at for t, at in zip(recorded, base.translation, strict=True)]
    places = [[at + by for at, by in zip(grid.translation, moved, strict=True)] for grid in grids]
    places[0] = [float(t) for t in recorded]  # (exactly)
    return [replace_grid(grid, translation=place) for grid, place in zip(grids, places, strict=True)]


def _loss(scale: dict[str, Any], channels: int) -> Loss | None:
    """Return the errors of jpeg, which grow with the quantization that libjpeg derives from the quality.

    They are those of noise, the worst case, rounded up: at the quality of 75, up to 46, and 7.7 on average; levels of
    noise with three channels, whose colours jpeg stores at half the resolution, up to 100, and 19 on average.
    """
    if scale["encoding"] != "jpeg":
        return None
    quality = min(100, max(1, int(scale.get("jpeg_quality", 75))))
    quantization = max(10.0, 200 - 2 * quality if quality >= 50 else 5000 / quality) / 50
    if channels == 3:
        return Loss("jpeg, which halves the resolution of colours,", 255, round(24 * max(1, quantization), 1))
    return Loss("jpeg", round(64 * quantization), round(8 * quantization, 1))


def _metadata(info: dict[str, Any], notes: dict[str, Any]) -> Metadata:
    """Return what an info file says beyond its scales. Names of folders stay with them."""
    of_folders = sorted(key for key in OF_FOLDERS if key in info)
    of_scale = sorted(f"{key} (of a scale)" for key in info["scales"][0] if key not in OF_SCALE)
    return _record.metadata_of(info, RESERVED, str(notes.get("name") or ""), [*of_folders, *of_scale])


def level_paths(grids: list[Grid], first: str | None) -> list[str]:
    """Return the resolutions of all levels as their paths, after that of an existing level 0."""
    names = [axis for axis in AXES[:3] if axis in grids[0].axes]
    keys = ["_".join(f"{grid.scale[grid.axes.index(axis)]:g}" for axis in names) for grid in grids]
    if len(set(keys)) < len(keys):
        keys = [f"{key}_{k}" for k, key in enumerate(keys)]
    if first is None:
        return keys
    return [first, *(f"{key}_{k}" if key == first else key for k, key in enumerate(keys[1:], 1))]


def at_level(layout: Layout, grid: Grid) -> Layout:
    """Return the layout of a level: the extents of its shards depend on its shape, because that numbers the chunks."""
    sharding = (layout.native or {}).get("sharding")
    if sharding is None and layout.shards is None:
        return layout
    axes = [grid.axes.index(axis) if axis in grid.axes else None for axis in AXES[:3]]
    chunks = [1 if a is None else min(layout.chunks[a], max(1, grid.shape[a])) for a in axes]
    extents = [1 if a is None else grid.shape[a] for a in axes]
    if sharding is not None:
        bits = int(sharding["preshift_bits"]) + int(sharding["minishard_bits"])
        if sharding.get("hash") != "identity" or bits + int(sharding["shard_bits"]) < sum(_bits(chunks, extents)):
            bits = 64  # (a shard has chunks from anywhere, so the level can only be written as a whole)
    else:
        counts = [s // c for s, c in zip(layout.shards or (), layout.chunks, strict=True)]
        if any(count & (count - 1) for count in counts):
            raise ValueError(f"shards: {layout.shards} is not 1, 2, 4, ... chunks of {layout.chunks} along every axis")
        bits = math.prod(counts).bit_length() - 1
    shard = list(layout.chunks)
    for a, chunk, count in zip(axes, chunks, _bits(chunks, extents, bits), strict=True):
        if a is not None:
            shard[a] = chunk << count
    clipped = tuple(chunks[axes.index(a)] if a in axes else chunk for a, chunk in enumerate(layout.chunks))
    return replace(layout, chunks=clipped, shards=tuple(shard))


def _bits(chunks: list[int], extents: list[int], limit: int = 64) -> list[int]:
    """Return how many of the first bits of a chunk's number (its compressed Morton code) are those of x, y and z."""
    bits = [0, 0, 0]
    for bit in range(64):
        for axis in range(3):
            if 1 << bit < -(-extents[axis] // chunks[axis]) and sum(bits) < limit:
                bits[axis] += 1
    return bits


def first_chunk(location: Location, path: str) -> str | None:
    """Return the key of a level's first chunk; None if chunks are in shards."""
    scales = (location.json("info") or {}).get("scales", [])
    scale = next((scale for scale in scales if scale["key"] == path), None)
    if scale is None or "sharding" in scale:
        return None
    offset = scale.get("voxel_offset", (0, 0, 0))
    spans = zip(offset, scale["chunk_sizes"][0], scale["size"], strict=True)
    return "_".join(f"{start}-{start + min(chunk, size)}" for start, chunk, size in spans)


def chunk_pattern(location: Location, path: str) -> re.Pattern[str]:
    """Return a pattern of the keys of a level's chunks or shards."""
    return re.compile(r"-?\d+--?\d+(_-?\d+--?\d+){2}|[0-9a-f]+\.(shard|index|data)")


def open_spec(location: Location, path: str) -> dict[str, Any]:
    """Return a TensorStore specification to open a level."""
    return {"driver": DRIVER, "kvstore": location.spec, "scale_metadata": {"key": path}}


def zeros_of(handle: Any, context: Any) -> ShardedZeros | None:
    """Return what adds chunks of zeros, which TensorStore leaves out of shards."""
    return ShardedZeros(handle, context) if handle.spec().to_json()["scale_metadata"].get("sharding") else None


def new_spec(location: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """Return a TensorStore specification to create a level; raise StoreError if the format cannot store it."""
    if dtype not in DTYPES:
        raise StoreError(f"precomputed stores {', '.join(DTYPES)}, not {dtype}; convert, or choose another format")
    if layout.fill not in (0, 0.0, None):
        raise StoreError(f"precomputed has the fill value 0, not {layout.fill!r}; choose another format")
    native = layout.native or {}
    if layout.codec not in (None, "gzip", "raw"):
        raise StoreError(
            f"precomputed has the codecs gzip (of shards) and raw, not {layout.codec}; choose one of these"
        )
    labels = kind == "labels" and dtype in ("uint32", "uint64")
    encoding = native.get("encoding") or ("compressed_segmentation" if labels else "raw")
    scale: dict[str, Any] = {
        "key": path,
        "size": list(grid.shape[:3]),
        "voxel_offset": list(grid.voxel_offset[:3]),
        "resolution": [s * _nanometers(u) for s, u in zip(grid.scale[:3], grid.units[:3], strict=True)],
        "chunk_size": [min(chunk, max(1, n)) for chunk, n in zip(layout.chunks[:3], grid.shape[:3], strict=True)],
        "encoding": encoding,
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = native.get("compressed_segmentation_block_size", [8, 8, 8])
    scale |= {key: native[key] for key in OF_ENCODING if key in native}
    if layout.shards is not None:
        scale["sharding"] = native.get("sharding") or _sharding(scale, layout)
    volume = {
        "type": "segmentation" if kind == "labels" else "image",
        "data_type": dtype,
        "num_channels": grid.shape[3],
    }
    return {"driver": DRIVER, "kvstore": location.spec, "multiscale_metadata": volume, "scale_metadata": scale}


def _nanometers(unit: str | None) -> float:
    """Return the length of a unit in nanometers; warn if it is not known to be a length."""
    if not unit:
        return 1.0
    if unit not in NANOMETERS:
        warnings.warn(
            f"units: precomputed stores nanometers, and {unit!r} is not a known length; numbers are kept", stacklevel=2
        )
    return NANOMETERS.get(unit, 1.0)


def _sharding(scale: dict[str, Any], layout: Layout) -> dict[str, Any]:
    shard_bits = sum(_bits(scale["chunk_size"], list((layout.shards or ())[:3])))
    minishard_bits = max(0, shard_bits - 9)  # (so that the index of a minishard has 512 entries)
    level_bits = sum(_bits(scale["chunk_size"], scale["size"]))
    encoding = "raw" if layout.codec == "raw" else "gzip"
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "hash": "identity",
        "preshift_bits": shard_bits - minishard_bits,
        "minishard_bits": minishard_bits,
        "shard_bits": max(0, level_bits - shard_bits),
        "minishard_index_encoding": "gzip",
        "data_encoding": encoding,
    }


def describe(location: Location, levels: LevelMetadata) -> None:
    """Sort the scales that TensorStore wrote to the info file, and add user attributes and the record of the levels."""
    info = location.json("info") or {}
    by_key = {scale["key"]: scale for scale in info["scales"]}
    info["scales"] = [by_key[path] for path in levels.paths]
    _record.add_to(info, levels, levels.metadata.user, RESERVED)
    if levels.metadata.name:
        info[_record.KEY]["name"] = levels.metadata.name
    base, translation = levels.grids[0], dict(zip(AXES, _grid(info["scales"][0], 1).translation, strict=True))
    exact = zip(base.axes, base.translation, base.units, strict=True)
    exact_translation = translation | {axis: t * NANOMETERS.get(unit or "", 1.0) for axis, t, unit in exact}
    if exact_translation != translation:
        info[_record.KEY]["translation"] = list(exact_translation.values())
    location.write_json("info", info)
