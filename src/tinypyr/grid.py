"""Grids: world coordinates of the voxels of an array and of its levels.

A level follows from its cumulative factor alone. A ratio of extents is not the factor where footprints at an edge are
partial.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from . import _reference
from ._pooling.arguments import MAX_COORDINATE, MAX_LEVELS, Factor, checked_voxel_offset, integer, one_factor
from ._util.units import checked_unit

#: Axis types implied by the usual names; any other name implies "space".
IMPLIED_TYPES = {
    "t": "time",
    "time": "time",
    "c": "channel",
    "ch": "channel",
    "channel": "channel",
    "channels": "channel",
}

#: Relative difference below which two scales are the same: numbers that were float32 stand for those they are close to.
SCALE_TOLERANCE = 1e-6
#: Relative precision of float32.
FLOAT32_PRECISION = 2.0**-23


@dataclass(frozen=True, repr=False)
class Grid:
    """The extents, axes and world coordinates of an array's voxels.

    Parameters
    ----------
    shape : sequence of int
        Number of voxels along each axis.
    axes : sequence of str or (str, str), optional
        Names, or pairs of a name and a type, in the order of the array's axes; by default the last letters of
        ``"tczyx"``. The type is ``"space"``, ``"time"``, ``"channel"`` or another word; a name alone implies it
        (``"t"`` and ``"time"``: time; ``"c"``, ``"ch"`` and ``"channel"``: channel; any other: space).
    scale : sequence of float, optional
        Edge length of a voxel, in ``units``; positive; by default 1.
    translation : sequence of float, optional
        Coordinate of the centre of the array's first voxel, in ``units``; by default 0.
    units : str, or sequence of str or None, optional
        Units of ``scale`` and ``translation``: one per axis, or one for all spatial axes. Names that OME-Zarr lists,
        such as ``"nanometer"``, or abbreviations, such as ``"nm"``, which are replaced by the name. By default unknown.
    voxel_offset : sequence of int, optional
        Coordinates, in voxels, of the first voxel in a larger array; footprints are anchored at 0 there. By default 0.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid or does not have one entry per axis; the message names it.

    Examples
    --------
    >>> from tinypyr import Grid
    >>> grid = Grid((100, 512, 512), axes="zyx", scale=(40, 4, 4), units="nm")
    >>> grid.level((1, 2, 2))
    Grid((100, 256, 256), axes='zyx', scale=(40, 8, 8), translation=(0, 2, 2), units='nanometer')
    >>> Grid((2, 100, 100), axes=[("stain", "channel"), "y", "x"]).types
    ('channel', 'space', 'space')
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    #: The type of each axis. Only axes of type "space" are pooled, unless a factor names every axis.
    types: tuple[str, ...] = field(init=False)
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    units: tuple[str | None, ...]
    voxel_offset: tuple[int, ...]

    def __init__(
        self,
        shape: Iterable[int],
        axes: Iterable[str | Sequence[str | None]] | None = None,
        scale: Iterable[float] | None = None,
        translation: Iterable[float] | None = None,
        units: str | Iterable[str | None] | None = None,
        voxel_offset: Sequence[int] | None = None,
    ) -> None:
        extents = tuple(integer("shape", n) for n in shape)
        ndim = len(extents)
        if min(extents, default=0) < 0:
            raise ValueError(f"shape: {extents} has a negative extent")
        if max(extents, default=0) > MAX_COORDINATE:
            raise ValueError(f"shape: {extents} has an axis of more than {MAX_COORDINATE} voxels")
        if axes is None:
            if ndim > 5:
                raise ValueError(f"axes: needed for {ndim} dimensions")
            axes = "tczyx"[5 - ndim :]
        names, types = _names_and_types(_per_axis("axes", axes, ndim))
        if any(not isinstance(name, str) or not name for name in names) or len(set(names)) < ndim:
            raise ValueError(f"axes: {names!r} are not {ndim} distinct names")
        scales = _floats("scale", [1.0] * ndim if scale is None else scale, ndim)
        if min(scales, default=1.0) <= 0:
            raise ValueError(f"scale: {scales} must be positive")
        object.__setattr__(self, "shape", extents)
        object.__setattr__(self, "axes", names)
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "scale", scales)
        object.__setattr__(
            self, "translation", _floats("translation", [0.0] * ndim if translation is None else translation, ndim)
        )
        if units is None or isinstance(units, str):
            units = [units if kind == "space" else None for kind in types]
        object.__setattr__(self, "units", tuple(map(checked_unit, _per_axis("units", units, ndim))))
        if voxel_offset is not None:
            _per_axis("voxel_offset", voxel_offset, ndim)
        object.__setattr__(self, "voxel_offset", checked_voxel_offset(voxel_offset, extents))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def spatial(self) -> tuple[int, ...]:
        """Indices of the axes of type "space" (or "spatial", in any case, as some writers have it)."""
        return tuple(axis for axis, kind in enumerate(self.types) if kind.lower() in ("space", "spatial"))

    def factor_per_axis(self, factor: Factor) -> tuple[int, ...]:
        """Expand a factor to one integer per axis.

        Parameters
        ----------
        factor : int or sequence of int
            One factor for all spatial axes, one per spatial axis, or one per axis. If all axes are spatial, a shorter
            sequence leaves the last ones alone.

        Returns
        -------
        tuple of int
            1 along axes of time and channels, unless ``factor`` has one entry per axis.

        Raises
        ------
        ValueError, TypeError
            The factor fits neither the axes nor the spatial axes.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> grid = Grid((3, 2, 50, 100, 100), axes="tczyx")
        >>> grid.factor_per_axis(2), grid.factor_per_axis((1, 2, 2))
        ((1, 1, 2, 2, 2), (1, 1, 1, 2, 2))
        """
        spatial = self.spatial
        if not spatial and self.ndim and not hasattr(factor, "__len__"):
            raise ValueError(
                f"factor: {factor!r} is for spatial axes, but the types of the axes are "
                f"{', '.join(map(repr, self.types))}; give one factor per axis"
            )
        if len(spatial) == self.ndim:
            return one_factor(factor, self.ndim)
        if hasattr(factor, "__len__") and len(factor) == self.ndim:
            return one_factor(factor, self.ndim)
        if hasattr(factor, "__len__") and len(factor) != len(spatial):
            named = ", ".join(self.axes[axis] for axis in spatial)
            raise ValueError(
                f"factor: {factor!r} has {len(factor)} entries; give one per axis ({', '.join(self.axes)}), "
                f"one per spatial axis ({named}), or one integer"
            )
        per_axis = dict(zip(spatial, one_factor(factor, len(spatial)), strict=False))
        return tuple(per_axis.get(axis, 1) for axis in range(self.ndim))

    def __repr__(self) -> str:
        named = [name if kind == implied_type(name) else (name, kind) for name, kind in typed_axes(self)]
        brief = all(isinstance(axis, str) and len(axis) == 1 for axis in named)
        axes = "".join(self.axes) if brief else named
        spatial = {self.units[axis] for axis in self.spatial}
        unit = spatial.pop() if len(spatial) == 1 else None
        scalar = all(u == (unit if axis in self.spatial else None) for axis, u in enumerate(self.units))
        parts = [repr(self.shape), f"axes={axes!r}"]
        if set(self.scale) != {1.0}:
            parts.append(f"scale={_short(self.scale)}")
        if any(self.translation):
            parts.append(f"translation={_short(self.translation)}")
        if any(self.units):
            parts.append(f"units={unit!r}" if scalar else f"units={list(self.units)!r}")
        if any(self.voxel_offset):
            parts.append(f"voxel_offset={self.voxel_offset!r}")
        return f"Grid({', '.join(parts)})"

    def level(self, cumulative_factor: Factor, method: str = "mean") -> Grid:
        """Return the grid of one level.

        Parameters
        ----------
        cumulative_factor : int or sequence of int
            Voxels of this grid per voxel of the level, as for :meth:`factor_per_axis`.
        method : str
            A voxel is centred in its footprint, with ``"stride"`` at the first voxel of its footprint.

        Returns
        -------
        Grid
            With F the factor: the scale ``scale * F``, and as translation the coordinate of the first voxel of the
            first footprint plus ``scale * (F - 1) / 2``. That voxel lies before the array unless F divides
            ``voxel_offset``.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> Grid((7,), voxel_offset=(5,)).level(2)  # voxels 5 to 11: voxels 2 to 5 of the level, from voxel 4 on
        Grid((4,), axes='x', scale=(2,), translation=(-0.5,), voxel_offset=(2,))
        """
        factors = self.factor_per_axis(cumulative_factor)
        shape, offset, translation = [], [], []
        for n, f, o, scale, at in zip(
            self.shape, factors, self.voxel_offset, self.scale, self.translation, strict=True
        ):
            shape.append(_reference.extent(n, f, o)[0])
            offset.append(o // f)
            middle = 0.0 if method == "stride" else (f - 1) / 2
            translation.append(at + scale * (o // f * f - o + middle))
        return replace_grid(
            self,
            shape=shape,
            scale=[scale * f for scale, f in zip(self.scale, factors, strict=True)],
            translation=translation,
            voxel_offset=offset,
        )

    def levels(self, cumulative_factors: Iterable[Factor], method: str = "mean") -> list[Grid]:
        """Return the grids of several levels.

        Parameters
        ----------
        cumulative_factors : iterable of int or sequence of int
            For each level, voxels of this grid per voxel of the level, as for :meth:`level`.
        method : str
            As for :meth:`level`.

        Returns
        -------
        list of Grid

        Examples
        --------
        >>> from tinypyr import Grid
        >>> [level.shape for level in Grid((9, 64, 64)).levels([(1, 2, 2), (2, 4, 4)])]
        [(9, 32, 32), (5, 16, 16)]
        """
        return [self.level(factor, method) for factor in cumulative_factors]

    def cumulative_factors(self, factors: Iterable[Factor]) -> list[tuple[int, ...]]:
        """Return the cumulative factor of every level from the factors between consecutive levels.

        Parameters
        ----------
        factors : iterable of int or sequence of int
            As :func:`tinypyr.pyramid` takes and :meth:`schedule` returns them.

        Returns
        -------
        list of tuple of int

        Examples
        --------
        >>> from tinypyr import Grid
        >>> Grid((9, 64, 64)).cumulative_factors([(1, 2, 2), (2, 2, 2)])
        [(1, 2, 2), (2, 4, 4)]
        """
        return cumulative([self.factor_per_axis(factor) for factor in factors], self.ndim)

    def with_voxel_size(self, voxel_size: Iterable[float]) -> Grid:
        """Return a grid of the same region of the world with voxels of another size.

        Parameters
        ----------
        voxel_size : sequence of float
            Edge length of a voxel, in ``units``, one per axis.

        Returns
        -------
        Grid
            The last voxel along an axis may extend beyond the region.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> grid = Grid((10, 100), scale=(40, 8))
        >>> grid.with_voxel_size((40, 12)).shape
        (10, 67)
        >>> grid.with_voxel_size((80, 16)) == grid.level(2)
        True
        """
        resized = Grid(self.shape, self.axes, _floats("voxel_size", voxel_size, self.ndim))
        shape = []
        for n, old_size, new_size in zip(self.shape, self.scale, resized.scale, strict=True):
            exact = n * old_size / new_size
            shape.append(round(exact) if abs(exact - round(exact)) < SCALE_TOLERANCE * exact else math.ceil(exact))
        middle = [
            at + (new_size - old_size) / 2
            for at, old_size, new_size in zip(self.translation, self.scale, resized.scale, strict=True)
        ]
        return replace_grid(self, shape=shape, scale=resized.scale, translation=middle, voxel_offset=None)

    def schedule(
        self,
        factor: Any = "auto",
        levels: int | Literal["auto"] = "auto",
        fits: Sequence[int] | None = None,
    ) -> list[tuple[int, ...]]:
        """Choose the factors between consecutive levels.

        Parameters
        ----------
        factor : "auto", int, sequence of int, or list of sequences
            ``"auto"`` halves the spatial axes along which voxels are at most √2 times as long as along the shortest
            one, until voxels are about cubic, and then all spatial axes. An integer or a sequence is expanded by
            :meth:`factor_per_axis`, for every level. A list of sequences has one factor per level.
        levels : int or "auto"
            Number of levels; ``"auto"``: as many as it takes until the last level fits ``fits``.
        fits : sequence of int, optional
            Extents of a chunk, one per axis; by default 64 along each axis.

        Returns
        -------
        list of tuple of int
            One factor per level, with one entry per axis.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> Grid((200, 1000, 1000), scale=(40, 10, 10)).schedule()
        [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
        """
        count = None if levels == "auto" else integer("levels", levels)
        if count is not None and not 0 <= count <= MAX_LEVELS:
            raise ValueError(f"levels: {levels!r} must be 0 to {MAX_LEVELS}")
        if isinstance(factor, str) and factor != "auto":
            raise ValueError(f"factor: {factor!r} is neither 'auto' nor integers")
        if isinstance(factor, (list, tuple)) and any(hasattr(entry, "__iter__") for entry in factor):
            factors = [self.factor_per_axis(entry) for entry in factor]
            if count not in (None, len(factors)):
                raise ValueError(f"levels: {levels} does not match the {len(factors)} factors in factor={factor!r}")
            return factors
        constant = None if isinstance(factor, str) else self.factor_per_axis(factor)
        if constant is None and not self.spatial and count != 0:
            self._report_no_spatial_axis(count)
        pooled = self.spatial if constant is None else [axis for axis, f in enumerate(constant) if f > 1]
        largest_extents = [64] * self.ndim if fits is None else list(fits)
        schedule: list[tuple[int, ...]] = []
        grid = self
        while len(schedule) < (MAX_LEVELS if count is None else count):
            if count is None and all(grid.shape[axis] <= largest_extents[axis] for axis in pooled):
                break
            step = grid._halves() if constant is None else constant
            coarser = grid.level(step)
            if count is None and coarser.shape == grid.shape:
                break
            schedule.append(step)
            grid = coarser
        return schedule

    def _halves(self) -> tuple[int, ...]:
        """Return 2 along the spatial axes with about the shortest voxels, else 1."""
        divisible = [axis for axis in self.spatial if self.shape[axis] > 1]
        limit = min((self.scale[axis] for axis in divisible), default=0.0) * math.sqrt(2)
        return tuple(2 if axis in divisible and self.scale[axis] <= limit else 1 for axis in range(self.ndim))

    def _report_no_spatial_axis(self, levels: int | None) -> None:
        message = (
            f"factor: no axis is of type 'space' (the types are {', '.join(map(repr, self.types))}), so 'auto' pools "
            "none; give one factor per axis, or a grid with other types"
        )
        if levels is not None:
            raise ValueError(message)
        warnings.warn(message, stacklevel=3)


def as_arguments(grid: Grid) -> dict[str, Any]:
    """Return the arguments that make this grid, as JSON values."""
    return {
        "shape": list(grid.shape),
        "axes": [list(pair) for pair in typed_axes(grid)],
        "scale": list(grid.scale),
        "translation": list(grid.translation),
        "units": list(grid.units),
        "voxel_offset": list(grid.voxel_offset),
    }


def typed_axes(grid: Grid) -> list[tuple[str, str]]:
    """Return the names and types of a grid's axes, in pairs."""
    return list(zip(grid.axes, grid.types, strict=True))


def implied_type(name: str) -> str:
    """Return the type that the name of an axis implies."""
    return IMPLIED_TYPES.get(name.lower(), "space")


def grid_from(arguments: dict[str, Any]) -> Grid:
    """Make a grid from the result of :func:`as_arguments`, or from metadata: units are kept verbatim."""
    units = arguments.get("units")
    grid = Grid(**{**arguments, "units": None})
    if units is not None:
        object.__setattr__(grid, "units", _per_axis("units", units, grid.ndim))
    return grid


def replace_grid(grid: Grid, **changes: Any) -> Grid:
    """Return a grid that differs in some of the arguments that make it. Units are kept verbatim."""
    return grid_from({**as_arguments(grid), **changes})


def reordered(grid: Grid, axes: Iterable[str]) -> Grid:
    """Return the grid with its axes in another order. Names that it does not have are omitted."""
    at = [grid.axes.index(axis) for axis in axes if axis in grid.axes]
    return grid_from({name: [values[a] for a in at] for name, values in as_arguments(grid).items()})


def cumulative(factors: Iterable[Factor], ndim: int) -> list[tuple[int, ...]]:
    """Return the cumulative factors of levels from the factors between consecutive levels."""
    totals = []
    total = (1,) * ndim
    for factor in factors:
        total = tuple(a * b for a, b in zip(total, one_factor(factor, ndim), strict=True))
        totals.append(total)
    return totals


def factors_between(base: Grid, level: Grid) -> tuple[int, ...] | None:
    """Return the cumulative factor between two grids; None if the scales are not integer multiples."""
    ratios = [a / b for a, b in zip(level.scale, base.scale, strict=True)]
    factor = tuple(round(ratio) for ratio in ratios)
    matches = zip(factor, ratios, strict=True)
    return factor if all(f >= 1 and abs(f - r) < SCALE_TOLERANCE * f for f, r in matches) else None


class Cuts(Sequence[tuple[int, int]]):
    """Pieces of ``step`` voxels of an axis with n voxels, cut at global multiples of ``factor``."""

    def __init__(self, n: int, offset: int, step: int, factor: int) -> None:
        self._n, self._step, self._first = n, step, -(offset % factor)

    def __len__(self) -> int:
        return -((self._first - self._n) // self._step)

    @overload
    def __getitem__(self, at: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[int, int]]: ...
    def __getitem__(self, at: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        if isinstance(at, slice):
            return [self[i] for i in range(len(self))[at]]
        start = self._first + range(len(self))[at] * self._step
        return max(0, start), min(self._n, start + self._step)

    def touching(self, low: int, high: int) -> range:
        """Return the numbers of the pieces that hold any of the voxels ``low`` to ``high - 1``."""
        first = max(0, (low - self._first) // self._step)
        return range(first, min(len(self), -((self._first - high) // self._step)))


def region_above(box: Iterable[tuple[int, int]], total: Sequence[int], offset: Sequence[int]) -> list[tuple[int, int]]:
    """Return the voxels of a level whose footprints meet a box of the base, both in array coordinates."""
    return [
        ((o + start) // f - o // f, -((o + stop) // -f) - o // f)
        for (start, stop), f, o in zip(box, total, offset, strict=True)
    ]


def _per_axis(name: str, values: Iterable[Any], ndim: int) -> tuple[Any, ...]:
    try:
        entries = tuple(values)
    except TypeError:
        raise TypeError(f"{name}: {values!r} does not have one entry for each of {ndim} axes") from None
    if len(entries) != ndim:
        raise ValueError(f"{name}: {entries!r} has {len(entries)} entries for {ndim} axes")
    return entries


def _names_and_types(axes: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Separate the names of axes from their types, which names alone imply."""
    names, types = [], []
    for axis in axes:
        name, kind = axis if isinstance(axis, (tuple, list)) and len(axis) == 2 else (axis, None)
        if not isinstance(kind, (str, type(None))) or kind == "":
            raise TypeError(f"axes: {axis!r} is neither a name nor a pair of a name and a type")
        names.append(name)
        types.append(implied_type(str(name)) if kind is None else kind)
    return tuple(names), tuple(types)


def _short(values: Iterable[float]) -> str:
    """Write floats as briefly as possible without losing digits."""
    texts = [repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value) for value in values]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _floats(name: str, values: Iterable[Any], ndim: int) -> tuple[float, ...]:
    entries = _per_axis(name, values, ndim)
    try:
        numbers = tuple(float(value) for value in entries)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {entries!r} are not numbers") from None
    if not all(math.isfinite(value) for value in numbers):
        raise ValueError(f"{name}: {numbers} must be finite")
    return numbers
