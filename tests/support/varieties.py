"""One small store per variety that is found in the wild, written with zarr-python, TensorStore, nibabel and JSON.

Nothing here uses tinypyr, so that its readers are tested with what others write.
"""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import json
import lzma
import math
import struct
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

Array = np.ndarray[Any, Any]

#: Functions that write a variety into a folder that does not exist yet (or a file, if the name has a suffix).
VARIETIES: dict[str, Callable[[Path], None]] = {}

TYPES = {"t": "time", "c": "channel"}


def write_all(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Write varieties below a folder, all of them by default; return their names."""
    written = []
    for name in VARIETIES if names is None else names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # (of zarr-python, about what it writes here on purpose)
            VARIETIES[name](folder / name)
        written.append(name)
    return written


def noise(*shape: int, dtype: Any = np.uint16, seed: int = 0) -> Array:
    """Return random voxels: few values, so that modes and ties occur."""
    drawn = np.random.default_rng(seed).integers(0, 40, shape)
    return (drawn % 2 if np.dtype(dtype) == bool else drawn).astype(dtype)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, and the folders that contain it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def halves(voxels: Array) -> list[int]:
    """Return the extents of chunks that cut every axis in two."""
    return [max(1, -(-n // 2)) for n in voxels.shape]


# --- arrays of Zarr ---


def write_v2(where: Path, voxels: Array, separator: str = "/", chunks: Any = None, **options: Any) -> Any:
    """Write an array of Zarr v2 with zarr-python."""
    import zarr

    array = zarr.create_array(
        str(where),
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=tuple(chunks or halves(voxels)),
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": separator},
        **{"compressors": None, "fill_value": 0, **options},
    )
    array[...] = voxels
    return array


def write_v3(where: Path, voxels: Array, chunks: Any = None, **options: Any) -> Any:
    """Write an array of Zarr v3 with zarr-python."""
    import zarr

    array = zarr.create_array(
        str(where),
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=tuple(chunks or halves(voxels)),
        zarr_format=3,
        **{"compressors": None, **options},
    )
    array[...] = voxels
    return array


def array_2(**options: Any) -> Callable[[Path], None]:
    """Return the writer of an array of Zarr v2."""
    voxels = options.pop("voxels", noise(6, 14, 10))
    return lambda where: write_v2(where, voxels, **options) and None


def array_3(**options: Any) -> Callable[[Path], None]:
    """Return the writer of an array of Zarr v3."""
    voxels = options.pop("voxels", noise(6, 14, 10))
    return lambda where: write_v3(where, voxels, **options) and None


# --- OME-Zarr ---


def is_v3(version: str) -> bool:
    """Return whether a version of OME-Zarr, or "0.4 on v3", is on Zarr v3."""
    return version >= "0.5" or version == "0.4 on v3"


def write_group(where: Path, version: str, attributes: Any) -> None:
    """Write a group with attributes, in ``ome`` from version 0.5."""
    if is_v3(version):
        content = {"ome": {"version": version, **attributes}} if version >= "0.5" else attributes
        write_json(where / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": content})
    else:
        write_json(where / ".zgroup", {"zarr_format": 2})
        write_json(where / ".zattrs", attributes)


def entry_of(version: str, axes: Any, ndim: int, scale: Any = None, path: str = "0") -> dict[str, Any]:
    """Return an entry of multiscales with one level in the style of a version; ``axes`` are names, or objects."""
    listed = [axis if isinstance(axis, dict) else {"name": axis, "type": TYPES.get(axis, "space")} for axis in axes]
    entry: dict[str, Any] = {"name": "mark", "datasets": [{"path": path}]}
    step = {"type": "scale", "scale": list(scale or [2.0 if axis.get("type") == "space" else 1.0 for axis in listed])}
    if version[:3] in ("0.1", "0.2"):
        return {**entry, "version": version}
    if version == "0.3":
        return {**entry, "version": version, "axes": [axis["name"] for axis in listed]}
    if version.startswith("0.6"):
        entry["coordinateSystems"] = [{"name": "world", "axes": listed}]
        ends = {"input": {"path": path}, "output": {"name": "world"}}
        entry["datasets"][0]["coordinateTransformations"] = [{**step, **ends}]
        return entry
    entry["axes"] = [{"unit": "micrometer", **axis} if axis.get("type") == "space" else axis for axis in listed]
    entry["datasets"][0]["coordinateTransformations"] = [step]
    return entry if version == "0.5" else {**entry, "version": version[:3]}


def write_image(
    where: Path,
    version: str = "0.4",
    axes: Any = "zyx",
    voxels: Array | None = None,
    scale: Any = None,
    more: Any = None,
    entries: Any = (),
    **options: Any,
) -> None:
    """Write an image of one level; ``more`` attributes beside multiscales, ``entries``, and options of the array."""
    extents = {"t": 2, "c": 2, "z": 6, "y": 14, "x": 10}
    if voxels is None:
        sizes = iter((6, 14, 10, 4, 3))
        voxels = noise(*(extents[axis] if axis in extents else next(sizes) for axis in axes if isinstance(axis, str)))
    entry = entry_of(version, axes, voxels.ndim, scale)
    write_group(where, version, {"multiscales": [entry, *entries], **(more or {})})
    (write_v3 if is_v3(version) else write_v2)(where / "0", voxels, **options)


def image(*arguments: Any, **options: Any) -> Callable[[Path], None]:
    """Return the writer of an image."""
    return lambda where: write_image(where, *arguments, **options)


def write_image_with_labels(where: Path, version: str) -> None:
    write_image(where, version)
    write_group(where / "labels", version, {"labels": ["cells"]})
    colours = {"image-label": {"colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}], "source": {"image": "../../"}}}
    write_image(where / "labels/cells", version, voxels=noise(6, 14, 10, dtype=np.uint32), more=colours)


def write_plate(where: Path, version: str) -> None:
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    plate = {"name": "p", "rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": wells, "version": version}
    write_group(where, version, {"plate": plate})
    write_group(where / "A", version, {})
    write_group(where / "A/1", version, {"well": {"images": [{"path": "0"}], "version": version}})
    write_image(where / "A/1/0", version, "cyx")


def write_bioformats(where: Path, version: str) -> None:
    write_group(where, version, {"bioformats2raw.layout": 3})
    write_group(where / "OME", version, {"series": ["0"]})
    (where / "OME/METADATA.ome.xml").write_text("<OME/>")
    write_image(where / "0", version, "tczyx")


def write_consolidated(where: Path, version: str) -> None:
    import zarr

    write_image(where, version)
    zarr.consolidate_metadata(str(where), zarr_format=3 if is_v3(version) else 2)


def write_without_chunks(where: Path, version: str, keep: int) -> None:
    """Write an image, and delete all but so many of its chunks."""
    write_image(where, version)
    chunks = [path for path in sorted((where / "0").rglob("*")) if path.is_file() and path.name[0].isdigit()]
    for path in chunks[keep:]:
        path.unlink()


def write_several_levels(where: Path, version: str) -> None:
    """Write an image with a level 1 of another tool, which takes every second voxel."""
    voxels = noise(6, 14, 10)
    write_image(where, version, voxels=voxels)
    path = where / ("zarr.json" if is_v3(version) else ".zattrs")
    root = json.loads(path.read_text())
    entry = (root["attributes"]["ome"] if is_v3(version) else root)["multiscales"][0]
    steps = [{"type": "scale", "scale": [4.0] * 3}]
    entry["datasets"].append({"path": "1", "coordinateTransformations": steps})
    path.write_text(json.dumps(root))
    (write_v3 if is_v3(version) else write_v2)(where / "1", voxels[::2, ::2, ::2])


OMERO = {"omero": {"channels": [{"label": "DAPI", "color": "0000FF", "window": {"start": 0, "end": 9}}] * 2}}
ORDERS = ("xy", "yx", "xyz", "yzx", "tyx", "cyx", "zyxc", "cxyz", "xyzt", "tzcyx", "xyzct", "ctzyx")

for _version in ("0.1", "0.2", "0.3", "0.4", "0.4 on v3", "0.5", "0.6"):
    VARIETIES[f"ome {_version}"] = image(_version, "tczyx")
for _order in ORDERS:
    for _version in ("0.4", "0.5"):
        VARIETIES[f"ome {_version} axes {_order}"] = image(_version, _order)
for _version in ("0.4", "0.5", "0.6"):
    VARIETIES[f"ome {_version} omero"] = image(_version, "czyx", more=OMERO)
    VARIETIES[f"ome {_version} labels"] = lambda where, v=_version: write_image_with_labels(where, v)  # type: ignore[misc]
for _version in ("0.4", "0.5"):
    _named = [{"name": name, "type": "space"} for name in ("depth", "row", "col")]
    _typeless = [{"name": name} for name in ("z", "y", "x")]
    _other = [entry_of(_version, "zyx", 3, path="else")]
    VARIETIES |= {
        f"ome {_version} custom names": image(_version, _named, noise(6, 14, 10)),
        f"ome {_version} axes without types": image(_version, _typeless, noise(6, 14, 10)),
        f"ome {_version} two entries": image(_version, entries=_other),
        f"ome {_version} plate": lambda where, v=_version: write_plate(where, v),  # type: ignore[misc]
        f"ome {_version} bioformats2raw": lambda where, v=_version: write_bioformats(where, v),  # type: ignore[misc]
        f"ome {_version} consolidated": lambda where, v=_version: write_consolidated(where, v),  # type: ignore[misc]
        f"ome {_version} two levels": lambda where, v=_version: write_several_levels(where, v),  # type: ignore[misc]
        f"ome {_version} scale 0 along t": image(_version, "tzyx", scale=[0.0, 2.0, 2.0, 2.0]),
        f"ome {_version} scale 0 along z": image(_version, "zyx", scale=[0.0, 2.0, 2.0]),
        f"ome {_version} float32 scales": image(
            _version, "zyx", scale=np.array([0.1, 0.03, 0.03], np.float32).tolist()
        ),
        f"ome {_version} image-label": image(
            _version, "zyx", noise(6, 14, 10, dtype=np.uint64), more={"image-label": {"version": _version}}
        ),
    }
VARIETIES |= {
    "ome 0.4 missing chunks": lambda where: write_without_chunks(where, "0.4", 3),
    "ome 0.4 no chunk": lambda where: write_without_chunks(where, "0.4", 0),
    "ome 0.5 missing chunks": lambda where: write_without_chunks(where, "0.5", 3),
    "ome 0.5 no chunk": lambda where: write_without_chunks(where, "0.5", 0),
    "ome 0.4 separator dot": image("0.4", separator="."),
    "ome 0.5 sharded": image("0.5", voxels=noise(8, 16, 16), chunks=(4, 4, 4), shards=(8, 8, 8)),
    "ome 0.5 fill 7": image("0.5", fill_value=7),
}

DTYPES = ("bool", "int8", "uint32", "int64", "float16", "float32", "float64", "complex64")
for _dtype in DTYPES:
    VARIETIES[f"zarr v2 {_dtype}"] = array_2(voxels=noise(6, 14, 10, dtype=_dtype))
    VARIETIES[f"zarr v3 {_dtype}"] = array_3(voxels=noise(6, 14, 10, dtype=_dtype))
    if _dtype in ("float32", "complex64", "bool"):
        VARIETIES[f"ome 0.4 {_dtype}"] = image("0.4", voxels=noise(6, 14, 10, dtype=_dtype))


def _with_codecs() -> None:
    """Add arrays with every codec, filter and order of bytes."""
    numcodecs: Any = importlib.import_module("numcodecs")  # (it has no types)
    from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, TransposeCodec, ZstdCodec

    old = {
        "blosc lz4": numcodecs.Blosc("lz4", 5, 1),
        "blosc zstd bitshuffle": numcodecs.Blosc("zstd", 3, 2),
        "gzip": numcodecs.GZip(5),
        "zstd": numcodecs.Zstd(3),
        "zlib": numcodecs.Zlib(5),
        "bz2": numcodecs.BZ2(5),
        "lz4": numcodecs.LZ4(),
        "lzma": numcodecs.LZMA(),
    }
    new = {"blosc": BloscCodec(cname="lz4"), "gzip": GzipCodec(), "zstd": ZstdCodec()}
    for name, codec in old.items():
        VARIETIES[f"ome 0.4 {name}"] = image("0.4", compressors=codec)
    for name, other in new.items():
        VARIETIES[f"ome 0.5 {name}"] = image("0.5", compressors=other)
    VARIETIES["ome 0.4 delta filter"] = image("0.4", filters=[numcodecs.Delta("<u2")])
    VARIETIES["ome 0.4 shuffle filter"] = image("0.4", filters=[numcodecs.Shuffle(2)])
    VARIETIES["ome 0.4 big-endian"] = image("0.4", voxels=noise(6, 14, 10, dtype=">u2"))
    VARIETIES["ome 0.4 order F"] = image("0.4", order="F")
    VARIETIES["ome 0.5 big-endian"] = image("0.5", serializer=BytesCodec(endian="big"))
    VARIETIES["ome 0.5 transposed"] = image("0.5", filters=[TransposeCodec(order=(2, 0, 1))])


try:
    _with_codecs()
except ImportError:  # zarr-python is missing: nothing here can be written
    VARIETIES.clear()


# --- N5 ---

COMPRESSORS: dict[str, tuple[Callable[[bytes], bytes], dict[str, Any]]] = {
    "raw": (lambda raw: raw, {"type": "raw"}),
    "gzip": (gzip.compress, {"type": "gzip", "useZlib": False, "level": -1}),
    "bzip2": (bz2.compress, {"type": "bzip2", "blockSize": 9}),
    "xz": (lzma.compress, {"type": "xz", "preset": 6}),
}


def write_n5(where: Path, voxels: Array, attributes: Any = None, compression: str = "gzip") -> None:
    """Write an array of N5, given with the x axis first."""
    compress, meta = COMPRESSORS[compression]
    block = halves(voxels)
    content = {"dimensions": list(voxels.shape), "blockSize": block, "dataType": voxels.dtype.name}
    write_json(where / "attributes.json", {**content, "compression": meta, **(attributes or {})})
    for index in np.ndindex(*(-(-n // b) for n, b in zip(voxels.shape, block, strict=True))):
        part = voxels[tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, block, strict=True))]
        header = struct.pack(f">HH{part.ndim}I", 0, part.ndim, *part.shape)
        path = where.joinpath(*map(str, index))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + compress(part.astype(part.dtype.newbyteorder(">")).tobytes("F")))


def n5(root: Any, level: Any = None, path: str = "s0", **options: Any) -> Callable[[Path], None]:
    """Return the writer of a group of N5 with one level."""

    def write(where: Path) -> None:
        write_json(where / "attributes.json", {"n5": "2.5.1", **root})
        write_n5(where / path, options.get("voxels", noise(10, 14, 6)), level, options.get("compression", "gzip"))

    return write


def write_bdv(where: Path) -> None:
    """Write the layout of BigDataViewer: setups, time points, levels."""
    write_json(where / "attributes.json", {"n5": "2.5.1"})
    setup = {"downsamplingFactors": [[1, 1, 1]], "dataType": "uint16"}
    write_json(where / "setup0/attributes.json", setup)
    write_json(where / "setup0/timepoint0/attributes.json", {"resolution": [2.0, 2.0, 6.0], "saved_completely": True})
    write_n5(where / "setup0/timepoint0/s0", noise(10, 14, 6), {"downsamplingFactors": [1, 1, 1]})


_COSEM = {"axes": ["z", "y", "x"], "scale": [6.0, 2.0, 2.0], "translate": [1.0, 0.0, 0.0], "units": ["nm"] * 3}
_COSEM_ROOT = {"multiscales": [{"name": "mark", "datasets": [{"path": "s0", "transform": _COSEM}]}]}
_PIXELS = {"dimensions": [2.0, 2.0, 6.0], "unit": "nm"}

VARIETIES |= {
    "n5 cosem": n5(_COSEM_ROOT, {"transform": _COSEM, "pixelResolution": _PIXELS}),
    "n5 pixelResolution object": n5({"pixelResolution": _PIXELS}),
    "n5 pixelResolution of the level": n5({}, {"pixelResolution": _PIXELS}),
    "n5 pixelResolution list": n5({"pixelResolution": [2.0, 2.0, 6.0]}),
    "n5 bdv": write_bdv,
    "n5 neuroglancer": n5({"resolution": [2, 2, 6], "units": ["nm"] * 3, "axes": ["x", "y", "z"], "scales": [[1] * 3]}),
    "n5 five axes": n5({}, voxels=noise(10, 14, 6, 2, 2)),
    "n5 raw": n5({}, compression="raw"),
    "n5 bzip2": n5({}, compression="bzip2"),
    "n5 xz": n5({}, compression="xz"),
    "n5 single array": lambda where: write_n5(where, noise(10, 14, 6), {"mark": 1}),
    "n5 container": n5({}, path="volumes/raw/s0"),
}


# --- precomputed ---


def scale_of(size: Any, offset: Any = (0, 0, 0), resolution: Any = (4, 4, 40), **more: Any) -> dict[str, Any]:
    """Return a scale of an info file."""
    content = {"key": "_".join(map(str, resolution)), "size": list(size), "resolution": list(resolution)}
    return {**content, "voxel_offset": list(offset), "chunk_sizes": [[8, 8, 4]], "encoding": "raw", **more}


def write_precomputed(where: Path, dtype: str = "uint16", levels: int = 1, suffix: str = "", **options: Any) -> None:
    """Write a volume: raw chunks by hand, other encodings and shards with TensorStore."""
    voxels = options.pop("voxels", noise(10, 14, 6, 1, dtype=dtype))
    kind, more, offset = options.pop("kind", "image"), options.pop("more", {}), options.pop("offset", (0, 0, 0))
    scales = []
    for k in range(levels):
        part = voxels[:: 1 << k, :: 1 << k]
        resolution = (4 << k, 4 << k, 40)
        scales.append(scale_of(part.shape[:3], [offset[0] >> k, offset[1] >> k, offset[2]], resolution, **options))
    head = {"@type": "neuroglancer_multiscale_volume", "type": kind, "data_type": dtype, "num_channels": 1}
    write_json(where / "info", {**head, "scales": scales, **more})
    for k, scale in enumerate(scales):
        part = voxels[:: 1 << k, :: 1 << k]
        if options:
            spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{where}/"}}
            handle = ts.open({**spec, "scale_index": k}, open=True).result()
            handle[...].write(part).result()
        else:
            _write_raw_chunks(where / scale["key"], part, scale, suffix)


def _write_raw_chunks(where: Path, voxels: Array, scale: Any, suffix: str) -> None:
    where.mkdir(parents=True)
    chunk, offset = scale["chunk_sizes"][0], scale["voxel_offset"]
    for index in np.ndindex(*(math.ceil(n / c) for n, c in zip(voxels.shape, chunk, strict=False))):
        starts = [i * c for i, c in zip(index, chunk, strict=True)]
        stops = [min(start + c, n) for start, c, n in zip(starts, chunk, voxels.shape, strict=False)]
        part = voxels[tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))].tobytes("F")
        spans = zip(offset, starts, stops, strict=True)
        name = "_".join(f"{o + a}-{o + b}" for o, a, b in spans)
        (where / f"{name}{suffix}").write_bytes(gzip.compress(part) if suffix else part)


_SHARDING = {"@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": 1, "minishard_bits": 1,
             "shard_bits": 2, "minishard_index_encoding": "gzip", "data_encoding": "gzip"}  # fmt: skip
_SEGMENTED = {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8]}


def precomputed(**options: Any) -> Callable[[Path], None]:
    """Return the writer of a precomputed volume."""
    return lambda where: write_precomputed(where, **options)


VARIETIES |= {
    "precomputed raw": precomputed(),
    "precomputed float32": precomputed(dtype="float32"),
    "precomputed compressed_segmentation": precomputed(dtype="uint64", kind="segmentation", **_SEGMENTED),
    "precomputed sharded": precomputed(sharding=_SHARDING),
    "precomputed gzip files": precomputed(suffix=".gz"),
    "precomputed voxel_offset": precomputed(offset=(3, 5, 1)),
    "precomputed two scales": precomputed(levels=2),
    "precomputed mesh and skeletons": precomputed(
        dtype="uint64", kind="segmentation", more={"mesh": "mesh", "skeletons": "skeletons", "segment_properties": "p"}
    ),
}


# --- NIfTI ---


def nifti(voxels: Array, suffix: str = ".nii", keep: float = 1.0, slope: Any = None) -> Callable[[Path], None]:
    """Return the writer of a NIfTI file, of which a share is kept."""

    def write(folder: Path) -> None:
        nibabel: Any = importlib.import_module("nibabel")
        image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
        image.header.set_slope_inter(*(slope or (None, None)))
        image.header.set_xyzt_units("mm", "sec")
        folder.mkdir(parents=True)
        path = folder / f"volume{suffix}"
        nibabel.save(image, path)
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * keep)])

    return write


def write_cifti(folder: Path) -> None:
    """Write a dense time series of CIFTI-2, whose axes are not those of space."""
    nibabel: Any = importlib.import_module("nibabel")
    cifti2 = nibabel.cifti2
    mask = np.ones((3, 3, 3), bool)
    models = cifti2.BrainModelAxis.from_mask(mask, "thalamus_left", np.eye(4))
    axes = (cifti2.SeriesAxis(0, 1, 4), models)
    folder.mkdir(parents=True)
    image = cifti2.Cifti2Image(noise(4, 27, dtype=np.float32), axes)
    nibabel.save(image, folder / "series.dtseries.nii")


if importlib.util.find_spec("nibabel") is not None:
    _voxels = noise(10, 14, 6, dtype=np.int16)
    VARIETIES |= {
        "nifti": nifti(_voxels),
        "nifti gz": nifti(_voxels, ".nii.gz"),
        "nifti scaled": nifti(_voxels, slope=(2.0, 1.0)),
        "nifti time": nifti(noise(10, 14, 6, 3, dtype=np.float32)),
        "nifti complex": nifti(noise(10, 14, 6, dtype=np.complex64)),
        "nifti truncated": nifti(_voxels, keep=0.7),
        "nifti gz truncated": nifti(_voxels, ".nii.gz", keep=0.7),
        "nifti cifti": write_cifti,
    }
