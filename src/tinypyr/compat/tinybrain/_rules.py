"""The rules of tinybrain on tinypyr's kernels: means with restarting sums, COUNTLESS, and repeated halving."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..._pooling.arguments import MAX_LEVELS, Array, Method, check_array, integer, one_factor
from ..._pooling.run import as_array
from ...pooling import downsample, pyramid

Shape = tuple[int, ...]

#: Approximate bytes per piece. Temporaries of this size stay in the cache.
PIECE: ContextVar[int] = ContextVar("piece", default=1 << 21)


def checked(img: Any, factor: Any, num_mips: Any) -> tuple[Array, Shape, int]:
    """Validate the arguments and return the array, a factor for each of its axes, and the number of levels."""
    image = as_array(img)
    check_array(image.shape, image.dtype)
    if np.ndim(factor) == 1 and all(extra == 1 for extra in factor[image.ndim :]):
        factor = factor[: image.ndim]  # (2, 2, 1, 1) for an array of three axes
    levels = integer("num_mips", num_mips)
    if not 0 <= levels <= MAX_LEVELS:
        raise ValueError(f"num_mips: {levels} is not between 0 and {MAX_LEVELS}")
    return image, one_factor(factor, image.ndim), levels


def leading(axes: int, ndim: int) -> Shape:
    """Return the factor that halves the first ``axes`` axes, or all axes if the array has fewer."""
    return (2,) * min(axes, ndim)


def pool(image: Array, factor: Shape, method: Method, num_mips: int, **options: Any) -> list[Array]:
    """Return the levels of :func:`tinypyr.pyramid` in Fortran order.

    The kernels write in the image's memory order, and the small levels are transposed afterwards: that costs less than
    pooling with mixed memory orders.
    """
    if num_mips == 0:
        return []
    levels = pyramid(image, factor, method, levels=num_mips, **options)
    return [_fortran(level) for level in levels]


def _fortran(level: Array) -> Array:
    """Return ``np.asfortranarray(level)``, copied in tiles, which takes at most half the time."""
    if level.flags.f_contiguous or level.size == 0:
        return np.asfortranarray(level)
    fortran = np.empty(level.shape, level.dtype, order="F")
    tile = 32
    for first in range(0, level.shape[0], tile):
        for last in range(0, level.shape[-1], tile):
            part = (slice(first, first + tile), ..., slice(last, last + tile))
            fortran[part] = level[part]
    return fortran


def _pooled_axes(factor: Shape) -> list[int]:
    return [axis for axis, f in enumerate(factor) if f > 1]


# --- means --------------------------------------------------------------------------------------------------


def mean(image: Array, factor: Shape, num_mips: int, sparse: bool) -> list[Array]:
    """Return levels of means, finest first, in Fortran order."""
    ignore = 0 if sparse else None
    if image.dtype.kind not in "iu":
        return pool(image, factor, "mean", num_mips, ignore=ignore)
    narrow = image.dtype.itemsize <= 2
    per_accumulator = _levels_per_accumulator(image.dtype, factor, num_mips)
    levels: list[Array] = []
    base = image
    while len(levels) < num_mips:
        count = min(per_accumulator, num_mips - len(levels))
        part = pool(base, factor, "mean", count, ignore=ignore, rounding="floor")
        last = part[-1]
        if image.dtype.kind == "i":
            if narrow and len(levels) + count < num_mips:
                last = last.copy(order="F")  # sums restart from the floor, not from the returned level
            _round_towards_zero(base, factor, part, sparse)
        levels += part
        base = last
    return levels


def _levels_per_accumulator(dtype: np.dtype[Any], factor: Shape, num_mips: int) -> int:
    """Return the number of levels after which tinybrain restarts its sums from a rounded level."""
    if dtype.itemsize > 2:
        return 1
    axes = _pooled_axes(factor)
    if all(factor[axis] == 2 for axis in axes):
        if axes == [0, 1]:
            return 4
        if axes == [0, 1, 2]:
            return 8 if dtype.itemsize == 1 else 5
    return num_mips


def _round_towards_zero(base: Array, factor: Shape, levels: list[Array], sparse: bool) -> None:
    """Replace the floors of negative means by their ceilings, in place.

    The complement ~v = -v - 1 fits every dtype, and the floor of the mean of complements is the complement of the
    ceiling of the mean.
    """
    for source, targets in _pieces(base, factor, levels):
        if not any((target < 0).any() for target in targets):
            continue
        ceilings = pyramid(~source, factor, levels=len(targets), rounding="floor", ignore=-1 if sparse else None)
        for target, ceiling in zip(targets, ceilings, strict=True):
            target[...] = _select(target < 0, ~ceiling, target)


def _pieces(base: Array, factor: Shape, levels: Sequence[Array]) -> Iterator[tuple[Array, list[Array]]]:
    """Yield views of whole blocks of the base, with the matching views of the levels."""
    if base.size == 0:
        return
    axis = max(range(base.ndim), key=lambda a: (base.shape[a] > 1, abs(base.strides[a])))
    n = base.shape[axis]
    block = min(factor[axis] ** len(levels), n)
    step = max(1, PIECE.get() * n // (base.nbytes * block)) * block
    for start in range(0, n, step):
        before = (slice(None),) * axis
        targets = []
        for k, level in enumerate(levels, 1):
            # every piece starts at a multiple of the coarsest block, or there is one piece, which starts at 0
            f = factor[axis] ** k
            targets.append(level[(*before, slice(start // f, -(-(start + step) // f)))])
        yield base[(*before, slice(start, start + step))], targets


# --- modes --------------------------------------------------------------------------------------------------


def mode(image: Array, factor: Shape, num_mips: int, sparse: bool) -> list[Array]:
    """Return levels of labels, finest first, in Fortran order."""
    axes = _pooled_axes(factor)
    accelerated = axes in ([0, 1], [0, 1, 2]) and all(factor[axis] == 2 for axis in axes)
    power_of_two = all(f & (f - 1) == 0 for f in factor)
    if not power_of_two or (image.dtype.kind not in "iu" and not accelerated and not sparse):
        return pool(image, factor, "stride", num_mips)
    if not axes:
        return pool(image, factor, "mode", num_mips)
    # for (4, 4, 4), tinybrain repeats COUNTLESS 3D; for (2, 2, 2), it counts
    count_3d = not accelerated and not sparse
    levels = []
    for _ in range(num_mips):
        remaining_factor = factor
        while any(f > 1 for f in remaining_factor):
            step = tuple(min(f, 2) for f in remaining_factor)
            image = mode_step(image, step, sparse, count_3d)
            remaining_factor = tuple(max(f // 2, 1) for f in remaining_factor)
        levels.append(image)
    return levels


def mode_step(image: Array, step: Shape, sparse: bool, count_3d: bool) -> Array:
    """Return one level of modes, in Fortran order."""
    axes = _pooled_axes(step)
    if len(axes) == 2:
        first, second = reversed(axes) if axes == [1, 2] else axes
        return countless_2x2(image, first, second, sparse)
    if axes == [0, 1, 2] and count_3d:
        return countless(image, step)
    return pool(image, step, "mode", 1, ignore=0 if sparse else None)[0]


def countless_2x2(image: Array, first: int, second: int, sparse: bool) -> Array:
    """Return COUNTLESS modes of 2 x 2 blocks, in Fortran order.

    A block has the voxels a, b (next to a on the first axis), c (next to a on the second) and d. The compiled mode
    differs from COUNTLESS only in ties. If b or c is the mode, COUNTLESS agrees. Otherwise the mode is a, only the pair
    (a, d) can contain it, and COUNTLESS returns b if b == c, else d. Partial blocks at the edge have one or two voxels,
    of which both rules return the first.
    """
    step = tuple(2 if axis in (first, second) else 1 for axis in range(image.ndim))
    level = _empty_level(image, step)
    for source, (target,) in _pieces(image, step, [level]):
        downsample(source, step, "mode", ignore=0 if sparse else None, out=target)
        (a, b, c, d), modes = _aligned(source, target, step, (first, second))
        if sparse:
            undecided = (b != modes) | (c != modes) | (d != modes)
            _replace(modes, undecided, _sparse_countless, a, b, c, d)
        else:
            undecided = (b != modes) & (c != modes)
            _replace(modes, undecided, _middle_or_last, b, c, d)
    return _fortran(level)


def _middle_or_last(b: Array, c: Array, d: Array) -> Array:
    return _select(b == c, b, d)


def _sparse_countless(a: Array, b: Array, c: Array, d: Array) -> Array:
    single = _select(d != 0, d, _select(a != 0, a, _select(c != 0, c, b)))
    pair = _select((b == c) & (b != 0), b, single)
    return _select(((a == b) | (a == c)) & (a != 0), a, pair)


def _replace(labels: Array, mask: Array, rule: Callable[..., Array], *parts: Array) -> None:
    """Apply a rule where the mask is True: to those voxels if they are few, else to all voxels without branches."""
    count = np.count_nonzero(mask)
    if count * 16 < mask.size:
        indices = _indices(mask)
        labels[indices] = rule(*(part[indices] for part in parts))
    else:
        labels[...] = _select(mask, rule(*map(np.ascontiguousarray, parts)), labels)


def _indices(mask: Array) -> tuple[Array, ...]:
    """Return ``np.nonzero(mask)`` in a tenth of its time for more than one axis."""
    return np.unravel_index(np.flatnonzero(mask), mask.shape)


def _select(mask: Array, yes: Array, no: Array) -> Array:
    """Return ``np.where(mask, yes, no)``; for integers with bit operations, which no pattern of the mask slows down."""
    if no.dtype.kind not in "iu":
        return np.where(mask, yes, no)
    return np.asarray(no ^ ((no ^ yes) & np.negative(mask.astype(no.dtype))))


def countless(image: Array, factor: Shape) -> Array:
    """Return COUNTLESS modes of blocks of any shape, the last axis fastest, in Fortran order.

    The result is the most frequent label, ties to the first. If no label occurs three times, it is a label that occurs
    twice among all voxels except the last, else the last voxel. Partial blocks at the edge give their most frequent
    label.
    """
    level = _empty_level(image, factor)
    for source, (target,) in _pieces(image, factor, [level]):
        downsample(source.T, factor[::-1], "mode", out=target.T)
        parts, modes = _aligned(source, target, factor, _pooled_axes(factor)[::-1])
        # The two rules differ if the mode occurs twice, once of them in the last voxel, or if no label occurs twice.
        # In both cases, it occurs once among the other voxels.
        occurrences = np.zeros(modes.shape, np.int32)
        for part in parts[:-1]:
            occurrences += part == modes
        once = _indices(occurrences == 1)
        voxels = np.stack([part[once] for part in parts])
        labels = voxels[-1]
        for i, j in reversed(list(itertools.combinations(range(len(parts) - 1), 2))):
            labels = np.where(voxels[i] == voxels[j], voxels[i], labels)
        modes[once] = labels
    return _fortran(level)


def _empty_level(image: Array, factor: Shape) -> Array:
    shape = tuple(-(-n // f) for n, f in zip(image.shape, factor, strict=True))
    return np.empty_like(image, shape=shape, subok=False)


def _aligned(source: Array, target: Array, factor: Shape, axes: Sequence[int]) -> tuple[list[Array], Array]:
    """Return the voxels at each position of the whole blocks, and the target voxels of these blocks.

    Positions are in raster order, the first of ``axes`` fastest. All arrays are views whose axes are in the memory
    order of the target.
    """
    order = sorted(range(target.ndim), key=lambda axis: -abs(target.strides[axis]))
    views = []
    for offset in itertools.product(*(range(factor[axis]) for axis in reversed(axes))):
        index = [slice(None)] * source.ndim
        for axis, o in zip(reversed(axes), offset, strict=True):
            f = factor[axis]
            index[axis] = slice(o, source.shape[axis] // f * f, f)
        views.append(source[tuple(index)].transpose(order))
    whole = tuple(slice(n // f) for n, f in zip(source.shape, factor, strict=True))
    return views, target[whole].transpose(order)
