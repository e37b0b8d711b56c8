"""Calls of other packages for the same work. To add a package, write a `make_...` function and a line in `PEERS`.

``make(array, row)`` returns a `Job`, or raises `Skip` with the reason if the package cannot do the row. A job names
the rule (see expected.py) by which its results are checked. Packages are imported when first needed, and skipped with
a reason if they are not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads import Row

Array = NDArray[Any]


class Skip(Exception):
    """Raised if the package cannot do a row; the message gives the reason."""


@dataclass(frozen=True)
class Job:
    """A call to time, with the functions to read and to check its result."""

    run: Callable[[], Any]
    levels: Callable[[Any], list[Array]]  # converts the return value of run to the levels, with axes as in the input
    rule: str
    note: str = ""


@dataclass(frozen=True)
class Peer:
    name: str
    distribution: str  # the distribution, to report its version
    make: Callable[[Array, Row], Job]
    only_where_named: bool = False  # run only in rows that name this package


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Skip(f"not installed ({error})") from None


def _one_level(row: Row) -> None:
    if row.levels > 1:
        raise Skip("one level at a time")


def _no_ignore(row: Row) -> None:
    if row.ignore is not None:
        raise Skip("leaves no value out")


# --- tinybrain: Fortran order, several levels, floor rounding, ties by position ---
def make_tinybrain(array: Array, row: Row) -> Job:
    tinybrain = _load("tinybrain")
    module = _load("tinybrain.downsample")
    if row.ignore not in (None, 0):
        raise Skip("leaves only 0 out")
    sparse = row.ignore == 0
    if sparse and row.method not in ("mean", "mode"):
        raise Skip("leaves nothing out in this method")
    if row.method == "mode" and (row.levels > 1 or any(f > 2 and not f & (f - 1) for f in row.factor)):
        raise Skip("recursive: not the mode of the base")
    image, factor = array.ndim == 2, row.factor
    if image:  # the package wants three axes, the first of them fastest
        array, factor = array.T[:, :, np.newaxis], (*reversed(row.factor), 1)
    fortran = array.flags.f_contiguous
    note = ""
    if row.method == "mean":
        rule = "near" if array.dtype.kind == "f" else "floor"
        note = "rounds down" if rule == "floor" else ""
        if not fortran:
            note += "; copies to Fortran order"

        def run() -> Any:
            return tinybrain.downsample_with_averaging(array, factor, num_mips=row.levels, sparse=sparse)

    elif row.method == "mode":
        rule, note = "a mode", "ties by position in the block"
        if any(f & (f - 1) for f in row.factor):
            raise Skip("strides instead, silently: factors that are no powers of two")
        if array.dtype.kind == "f" and factor not in ((2, 2, 1), (2, 2, 2)):
            raise Skip("strides instead, silently: floats with this factor")
        if factor == (2, 2, 2) and not fortran:
            raise Skip("wrong labels, silently: takes every 2x2x2 input for Fortran order")

        def run() -> Any:
            return tinybrain.downsample_segmentation(array, factor, num_mips=row.levels, sparse=sparse)

    elif row.method in ("min", "max"):
        rule = "exact"
        pool = getattr(module, f"downsample_with_{row.method}_pooling")

        def run() -> Any:
            return pool(array, factor, num_mips=row.levels)

    elif row.method == "stride":
        rule, note = "exact", "returns a view, which is copied here"

        def run() -> Any:
            return [level.copy(order="K") for level in tinybrain.downsample_with_striding(array, factor)]

        _one_level(row)
    else:
        raise Skip(f"has no {row.method}")

    def levels(answer: Any) -> list[Array]:
        return [level[:, :, 0].T if image else level for level in answer]

    return Job(run, levels, rule, note.lstrip("; "))


# --- packages for pictures: one slice at a time, or one picture with interleaved channels ---
MOST_CHANNELS = 64  # OpenCV takes 128; more slices than this are rather a volume


def _is_picture(array: Array, row: Row) -> bool:
    """Return True for two axes, or two axes and a short fastest one that is not pooled."""
    channels = array.shape[2] if array.ndim == 3 else 1
    return array.flags.c_contiguous and row.factor in ((2, 2), (2, 2, 1)) and channels <= MOST_CHANNELS


def _slices(array: Array, row: Row) -> tuple[list[Array], Array, list[Array], bool]:
    """Return the 2-D slices to halve, an output, its slices, and True if the input's slices are C-contiguous."""
    _one_level(row)
    _no_ignore(row)
    if _is_picture(array, row) and not any(n % 2 for n in array.shape[:2]):
        out = np.empty_like(array, shape=(array.shape[0] // 2, array.shape[1] // 2, *array.shape[2:]))
        return [array], out, [out], True
    if sorted(row.factor) != [1, 2, 2]:
        raise Skip("two dimensions only")
    axis = row.factor.index(1)
    shape = tuple(-(-n // f) for n, f in zip(array.shape, row.factor, strict=True))
    if any(n % f for n, f in zip(array.shape, row.factor, strict=True)):
        raise Skip("odd extents: blocks of other sizes")
    out = np.empty_like(array, shape=shape)

    flip = array.flags.f_contiguous  # the axis with the smallest stride becomes the last one

    def planes(volume: Array) -> list[Array]:
        return [plane.T if flip else plane for plane in np.moveaxis(volume, axis, 0)]

    inputs, outputs = planes(array), planes(out)
    return inputs, out, outputs, all(plane.flags.c_contiguous for plane in inputs)


def make_opencv(array: Array, row: Row) -> Job:
    cv2 = _load("cv2")
    if row.method not in ("mean", "stride"):
        raise Skip(f"has no {row.method} pooling")
    if array.dtype.name not in ("uint8", "uint16", "int16", "float32", "float64"):
        raise Skip(f"INTER_AREA does not take {array.dtype}")
    inputs, out, outputs, contiguous = _slices(array, row)
    cv2.setNumThreads(1)
    how = cv2.INTER_AREA if row.method == "mean" else cv2.INTER_NEAREST

    def run() -> Any:
        for source, target in zip(inputs, outputs, strict=True):
            if contiguous:
                cv2.resize(source, target.shape[1::-1], dst=target, interpolation=how)
            else:
                target[...] = cv2.resize(np.ascontiguousarray(source), target.shape[1::-1], interpolation=how)
        return out

    rule = "exact" if row.method == "stride" else "near" if array.dtype.kind == "f" else "half-up"
    note = "slice by slice into a ready output" if contiguous else "slice by slice, each copied: not contiguous"
    if _is_picture(array, row):
        note = "whole pictures with interleaved channels, into a ready output"
        if rule == "half-up" and array.ndim == 3 and array.shape[2] not in (1, 3, 4):
            rule = "within 1"  # its other loops round otherwise
    return Job(run, lambda answer: [answer], rule, note)


def _pillow(array: Array, row: Row, box: bool) -> Job:
    Image = _load("PIL.Image")
    if row.method != "mean":
        raise Skip(f"has no {row.method} pooling")
    if array.dtype.name not in ("uint8", "int32", "uint32", "float32"):
        raise Skip(f"has no mode for {array.dtype}")
    if array.dtype.name == "uint32" and int(array.max()) >= 2**31:
        raise Skip("holds 32 bits as signed")
    if _is_picture(array, row) and array.ndim == 3:
        return _pillow_channels(Image, array)
    inputs, out, outputs, contiguous = _slices(array, row)

    def run() -> Any:
        for source, target in zip(inputs, outputs, strict=True):
            image = Image.fromarray(source if contiguous else np.ascontiguousarray(source))
            target[...] = image.resize(target.shape[::-1], Image.Resampling.BOX) if box else image.reduce(2)
        return out

    rule = "near" if array.dtype.kind == "f" else "within 1" if box else "half-up"
    note = "slice by slice" + ("" if contiguous else ", each copied: not contiguous")
    return Job(run, lambda answer: [answer], rule, note)


def _pillow_channels(Image: Any, array: Array) -> Job:
    """Return the reduction of a picture with interleaved channels that Pillow holds already."""
    modes = {1: "L", 3: "RGB", 4: "RGBX"}  # RGBX, because RGBA is weighted by the last channel
    mode = modes.get(array.shape[2]) if array.dtype == np.uint8 else None
    if mode is None:
        raise Skip(f"has no mode for {array.shape[2]} channels of {array.dtype}")
    if any(n % 2 for n in array.shape[:2]):
        raise Skip("odd extents: blocks of other sizes")
    image = Image.frombytes(mode, array.shape[1::-1], array.tobytes())

    def levels(answer: Any) -> list[Array]:
        return [np.frombuffer(answer.tobytes(), np.uint8).reshape(answer.height, answer.width, array.shape[2])]

    return Job(lambda: image.reduce(2), levels, "half-up", "channels interleaved: conversions to and from it not timed")


def make_pillow(array: Array, row: Row) -> Job:
    return _pillow(array, row, box=False)


def make_pillow_box(array: Array, row: Row) -> Job:
    return _pillow(array, row, box=True)


# --- scikit-image: any dimension, means in floating point ---
def make_skimage(array: Array, row: Row) -> Job:
    measure = _load("skimage.measure")
    transform = _load("skimage.transform")
    _one_level(row)
    _no_ignore(row)
    if any(n % f for n, f in zip(array.shape, row.factor, strict=True)):
        raise Skip("odd extents: pads with zeros")
    if row.method == "mean":
        rule = "near" if array.dtype.kind == "f" else "unrounded"

        def run() -> Any:
            return transform.downscale_local_mean(array, row.factor)

    elif row.method in ("min", "max"):
        rule, function = "exact", np.min if row.method == "min" else np.max

        def run() -> Any:
            return measure.block_reduce(array, row.factor, function)

    else:
        raise Skip(f"has no {row.method}")
    return Job(run, lambda answer: [answer], rule, "answers in float64" if rule == "unrounded" else "")


# --- TensorStore: any factor and dtype; lazy, so it is read ---
def make_tensorstore(array: Array, row: Row) -> Job:
    ts = _load("tensorstore")
    _one_level(row)
    _no_ignore(row)
    context = ts.Context({"data_copy_concurrency": {"limit": 1}})
    view = ts.downsample(ts.array(array, context=context), list(row.factor), row.method)
    order = "F" if array.flags.f_contiguous else "C"

    def run() -> Any:
        return view.read(order=order).result()

    if row.method == "mode":
        return Job(run, lambda answer: [answer], "lowest mode", "ties to the lowest")
    return Job(run, lambda answer: [answer], "near" if array.dtype.kind == "f" and row.method == "mean" else "exact")


# --- webknossos: modes and medians compiled by numba; whole blocks only ---
def make_webknossos(array: Array, row: Row) -> Job:
    if row.method not in ("mode", "median"):
        raise Skip(f"has no {row.method} of its own: NumPy's or SciPy's")
    _one_level(row)
    _no_ignore(row)
    if any(n % f for n, f in zip(array.shape, row.factor, strict=True)):
        raise Skip("odd extents: refuses them")
    module = _load("webknossos.dataset.layer._downsampling_utils")
    if module._downsampling_numba is None or (row.method == "median" and array.dtype.kind not in "iu"):
        raise Skip("not through numba")
    how = module.InterpolationModes[row.method.upper()]

    def run() -> Any:
        return module.downsample_cube(array, list(row.factor), how)

    rule = "middle mean" if row.method == "median" else "a mode"
    return Job(run, lambda answer: [answer], rule, "ties with axis 1 fastest" if rule == "a mode" else "")


PEERS = [
    Peer("tinybrain", "tinybrain", make_tinybrain),
    Peer("OpenCV", "opencv-python-headless", make_opencv),
    Peer("Pillow", "pillow", make_pillow),
    Peer("Pillow BOX", "pillow", make_pillow_box, only_where_named=True),
    Peer("scikit-image", "scikit-image", make_skimage),
    Peer("TensorStore", "tensorstore", make_tensorstore),
    Peer("webknossos", "webknossos", make_webknossos),
]
