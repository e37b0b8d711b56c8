"""A downsampling job: numbered blocks of an output, each computed from the part of the input that it covers."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _arrays
from ..._pooling.arguments import MAX_COORDINATE
from ...resampling.sampler import ndimage

Box = tuple[slice, ...]

#: Input voxels per block if neither input nor output has chunks.
_VOXELS_PER_BLOCK = 1 << 22
#: Prefix of the error if scipy is missing.
_NEEDS_SCIPY = "anti_aliasing: needs"


def downscale_shape(shape: Sequence[int], scale_factor: int | Sequence[int], ceil_mode: bool = True) -> tuple[int, ...]:
    """Return the shape of an array downsampled by integer factors.

    Parameters
    ----------
    shape : sequence of int
        Shape of the input.
    scale_factor : int or sequence of int
        One factor for all axes, or one per axis.
    ceil_mode : bool
        Round extents up instead of down.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from tinypyr.compat.bioimage_py import downscale_shape
    >>> downscale_shape((13, 10), (2, 3)), downscale_shape((13, 10), 2, ceil_mode=False)
    ((7, 4), (6, 5))
    """
    extents = whole_numbers("shape", shape, least=0)
    factors = _factors(scale_factor, len(extents))
    return tuple(-(-n // f) if ceil_mode else n // f for n, f in zip(extents, factors, strict=True))


@dataclass(frozen=True)
class Job:
    """A validated call of ``downsample``. Its length is the number of blocks."""

    input: Any
    output: Any
    mask: Any
    factors: tuple[int, ...]
    smoothed: bool
    block_shape: tuple[int, ...]

    @classmethod
    def checked(
        cls, input: Any, scale_factor: Any, output: Any, order: Any, anti_aliasing: Any, block_shape: Any, mask: Any
    ) -> Job:
        """Validate the arguments of ``downsample`` and return the job. Errors name the argument."""
        source = _array("input", input)
        factors = _factors(scale_factor, len(source.shape))
        if whole_numbers("order", [order], least=0)[0] > 5:
            raise ValueError(f"order: {order!r} is more than 5")
        smoothed = _smoothed(source, factors, anti_aliasing)
        shape = downscale_shape(source.shape, factors)
        if output is None:
            target = np.zeros(shape, _arrays.dtype_of(source))
        else:
            target = _array("output", output)
            _check_output(target, source, shape)
        mask = None if mask is None else _checked_mask(mask, shape)
        unit = _arrays.write_unit(target)
        if block_shape is None:
            blocks = _default_block_shape(shape, factors, _arrays.read_chunks(source), unit)
        else:
            blocks = _checked_block_shape(block_shape, shape, None if _is_sharded(target) else unit)
        return cls(source, target, mask, factors, smoothed, blocks)

    @property
    def _grid(self) -> list[range]:
        return [range(0, int(n), edge) for n, edge in zip(self.output.shape, self.block_shape, strict=True)]

    def __len__(self) -> int:
        return math.prod(map(len, self._grid))

    def groups(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return blocks in groups of which different workers may write different ones, because they share no shard."""
        unit = _arrays.write_unit(self.output) or self.block_shape
        # a block starts a new group along an axis unless it shares a shard with the block before
        positions = [
            list(itertools.accumulate(start % edge == 0 for start in starts))
            for starts, edge in zip(self._grid, unit, strict=True)
        ]
        groups: dict[tuple[int, ...], list[int]] = {}
        for number in numbers:
            index = self._index(number)
            group = tuple(along[at] for along, at in zip(positions, index, strict=True))
            groups.setdefault(group, []).append(number)
        return list(groups.values())

    def _index(self, number: int) -> tuple[int, ...]:
        """Return the position of a block along each axis."""
        index = []
        for starts in reversed(self._grid):
            number, at = divmod(number, len(starts))
            index.append(at)
        return tuple(index[::-1])

    def box(self, number: int) -> Box:
        """Return the slices of the output that a block covers."""
        return tuple(
            slice(starts[at], min(starts[at] + starts.step, starts.stop))
            for starts, at in zip(self._grid, self._index(number), strict=True)
        )

    def run(self, number: int) -> None:
        """Compute a block and write it."""
        box = self.box(number)
        mask = None if self.mask is None else _arrays.read(self.mask, box) != 0
        if mask is not None and not mask.any():
            return
        voxels = self._voxels(box)
        if mask is not None and not mask.all():
            voxels = np.where(mask, voxels, _arrays.read(self.output, box))
        _arrays.write(self.output, box, voxels)

    def _voxels(self, box: Box) -> NDArray[Any]:
        """Return the output voxels of a box."""
        # the filter is truncated at three standard deviations, rounded to whole voxels
        reach = [int(3 * (f - 1) / 2 + 0.5) if self.smoothed else 0 for f in self.factors]
        input_box = tuple(
            slice(max(0, out.start * f - r), min(int(n), (out.stop - 1) * f + 1 + r))
            for out, f, r, n in zip(box, self.factors, reach, self.input.shape, strict=True)
        )
        voxels = _arrays.read(self.input, input_box)
        dtype = voxels.dtype
        if self.smoothed and dtype.kind == "f" and dtype.itemsize not in (4, 8):  # (not supported by scipy)
            voxels = voxels.astype(np.float64)
        for axis, (out, f) in enumerate(zip(box, self.factors, strict=True)):
            if self.smoothed and f > 1:
                voxels = ndimage(_NEEDS_SCIPY).gaussian_filter1d(
                    voxels, (f - 1) / 2, axis, output=np.float64, mode="mirror", truncate=3.0
                )
            first = out.start * f - input_box[axis].start
            voxels = voxels[(slice(None),) * axis + (slice(first, first + (out.stop - 1 - out.start) * f + 1, f),)]
        return _arrays.rounded(voxels, dtype) if self.smoothed else voxels


def whole_numbers(name: str, values: Iterable[Any], least: int = 1) -> tuple[int, ...]:
    """Return an argument as a tuple of int, or raise an error if one is not between ``least`` and the largest size."""
    try:
        arguments = tuple(values)
        numbers = tuple(operator.index(value) for value in arguments if not isinstance(value, (bool, np.bool_)))
    except TypeError:
        raise TypeError(f"{name}: {values!r} must be integers") from None
    if len(numbers) < len(arguments) or any(not least <= value <= MAX_COORDINATE for value in numbers):
        single = len(arguments) == 1
        text = f"{arguments[0]!r} is not a whole number" if single else f"{arguments} are not whole numbers"
        raise ValueError(f"{name}: {text} of {least} or more")
    return numbers


def _factors(scale_factor: Any, ndim: int) -> tuple[int, ...]:
    try:
        if np.ndim(scale_factor) == 0:
            return whole_numbers("scale_factor", [scale_factor]) * ndim
        factors = whole_numbers("scale_factor", scale_factor)
    except ValueError as error:
        raise ValueError(f"{error}; scale factors are integers") from None
    if len(factors) != ndim:
        raise ValueError(
            f"scale_factor: {factors} does not have one factor for each of {ndim} axes, the dimensionality of the input"
        )
    return factors


def _array(name: str, argument: Any) -> Any:
    if not all(hasattr(argument, attribute) for attribute in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"{name}: {type(argument).__name__} is not an array; open it first")
    if isinstance(argument, np.ma.MaskedArray):
        raise TypeError(f"{name}: is a masked array; fill it first")
    if len(argument.shape) == 0:
        raise ValueError(f"{name}: has no dimensions")
    return _arrays.from_zero(argument)


def _smoothed(source: Any, factors: tuple[int, ...], anti_aliasing: Any) -> bool:
    if not isinstance(anti_aliasing, (bool, np.bool_)):
        raise TypeError(f"anti_aliasing: {anti_aliasing!r} is neither True nor False")
    if not anti_aliasing or max(factors, default=1) == 1:
        return False
    dtype = _arrays.dtype_of(source)
    if dtype.kind not in "biuf":
        raise TypeError(f"input: {dtype} cannot be smoothed; convert it, or use anti_aliasing=False")
    ndimage(_NEEDS_SCIPY)
    return True


def _check_output(output: Any, source: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError or TypeError if the output cannot hold the result."""
    if tuple(output.shape) != shape:
        raise ValueError(
            f"output: has shape {tuple(output.shape)}, but an input of shape {tuple(source.shape)} makes {shape}"
        )
    dtype, source_dtype = _arrays.dtype_of(output), _arrays.dtype_of(source)
    if not _can_hold(dtype, source_dtype):
        raise ValueError(f"output: {dtype} cannot hold every {source_dtype}; convert the result instead")
    if hasattr(output, "dask") or not hasattr(output, "__setitem__"):
        raise TypeError(
            f"output: {type(output).__name__} does not support writing to slices; give an array of numpy, zarr, h5py "
            "or TensorStore"
        )
    if _arrays.is_read_only(output):
        raise ValueError("output: is read-only")
    if _arrays.share_memory(output, source):
        raise ValueError("output: shares memory with the input, from which it must differ; give another array")


def _can_hold(dtype: np.dtype[Any], source: np.dtype[Any]) -> bool:
    """Return True if every value of the source dtype fits. (numpy.can_cast says so of float64 for 64-bit integers.)"""
    is_wide = source.kind in "iu" and source.itemsize == 8 and dtype.kind in "fc"
    return np.can_cast(source, dtype) and not is_wide


def _checked_mask(argument: Any, shape: tuple[int, ...]) -> Any:
    mask = _array("mask", argument)
    if tuple(mask.shape) != shape:
        raise ValueError(f"mask: has shape {tuple(mask.shape)}, but the output has shape {shape}")
    if _arrays.dtype_of(mask).kind not in "biuf":
        raise TypeError(f"mask: {mask.dtype} is neither a numeric nor a boolean dtype")
    return mask


def _is_sharded(array: Any) -> bool:
    """Return True if files hold several chunks each. Blocks that share one are written by one worker."""
    unit = _arrays.write_unit(array)
    return unit is not None and unit != _arrays.read_chunks(array)


def _checked_block_shape(argument: Any, shape: tuple[int, ...], unit: tuple[int, ...] | None) -> tuple[int, ...]:
    blocks = whole_numbers("block_shape", argument)
    if len(blocks) != len(shape):
        raise ValueError(f"block_shape: {blocks} does not have one extent for each of {len(shape)} axes")
    for edge, chunk, n in zip(blocks, unit or blocks, shape, strict=True):
        if edge % chunk and edge < n:
            raise ValueError(
                f"block_shape: {blocks} is not a multiple of the chunks of the output, {unit}; two blocks "
                "would write to the same chunk"
            )
    return blocks


def _default_block_shape(
    shape: tuple[int, ...],
    factors: tuple[int, ...],
    chunks: tuple[int, ...] | None,
    unit: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """Return about the shape of an input chunk after downsampling, as a whole number of output chunks."""
    if chunks is None and unit is None:
        edge = _VOXELS_PER_BLOCK ** (1 / len(shape))
        return tuple(min(max(1, round(edge / f)), max(1, n)) for n, f in zip(shape, factors, strict=True))
    small = unit or (1,) * len(shape)
    downsampled = small if chunks is None else tuple(max(1, c // f) for c, f in zip(chunks, factors, strict=True))
    return tuple(max(1, c // u) * u for c, u in zip(downsampled, small, strict=True))
