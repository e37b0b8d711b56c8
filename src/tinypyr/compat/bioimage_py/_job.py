"""What is made: voxels of an output, in numbered blocks, each from the input's voxels that it needs."""

from __future__ import annotations

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

#: Voxels of the input per block, where neither input nor output is cut into chunks.
_USUAL_BLOCK = 1 << 22


def downscale_shape(shape: Sequence[int], scale_factor: int | Sequence[int], ceil_mode: bool = True) -> tuple[int, ...]:
    """The shape of an array downsampled by whole factors.

    Parameters
    ----------
    shape : sequence of int
        Of the input.
    scale_factor : int or sequence of int
        For all axes, or one per axis.
    ceil_mode : bool
        Whether what is left over at the end makes another voxel.

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
    """A checked call of ``downsample``."""

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
        """From the arguments of ``downsample``, whose names the errors bear."""
        source = _array("input", input)
        factors = _factors(scale_factor, len(source.shape))
        if whole_numbers("order", [order], least=0)[0] > 5:
            raise ValueError(f"order: {order!r} is more than 5")
        if not isinstance(anti_aliasing, (bool, np.bool_)):
            raise TypeError(f"anti_aliasing: {anti_aliasing!r} is neither True nor False")
        dtype = _arrays.dtype_of(source)
        smoothed = bool(anti_aliasing) and max(factors, default=1) > 1
        if smoothed and dtype.kind not in "biuf":
            raise TypeError(f"input: of {dtype}, which cannot be smoothed; convert it, or leave out anti_aliasing")
        if smoothed:
            ndimage("anti_aliasing: needs")
        shape = downscale_shape(source.shape, factors)
        target = np.zeros(shape, dtype) if output is None else _array("output", output)
        if tuple(target.shape) != shape:
            raise ValueError(f"output: of shape {tuple(target.shape)}, but {shape} comes of {tuple(source.shape)}")
        into = _arrays.dtype_of(target)
        if not _holds(into, dtype):
            raise ValueError(f"output: of {into}, which cannot hold every {dtype}; convert it afterwards")
        if hasattr(target, "dask") or not hasattr(target, "__setitem__"):
            raise TypeError(
                f"output: {type(output).__name__}, of which parts cannot be written; give an array that can"
            )
        if _arrays.is_read_only(target):
            raise ValueError("output: is read-only")
        if output is not None and _arrays.share_memory(target, source):
            raise ValueError("output: shares memory with the input, which is still to be read")
        if mask is not None:
            mask = _array("mask", mask)
            if tuple(mask.shape) != shape:
                raise ValueError(f"mask: of shape {tuple(mask.shape)}, but the output has shape {shape}")
            if _arrays.dtype_of(mask).kind not in "biuf":
                raise TypeError(f"mask: of {mask.dtype}; numbers or booleans are wanted")
        unit = _arrays.write_unit(target)
        if block_shape is None:
            blocks = _usual_blocks(shape, factors, _arrays.read_chunks(source), unit)
        else:
            blocks = whole_numbers("block_shape", block_shape)
            if len(blocks) != len(shape):
                raise ValueError(f"block_shape: {blocks} has not one extent for each of {len(shape)} axes")
            for edge, chunk, n in zip(blocks, unit or blocks, shape, strict=True):
                if edge % chunk and edge < n:
                    raise ValueError(
                        f"block_shape: {blocks} are not whole chunks (or shards) of the output, {unit}: two blocks "
                        "would write to one"
                    )
        return cls(source, target, mask, factors, smoothed, blocks)

    @property
    def _grid(self) -> list[range]:
        return [range(0, int(n), edge) for n, edge in zip(self.output.shape, self.block_shape, strict=True)]

    def __len__(self) -> int:
        return math.prod(map(len, self._grid))

    def box(self, number: int) -> Box:
        """The output voxels of a block."""
        box = []
        for starts in reversed(self._grid):
            number, at = divmod(number, len(starts))
            box.append(slice(starts[at], min(starts[at] + starts.step, starts.stop)))
        return tuple(box[::-1])

    def run(self, number: int) -> None:
        """Make a block."""
        box = self.box(number)
        wanted = None if self.mask is None else _arrays.read(self.mask, box) != 0
        if wanted is not None and not wanted.any():
            return
        made = self._made(box)
        if wanted is not None and not wanted.all():
            made = np.where(wanted, made, _arrays.read(self.output, box))
        _arrays.write(self.output, box, made)

    def _made(self, box: Box) -> NDArray[Any]:
        reach = [int(3 * (f - 1) / 2 + 0.5) if self.smoothed else 0 for f in self.factors]  # (three sigma, rounded)
        fine = tuple(
            slice(max(0, out.start * f - r), min(int(n), (out.stop - 1) * f + 1 + r))
            for out, f, r, n in zip(box, self.factors, reach, self.input.shape, strict=True)
        )
        voxels = _arrays.read(self.input, fine)
        dtype = voxels.dtype
        if self.smoothed and dtype.kind == "f" and dtype.itemsize not in (4, 8):  # (which scipy does not take)
            voxels = voxels.astype(np.float64)
        for axis, (out, f) in enumerate(zip(box, self.factors, strict=True)):
            if self.smoothed and f > 1:
                voxels = ndimage("anti_aliasing: needs").gaussian_filter1d(
                    voxels, (f - 1) / 2, axis, output=np.float64, mode="mirror", truncate=3.0
                )
            first = out.start * f - fine[axis].start
            voxels = voxels[(slice(None),) * axis + (slice(first, first + (out.stop - 1 - out.start) * f + 1, f),)]
        return _arrays.rounded(voxels, dtype) if self.smoothed else voxels


def whole_numbers(name: str, values: Iterable[Any], least: int = 1) -> tuple[int, ...]:
    """Numbers of so much or more, and not too many to count."""
    try:
        given = tuple(values)
        made = tuple(operator.index(value) for value in given if not isinstance(value, (bool, np.bool_)))
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not whole numbers") from None
    if len(made) < len(given) or any(not least <= value <= MAX_COORDINATE for value in made):
        what = f"{given[0]!r} is not a whole number" if len(given) == 1 else f"{given} are not whole numbers"
        raise ValueError(f"{name}: {what} of {least} or more")
    return made


def _holds(into: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether every number of a type is one of another's (numpy takes doubles for that of any integer)."""
    wide = dtype.kind in "iu" and dtype.itemsize == 8 and into.kind in "fc"
    return np.can_cast(dtype, into) and not wide


def _factors(scale_factor: Any, ndim: int) -> tuple[int, ...]:
    if np.ndim(scale_factor) == 0:
        return whole_numbers("scale_factor", [scale_factor]) * ndim
    made = whole_numbers("scale_factor", scale_factor)
    if len(made) != ndim:
        raise ValueError(f"scale_factor: {made} has not one factor for each of {ndim} axes")
    return made


def _array(name: str, given: Any) -> Any:
    if not all(hasattr(given, needed) for needed in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"{name}: {type(given).__name__} is not an array; open it first")
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{name}: masked; fill it first")
    if len(given.shape) == 0:
        raise ValueError(f"{name}: of no dimensions")
    return _arrays.from_zero(given)


def _usual_blocks(
    shape: tuple[int, ...],
    factors: tuple[int, ...],
    chunks: tuple[int, ...] | None,
    unit: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """About what the input's chunks become, as whole chunks of the output."""
    if chunks is None and unit is None:
        edge = _USUAL_BLOCK ** (1 / len(shape))
        return tuple(min(max(1, round(edge / f)), max(1, n)) for n, f in zip(shape, factors, strict=True))
    small = unit or (1,) * len(shape)
    become = small if chunks is None else tuple(max(1, c // f) for c, f in zip(chunks, factors, strict=True))
    return tuple(max(1, c // u) * u for c, u in zip(become, small, strict=True))
