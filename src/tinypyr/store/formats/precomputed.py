"""Neuroglancer precomputed: https://neuroglancer-docs.web.app/datasource/precomputed/volume.html.

Corner-based: voxel i covers [i, i + 1) times the resolution, in nanometres, so levels need no half-voxel shift. The
axes are x, y, z and channel.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from typing import Any

from ..._util.units import NANOMETERS
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid
from ..location import Location
from ..volume import Layout, LevelMetadata, Volume, inside

DRIVER = "neuroglancer_precomputed"
FIXED = ("c",)
AXES = ("x", "y", "z", "c")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")


def axes_order(grid: Grid) -> tuple[str, ...]:
    """x, y, z, channel, whichever there are."""
    strangers = [axis for axis in grid.axes if axis not in AXES]
    if strangers:
        raise StoreError(f"precomputed has the axes x, y, z and c, not {', '.join(strangers)}; choose another format")
    return AXES


def detect(place: Location) -> bool:
    """Whether there is an info file."""
    return place.read("info") is not None


def read(place: Location) -> Volume:
    """The volume of an info file."""
    info = place.json("info") or {}
    try:
        scales = info["scales"]
        channels = int(info["num_channels"])
        grids, paths = [], []
        for scale in scales:
            resolution = [float(r) for r in scale["resolution"]]
            offset = [int(o) for o in scale.get("voxel_offset", (0, 0, 0))]
            corner = [(o + 0.5) * r for o, r in zip(offset, resolution, strict=True)]
            units = ["nanometer"] * 3 + [None]
            grids.append(Grid([*scale["size"], channels], AXES, [*resolution, 1], [*corner, 0], units, [*offset, 0]))
            paths.append(inside(str(scale["key"]), place.name))
        first = scales[0]
        layout = at_level(Layout((*first["chunk_sizes"][0], channels), None, None, 0, first), grids[0])
        kind: Any = {"segmentation": "labels", "image": "image"}[info["type"]]
        return Volume(
            "precomputed",
            place,
            grids,
            paths,
            str(info["data_type"]).lower(),
            layout,
            kind,
            info,
            info.get("tinypyr", {}),
        )
    except UNREADABLE as error:
        raise StoreError(f"{place.name}/info cannot be understood: {brief(error)}") from None


def at_level(layout: Layout, grid: Grid) -> Layout:
    """How a level is stored: the extents of its shards follow from its own, as chunks are numbered."""
    sharding = (layout.native or {}).get("sharding")
    if sharding is None and layout.shards is None:
        return layout
    at = [grid.axes.index(axis) if axis in grid.axes else None for axis in AXES[:3]]
    chunks = [1 if a is None else min(layout.chunks[a], max(1, grid.shape[a])) for a in at]
    extents = [1 if a is None else grid.shape[a] for a in at]
    if sharding is not None:
        bits = int(sharding["preshift_bits"]) + int(sharding["minishard_bits"])
        if sharding.get("hash") != "identity" or bits + int(sharding["shard_bits"]) < sum(_bits(chunks, extents)):
            bits = 64  # chunks of one shard lie anywhere, so the level is one unit
    else:
        wanted = [s // c for s, c in zip(layout.shards or (), layout.chunks, strict=True)]
        if any(count & (count - 1) for count in wanted):
            raise ValueError(f"shards: {layout.shards} are not 1, 2, 4, ... chunks of {layout.chunks} along each axis")
        bits = math.prod(wanted).bit_length() - 1
    box = list(layout.chunks)
    for a, chunk, count in zip(at, chunks, _bits(chunks, extents, bits), strict=True):
        if a is not None:
            box[a] = chunk << count
    cut = tuple(chunks[at.index(a)] if a in at else chunk for a, chunk in enumerate(layout.chunks))
    return replace(layout, chunks=cut, shards=tuple(box))


def _bits(chunks: list[int], extents: list[int], most: int = 64) -> list[int]:
    """Of the first bits of a chunk's number (its compressed Morton code), how many belong to each of x, y and z."""
    found = [0, 0, 0]
    for bit in range(64):
        for axis in range(3):
            if 1 << bit < -(-extents[axis] // chunks[axis]) and sum(found) < most:
                found[axis] += 1
    return found


def chunk_pattern(place: Location, path: str) -> re.Pattern[str]:
    """What the keys of a level's chunks or shards look like."""
    return re.compile(r"-?\d+--?\d+(_-?\d+--?\d+){2}|[0-9a-f]+\.(shard|index|data)")


def open_spec(place: Location, path: str) -> dict[str, Any]:
    """For TensorStore, to open a level."""
    return {"driver": DRIVER, "kvstore": place.spec, "scale_metadata": {"key": path}}


def new_spec(place: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """For TensorStore, to create a level."""
    if dtype not in DTYPES:
        raise StoreError(f"precomputed holds {', '.join(DTYPES)}, not {dtype}; convert, or choose another format")
    if layout.fill not in (0, 0.0, None):
        raise StoreError(f"precomputed fills with 0, not {layout.fill!r}; choose another format")
    native = layout.native or {}
    if layout.codec not in (None, "gzip", "raw"):
        raise StoreError(
            f"precomputed compresses by gzip, in shards, or not at all, not by {layout.codec}; choose another"
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
    if layout.shards is not None:
        scale["sharding"] = native.get("sharding") or _sharding(scale, layout)
    whole = {"type": "segmentation" if kind == "labels" else "image", "data_type": dtype, "num_channels": grid.shape[3]}
    return {"driver": DRIVER, "kvstore": place.spec, "multiscale_metadata": whole, "scale_metadata": scale}


def _nanometers(unit: str | None) -> float:
    """Return the length of a unit in nanometers; warn if it is not known to be a length."""
    if not unit:
        return 1.0
    if unit not in NANOMETERS:
        warnings.warn(
            f"units: precomputed holds nanometers, and {unit!r} is no known length; taken as such", stacklevel=2
        )
    return NANOMETERS.get(unit, 1.0)


def _sharding(scale: dict[str, Any], layout: Layout) -> dict[str, Any]:
    in_shard = sum(_bits(scale["chunk_size"], list((layout.shards or ())[:3])))
    minishards = max(0, in_shard - 9)  # of 512 chunks each: one index to read
    everything = sum(_bits(scale["chunk_size"], scale["size"]))
    encoding = "raw" if layout.codec == "raw" else "gzip"
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "hash": "identity",
        "preshift_bits": in_shard - minishards,
        "minishard_bits": minishards,
        "shard_bits": max(0, everything - in_shard),
        "minishard_index_encoding": "gzip",
        "data_encoding": encoding,
    }


def describe(place: Location, made: LevelMetadata) -> None:
    """Order the scales that TensorStore has written into the info file."""
    info = place.json("info") or {}
    by_key = {scale["key"]: scale for scale in info["scales"]}
    info["scales"] = [by_key[path] for path in made.paths]
    info["tinypyr"] = {"method": made.method, **made.notes}
    place.write_json("info", info)
