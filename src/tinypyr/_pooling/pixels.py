"""Modes of pixels: the channels of a pixel are one label.

The core counts unsigned integers, so a pixel becomes one of up to 8 bytes:

- Channels of integers that lie side by side in 2, 4 or 8 bytes are viewed as one integer.
- Channels that fit 8 bytes in another way (three bytes, planes, booleans) are copied side by side.
- Others (floats, complex numbers, many channels) are replaced by the rank of the pixel among all distinct pixels.

With ``ties="lowest"``, labels are in the lexicographic order of pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._reference.values import canonical, same
from .arguments import Array, checked_ignore, entries_of

_WIDTHS = (2, 4, 8)


class Labels(NamedTuple):
    """Pixels as labels."""

    labels: Array  # without the channel axis
    ignored: int | None
    pixels_of: Callable[[Array], Array]  # pixels from labels, channels last
    view_of: Callable[[Array], Array | None]  # pixels (channels last) viewed as labels; None if they cannot be


def ignored_pixel(ignore: Any, dtype: np.dtype[Any], channels: int) -> Array | None:
    """Return the ignored value of each channel, from one value or one per channel."""
    if ignore is None:
        return None
    entries = entries_of(ignore)
    values = (ignore,) * channels if entries is None else entries
    if len(values) != channels or any(value is None for value in values):
        raise ValueError(f"ignore: {ignore!r} is neither one value nor one for each of {channels} channels")
    pixel = np.empty(channels, dtype)
    for channel, value in enumerate(values):
        pixel[channel] = checked_ignore(value, dtype)
    return pixel


def as_labels(pixels: Array, ignored: Array | None, ties: str) -> Labels:
    """Return pixels, whose last axis has the channels, as labels."""
    dtype, channels = pixels.dtype, pixels.shape[-1]
    width = next((width for width in _WIDTHS if channels * dtype.itemsize <= width), None)
    if dtype.kind not in "biu" or width is None:
        return _ranked(pixels, ignored)
    in_order = dtype.kind == "u" and (dtype.itemsize == 1 or dtype.str[0] == ">")
    if dtype.kind != "b" and (ties == "first" or in_order):
        return _side_by_side(pixels, ignored, np.dtype(f"u{width}" if ties == "first" else f">u{width}"))
    return _reordered(pixels, ignored, np.dtype(f">u{width}"))


def _side_by_side(pixels: Array, ignored: Array | None, label_dtype: np.dtype[Any]) -> Labels:
    """Return pixels whose bytes are labels, without a copy if they are adjacent and fill the label."""
    dtype, channels = pixels.dtype, pixels.shape[-1]

    def view_of(values: Array) -> Array | None:
        fits = channels * dtype.itemsize == label_dtype.itemsize and values.strides[-1] == dtype.itemsize
        return values.view(label_dtype)[..., 0] if fits else None

    def label_of(values: Array) -> Array:
        view = view_of(values)
        if view is not None:
            return view
        labels = np.zeros_like(values[..., 0], label_dtype, subok=False)
        bytes_of_labels = labels[..., np.newaxis].view(dtype)
        for channel in range(channels):  # (a copy of all channels at once has rows of three bytes)
            bytes_of_labels[..., channel] = values[..., channel]
        return labels

    def pixels_of(labels: Array) -> Array:
        return labels[..., np.newaxis].view(dtype)[..., :channels]

    return Labels(
        label_of(pixels), None if ignored is None else int(label_of(ignored[np.newaxis])[0]), pixels_of, view_of
    )


def _reordered(pixels: Array, ignored: Array | None, label_dtype: np.dtype[Any]) -> Labels:
    """Return copies of pixels whose bytes, most significant first, have the order of the pixels."""
    dtype = pixels.dtype
    unsigned = np.dtype(f">u{dtype.itemsize}")
    flip = unsigned.type(1 << (8 * dtype.itemsize - 1) if dtype.kind == "i" else 0)

    def keys_of(values: Array) -> Array:
        if dtype.kind == "b":
            return np.not_equal(values.view(np.uint8), 0).view(np.uint8)  # any byte but 0 is True
        bits: Array = values.view(unsigned.newbyteorder(dtype.byteorder))
        return np.asarray(bits ^ flip).astype(unsigned)

    keys = _side_by_side(keys_of(pixels), None if ignored is None else keys_of(ignored), label_dtype)

    def pixels_of(labels: Array) -> Array:
        values: Array = keys.pixels_of(labels) ^ flip
        return values.astype(unsigned.newbyteorder("=")).view(dtype.newbyteorder("="))

    return Labels(keys.labels, keys.ignored, pixels_of, lambda values: None)


def _ranked(pixels: Array, ignored: Array | None) -> Labels:
    """Return the rank of each pixel among the distinct pixels in lexicographic order."""
    shape = pixels.shape[:-1]
    codes: Array = np.zeros(shape, np.uint64)
    count = 1
    for channel in range(pixels.shape[-1]):
        values, ranks = np.unique(canonical(pixels[..., channel]), return_inverse=True)
        if count * len(values) >= 2**63:
            distinct, codes = np.unique(codes, return_inverse=True)
            count = len(distinct)
        codes = codes.reshape(shape).astype(np.uint64) * np.uint64(len(values)) + ranks.reshape(shape).astype(np.uint64)
        count *= len(values)
    _, first, labels = np.unique(codes, return_index=True, return_inverse=True)
    colours = canonical(pixels[np.unravel_index(first, shape)] if shape else pixels[np.newaxis])
    labels = labels.reshape(shape).astype(np.min_scalar_type(len(colours)))
    number = None
    if ignored is not None:
        matches = np.flatnonzero(same(colours, canonical(ignored)).all(axis=-1))
        number = int(matches[0]) if len(matches) else None
    return Labels(labels, number, lambda labels: colours[labels], lambda values: None)
