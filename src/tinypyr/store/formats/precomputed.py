"""Neuroglancer precomputed: https://neuroglancer-docs.web.app/datasource/precomputed/volume.html.

Corner-based: voxel i covers [i, i + 1) times the resolution, in nanometres, so levels need no half-voxel shift. The
axes are x, y, z and channel.
"""

from __future__ import annotations

from typing import Any

from ...grid import Grid
from .._errors import StoreError
from .._place import Place
from .._volume import Layout, Made, Volume

DRIVER = "neuroglancer_precomputed"
FIXED = ("c",)
AXES = ("x", "y", "z", "c")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")
NANOMETERS = {
    None: 1.0, "": 1.0, "nanometer": 1.0, "nm": 1.0, "angstrom": 0.1, "micrometer": 1e3, "um": 1e3, "\u00b5m": 1e3,
    "millimeter": 1e6, "mm": 1e6, "meter": 1e9, "m": 1e9,
}  # fmt: skip


def axes_order(axes: tuple[str, ...]) -> tuple[str, ...]:
    """x, y, z, channel, whichever there are."""
    strangers = [axis for axis in axes if axis not in AXES]
    if strangers:
        raise StoreError(f"precomputed has the axes x, y, z and c, not {', '.join(strangers)}; choose another format")
    return AXES


def detect(place: Place) -> bool:
    """Whether there is an info file."""
    return place.read("info") is not None


def read(place: Place) -> Volume:
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
            paths.append(str(scale["key"]))
        first = scales[0]
        layout = Layout((*first["chunk_sizes"][0], channels), None, None, 0, first)
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
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(f"{place.name}/info cannot be understood: {error!r}") from None


def open_spec(place: Place, path: str) -> dict[str, Any]:
    """For TensorStore, to open a level."""
    return {"driver": DRIVER, "kvstore": place.spec, "scale_metadata": {"key": path}}


def new_spec(place: Place, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """For TensorStore, to create a level."""
    if dtype not in DTYPES:
        raise StoreError(f"precomputed holds {', '.join(DTYPES)}, not {dtype}; convert, or choose another format")
    if layout.shards is not None:
        raise StoreError("shards: not yet for precomputed; leave them out")
    if layout.fill not in (0, 0.0, None):
        raise StoreError(f"precomputed fills with 0, not {layout.fill!r}; choose another format")
    native = layout.native or {}
    sharding = native.get("sharding")
    if sharding:
        raise StoreError("sharded precomputed volumes can be read, but not yet be given levels in place")
    labels = kind == "labels" and dtype in ("uint32", "uint64")
    encoding = native.get("encoding") or ("compressed_segmentation" if labels else "raw")
    scale: dict[str, Any] = {
        "key": path,
        "size": list(grid.shape[:3]),
        "voxel_offset": list(grid.voxel_offset[:3]),
        "resolution": [s * NANOMETERS.get(u, 1.0) for s, u in zip(grid.scale[:3], grid.units[:3], strict=True)],
        "chunk_size": [min(chunk, max(1, n)) for chunk, n in zip(layout.chunks[:3], grid.shape[:3], strict=True)],
        "encoding": encoding,
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = native.get("compressed_segmentation_block_size", [8, 8, 8])
    whole = {"type": "segmentation" if kind == "labels" else "image", "data_type": dtype, "num_channels": grid.shape[3]}
    return {"driver": DRIVER, "kvstore": place.spec, "multiscale_metadata": whole, "scale_metadata": scale}


def describe(place: Place, made: Made) -> None:
    """Order the scales that TensorStore has written into the info file."""
    info = place.json("info") or {}
    by_key = {scale["key"]: scale for scale in info["scales"]}
    info["scales"] = [by_key[path] for path in made.paths]
    info["tinypyr"] = {"method": made.method, **made.notes}
    place.write_json("info", info)
