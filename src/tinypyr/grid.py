"""Where in the world is voxel (i, j, k) of level n?

A grid places the voxels of an array: extents, and per axis a name, the distance between voxels, the coordinate of the
centre of the first, and a unit. ``voxel_offset`` counts where the array begins in a larger one, whose blocks are
anchored at 0. Levels follow from the cumulative factor alone, never from a ratio of extents, which is not the factor
where blocks at the edge are partial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from . import _reference
from ._pooling.arguments import MAX_COORDINATE, MAX_LEVELS, Factor, checked_voxel_offset, integer, one_factor

#: Axis types implied by the usual names; any other name implies "space".
IMPLIED_TYPES = {
    "t": "time",
    "time": "time",
    "c": "channel",
    "ch": "channel",
    "channel": "channel",
    "channels": "channel",
}


@dataclass(frozen=True)
class Grid:
    """The place of an array's voxels.

    Parameters
    ----------
    shape : sequence of int
        Voxels along each axis.
    axes : sequence of str or (str, str), optional
        Names, or pairs of a name and a type, in the order of the array's axes; by default the last letters of
        ``"tczyx"``. The type is ``"space"``, ``"time"``, ``"channel"`` or another word; a name alone implies it
        (``"t"`` and ``"time"``: time; ``"c"``, ``"ch"`` and ``"channel"``: channel; any other: space).
    scale : sequence of float, optional
        Distance between the centres of neighbours, in ``units``; positive; by default 1.
    translation : sequence of float, optional
        Coordinate of the centre of the array's first voxel, in ``units``; by default 0.
    units : sequence of str or None, optional
        Units of ``scale`` and ``translation``, for example ``"nanometer"``; by default unknown.
    voxel_offset : sequence of int, optional
        Where the first voxel lies in a larger array of the same spacing, whose blocks start at 0; by default 0.

    Raises
    ------
    ValueError, TypeError
        A value that makes no sense, or not one per axis; the message names it.

    Examples
    --------
    >>> from tinypyr import Grid
    >>> grid = Grid((100, 512, 512), axes="zyx", scale=(40, 4, 4), units=["nanometer"] * 3)
    >>> level = grid.level((1, 2, 2))
    >>> level.shape, level.scale, level.translation
    ((100, 256, 256), (40.0, 8.0, 8.0), (0.0, 2.0, 2.0))
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
        units: Iterable[str | None] | None = None,
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
            raise ValueError(f"axes: {names!r} are not {ndim} different names")
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
        object.__setattr__(self, "units", _per_axis("units", [None] * ndim if units is None else units, ndim))
        if voxel_offset is not None:
            _per_axis("voxel_offset", voxel_offset, ndim)
        object.__setattr__(self, "voxel_offset", checked_voxel_offset(voxel_offset, extents))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def spatial(self) -> tuple[int, ...]:
        """Indices of the axes of type "space"."""
        return tuple(axis for axis, kind in enumerate(self.types) if kind == "space")

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

    def level(self, factor: Factor, method: str = "mean") -> Grid:
        """The grid of the level that a cumulative factor leads to.

        Parameters
        ----------
        factor : int or sequence of int
            Base voxels per voxel of the level, as for :meth:`factor_per_axis`.
        method : str
            A voxel lies in the middle of its block, with ``"stride"`` where the block's first voxel was.

        Returns
        -------
        Grid
            ``scale * F`` and ``translation + scale * (F - 1) / 2`` (from where the first block begins, which is before
            the first voxel if ``voxel_offset`` is no multiple of F).

        Examples
        --------
        >>> from tinypyr import Grid
        >>> Grid((7,), voxel_offset=(5,)).level(2)  # voxels 5 to 11: blocks 2 to 5, the first of which begins at 4
        Grid(shape=(4,), axes=('x',), types=('space',), scale=(2.0,), translation=(-0.5,), units=(None,),
             voxel_offset=(2,))
        """
        factors = self.factor_per_axis(factor)
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

    def levels(self, factors: Iterable[Factor], method: str = "mean") -> list[Grid]:
        """The grids of several levels; each factor leads from the level before to the next.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> [level.shape for level in Grid((9, 64, 64)).levels([(1, 2, 2), (2, 2, 2)])]
        [(9, 32, 32), (5, 16, 16)]
        """
        per_level = [self.factor_per_axis(factor) for factor in factors]
        return [self.level(total, method) for total in cumulative(per_level, self.ndim)]

    def respaced(self, scale: Iterable[float]) -> Grid:
        """The grid of the same box of the world in voxels of another size, the last of which may reach beyond it.

        Parameters
        ----------
        scale : sequence of float
            Distance between the centres of neighbours, in ``units``, one per axis.

        Returns
        -------
        Grid

        Examples
        --------
        >>> from tinypyr import Grid
        >>> grid = Grid((10, 100), scale=(40, 8))
        >>> grid.respaced((40, 12)).shape
        (10, 67)
        >>> grid.respaced((80, 16)) == grid.level(2)
        True
        """
        made = Grid(self.shape, self.axes, scale)
        shape = []
        for n, old, new in zip(self.shape, self.scale, made.scale, strict=True):
            exact = n * old / new
            shape.append(round(exact) if abs(exact - round(exact)) < 1e-9 * exact else math.ceil(exact))
        middle = [at + (new - old) / 2 for at, old, new in zip(self.translation, self.scale, made.scale, strict=True)]
        return replace_grid(self, shape=shape, scale=made.scale, translation=middle, voxel_offset=None)

    def schedule(
        self,
        factor: Any = "auto",
        levels: int | Literal["auto"] = "auto",
        fits: Sequence[int] | None = None,
    ) -> list[tuple[int, ...]]:
        """The factor from each level to the next.

        Parameters
        ----------
        factor : "auto", int, sequence of int, or list of sequences
            ``"auto"`` halves the axes along which voxels are at most √2 times as long as along the shortest one, so
            that they become cubes, and then all spatial axes. An integer or a sequence is expanded by
            :meth:`factor_per_axis`, for every level. A list of sequences has one factor per level.
        levels : int or "auto"
            ``"auto"``: until the array fits ``fits``, going on along the axes that can.
        fits : sequence of int, optional
            The extents to stop at (a chunk); by default 64 along each axis.

        Examples
        --------
        >>> from tinypyr import Grid
        >>> Grid((200, 1000, 1000), scale=(40, 10, 10)).schedule()
        [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
        """
        room = [64] * self.ndim if fits is None else list(fits)
        if levels != "auto":
            count = integer("levels", levels)
            if not 0 <= count <= MAX_LEVELS:
                raise ValueError(f"levels: {levels!r} levels; 0 to {MAX_LEVELS} can be made")
        automatic = isinstance(factor, str)
        if automatic and factor != "auto":
            raise ValueError(f"factor: {factor!r} is neither 'auto' nor integers")
        if not automatic and isinstance(factor, (list, tuple)) and any(hasattr(f, "__iter__") for f in factor):
            made = [self.factor_per_axis(f) for f in factor]
            if levels not in ("auto", len(made)):
                raise ValueError(f"levels: {levels} does not match the {len(made)} factors in factor={factor!r}")
            return made
        given = None if automatic else self.factor_per_axis(factor)
        schedule: list[tuple[int, ...]] = []
        grid = self
        while len(schedule) < (MAX_LEVELS if levels == "auto" else levels):
            if levels == "auto" and all(grid.shape[axis] <= room[axis] for axis in self.spatial):
                break
            if given is None:
                able = [axis for axis in self.spatial if grid.shape[axis] > 1]
                shortest = min((grid.scale[axis] for axis in able), default=0.0)
                step = tuple(
                    2 if a in able and grid.scale[a] <= shortest * math.sqrt(2) else 1 for a in range(self.ndim)
                )
            else:
                step = given
            after = grid.level(step)
            if levels == "auto" and after.shape == grid.shape:
                break
            schedule.append(step)
            grid = after
        return schedule


def as_arguments(grid: Grid) -> dict[str, Any]:
    """The arguments that make this grid, as values of JSON."""
    return {
        "shape": list(grid.shape),
        "axes": [list(pair) for pair in typed_axes(grid)],
        "scale": list(grid.scale),
        "translation": list(grid.translation),
        "units": list(grid.units),
        "voxel_offset": list(grid.voxel_offset),
    }


def typed_axes(grid: Grid) -> list[tuple[str, str]]:
    """The names and types of a grid's axes, in pairs."""
    return list(zip(grid.axes, grid.types, strict=True))


def implied_type(name: str) -> str:
    """The type that the name of an axis implies."""
    return IMPLIED_TYPES.get(name.lower(), "space")


def replace_grid(grid: Grid, **changes: Any) -> Grid:
    """A grid that differs in some of the arguments that make it."""
    return Grid(**{**as_arguments(grid), **changes})


def reordered(grid: Grid, axes: Iterable[str]) -> Grid:
    """A grid with its axes in another order; names that it has not are left out."""
    at = [grid.axes.index(axis) for axis in axes if axis in grid.axes]
    return Grid(
        [grid.shape[a] for a in at],
        [(grid.axes[a], grid.types[a]) for a in at],
        [grid.scale[a] for a in at],
        [grid.translation[a] for a in at],
        [grid.units[a] for a in at],
        [grid.voxel_offset[a] for a in at],
    )


def cumulative(factors: Iterable[Factor], ndim: int) -> list[tuple[int, ...]]:
    """The factors from the base, of factors from level to level."""
    totals = []
    total = (1,) * ndim
    for factor in factors:
        total = tuple(a * b for a, b in zip(total, one_factor(factor, ndim), strict=True))
        totals.append(total)
    return totals


def factors_between(base: Grid, level: Grid) -> tuple[int, ...] | None:
    """The cumulative factor that leads from one grid to the other; None if the scales are no whole multiples."""
    ratios = [a / b for a, b in zip(level.scale, base.scale, strict=True)]
    made = tuple(round(ratio) for ratio in ratios)
    return made if all(f >= 1 and abs(f - r) < 1e-6 * f for f, r in zip(made, ratios, strict=True)) else None


class Cuts(Sequence[tuple[int, int]]):
    """Pieces of ``step`` voxels of an axis of n, its first at ``offset``; every cut is a multiple of ``factor``."""

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
        """The numbers of the pieces that hold any of the voxels from ``low`` to ``high``."""
        first = max(0, (low - self._first) // self._step)
        return range(first, min(len(self), -((self._first - high) // self._step)))


def region_above(box: Iterable[tuple[int, int]], total: Sequence[int], offset: Sequence[int]) -> list[tuple[int, int]]:
    """The voxels of a level, by its cumulative factor, above a box of the base; both count from their array's first."""
    return [
        ((o + start) // f - o // f, -((o + stop) // -f) - o // f)
        for (start, stop), f, o in zip(box, total, offset, strict=True)
    ]


def _per_axis(name: str, values: Iterable[Any], ndim: int) -> tuple[Any, ...]:
    try:
        found = tuple(values)
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not one for each of {ndim} axes") from None
    if len(found) != ndim:
        raise ValueError(f"{name}: {found!r} has {len(found)} entries for {ndim} axes")
    return found


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


def _floats(name: str, values: Iterable[Any], ndim: int) -> tuple[float, ...]:
    found = _per_axis(name, values, ndim)
    try:
        made = tuple(float(value) for value in found)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {found!r} are not numbers") from None
    if not all(math.isfinite(value) for value in made):
        raise ValueError(f"{name}: {made} must be finite")
    return made
