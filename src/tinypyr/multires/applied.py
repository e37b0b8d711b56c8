"""A plugin's field applied to a volume, computed lazily."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._pooling.arguments import Factor
from .._util.files import absolute_url
from .._util.sizes import bytes_of, workers_of
from ..grid import Grid, as_arguments, grid_from
from ..resampling.levels import Level, open_levels
from ..resampling.resampled import Resampled
from ..resampling.sampler import Combination, check_order
from ..volume import place_of
from .adapter import PluginAdapter
from .boxes import Box, split_box
from .field_store import TemporaryFolder
from .fields import LazyFields, upsample
from .low_resolution import LowResolution, checked_factor, read_mask
from .operations import float_dtype
from .plugins import Array, Field, PluginError

#: Prefix of the name of a field's store inside the target.
_FIELD_PREFIX = "field-"
#: Most voxels read at once, and most voxels of a block that a plugin gets.
_READ_AT_ONCE = 1 << 24
_AT_ONCE = 1 << 18


@_arrays.register_view
class Applied:
    """The result of :func:`apply_scaled_processing`, computed lazily: each slice is processed when it is read.

    The field is computed when the first voxel is read, or by :meth:`prepare`.

    Parameters
    ----------
    source, plugin, factor, params, lowres, mask, exclude, field, order, preserve_dtype, source_grid, memory, workers
        As in :func:`apply_scaled_processing`.
    target : path or URL, optional
        The store that will be built from this array. The field is kept inside it until the build ends, unless ``field``
        is False or names another place.

    Attributes
    ----------
    grid : Grid
        The grid of the volume.
    shape : tuple of int
        The shape of the volume.
    dtype : numpy.dtype
        The dtype of the result.
    ndim : int
        The number of axes.
    chunks, shards : tuple of int or None
        The shapes of the source's chunks and shards, if it has any.
    holds_labels : bool
        True if the source records that its voxels are labels.
    kind : {"image", "labels"} or None
        The kind of voxels that the source records.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.multires import Applied
    >>> halved = Applied(np.full((8, 8), 10, np.uint8), (lambda low: low * 0 + 2, "divide"), 4)
    >>> halved
    Applied(<lambda>, an array, factor=(4, 4), 8 x 8 voxels, uint8)
    >>> halved[0, :3]
    array([5, 5, 5], dtype=uint8)
    """

    def __init__(
        self,
        source: Any,
        plugin: Any,
        factor: Factor = 4,
        *,
        params: dict[str, Any] | None = None,
        lowres: int | Any = None,
        mask: Any = None,
        exclude: Any = None,
        field: str | os.PathLike[str] | bool | None = None,
        order: int = 1,
        preserve_dtype: bool = True,
        source_grid: Grid | None = None,
        memory: int | str = "1GiB",
        workers: int | None = None,
        target: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(preserve_dtype, (bool, np.bool_)):
            raise TypeError(f"preserve_dtype: {preserve_dtype!r} is neither True nor False")
        if field is not None and not isinstance(field, (bool, np.bool_, str, os.PathLike)):
            raise TypeError(f"field: {field!r} is neither a path or URL nor True or False")
        check_order(order)
        limits = bytes_of(memory), workers_of(workers)
        self._plugin = PluginAdapter.of(plugin, params)
        source = place_of(source)
        levels = open_levels(source, source_grid)
        self._base = base = levels[0]
        _check_volume(base)
        self._factor = checked_factor(factor, base.grid)
        self._low = LowResolution(levels, self._factor, lowres)
        self._mask = read_mask(mask, exclude, self._low.grid)
        self._order, self._preserve_dtype = int(order), bool(preserve_dtype)
        self._plugin.check(self._low.grid, base.dtype, self._preserve_dtype, self._mask is not None)
        self.grid, self.shape, self.ndim = base.grid, base.grid.shape, base.grid.ndim
        self.holds_labels, self.kind = base.holds_labels, base.kind
        self.chunks = _arrays.read_chunks(base.array) if base.permutation is None else None
        self.shards = _arrays.write_unit(base.array) if base.permutation is None else None
        self._path = absolute_url(source) if isinstance(source, (str, os.PathLike)) else None
        self._recipe = {
            "source": self._path,
            "source_grid": None if source_grid is None else as_arguments(source_grid),
            "plugin": self._plugin.name,
            "params": self._plugin.params,
            "code": self._plugin.code,
            "operation": self._plugin.operation,
            "factor": list(self._factor),
            "lowres": int(lowres) if isinstance(lowres, (int, np.integer)) else _digest(lowres),
            "mask": _digest(self._mask),
            "order": self._order,
            "preserve_dtype": self._preserve_dtype,
            "plugin_identity": self._plugin.identity,
        }
        self._fields = LazyFields(self._plugin, self._low, self._mask, self.grid, self._order, *limits)
        self._place_field(field, None if target is None else absolute_url(target))
        self.dtype = self._result_dtype()

    def _place_field(self, field: str | os.PathLike[str] | bool | None, target: str | None) -> None:
        """Decide where the field is kept; raise ValueError if that is inside the source or the target."""
        if isinstance(field, (str, os.PathLike)):
            path = absolute_url(field)
            for name, other in (("source", self._path), ("target", target)):
                if other is not None and _overlap(path, other):
                    raise ValueError(f"field: {path} is inside the {name}, or contains it; choose another path")
            self._fields.path = path
        elif target is not None and field is not False:
            from ..store.scratch import FOLDER

            self._fields.path = f"{target}/{FOLDER}/{_FIELD_PREFIX}{self._key()[:16]}"
        elif field:
            self._fields.folder = TemporaryFolder()
            self._fields.path = f"{self._fields.folder.path}/field"

    def __repr__(self) -> str:
        return (
            f"Applied({self._recipe['plugin']}, {self._path or 'an array'}, factor={self._factor}, "
            f"{' x '.join(map(str, self.shape))} voxels, {self.dtype})"
        )

    @property
    def field(self) -> Field | tuple[Field, ...]:
        """The field that ``lowres_func`` returned; a tuple if the plugin has several."""
        fields, _ = self._fields.get(self._key)
        return fields[0] if len(fields) == 1 else tuple(fields)

    @property
    def upsampled(self) -> tuple[Resampled, ...]:
        """The fields at full resolution, as lazy arrays."""
        return tuple(self._fields.get(self._key)[1])

    def read_source(self, box: Box) -> Array:
        """Return the voxels of the source in a box."""
        return self._base.read(box)

    def prepare(self, progress: bool = False) -> None:
        """Compute the field, or read the one that is kept.

        Parameters
        ----------
        progress : bool
            Show a progress bar on a terminal.
        """
        self._fields.get(self._key, progress)

    def hold_field_in_memory(self) -> None:
        """Do not keep the field in a store if it is computed later."""
        self._fields.hold_in_memory()

    def recipe(self) -> dict[str, Any]:
        """Return the arguments as JSON values, and the path of the field."""
        reason = None
        if self._path is not None and self._plugin.operation is None and self._plugin.code is None:
            reason = (
                f"plugin: {self._plugin.name} cannot be recreated by other processes; they need a class that they can "
                "import, with params that are JSON values"
            )
        elif self._path is not None and self._fields.path is None:
            reason = "field: other processes need the field in a store; pass field=True or a path"
        return {**self._recipe, "field": self._fields.path, "only_here": reason}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Applied:
        """Return the array that ``recipe`` describes. Its field must have been computed."""
        operation = recipe["operation"]
        if operation is None:
            plugin = PluginAdapter.load(recipe["code"], recipe["params"]).instance
        else:
            plugin = (_computed_elsewhere, operation)
        applied = cls(
            recipe["source"],
            plugin,
            recipe["factor"],
            lowres=recipe["lowres"] if isinstance(recipe["lowres"], int) else None,
            field=recipe["field"],
            order=recipe["order"],
            preserve_dtype=recipe["preserve_dtype"],
            source_grid=None if recipe["source_grid"] is None else grid_from(recipe["source_grid"]),
        )
        # hashes of the mask and the plugin are those of the process that computes the field
        applied._recipe = {name: recipe[name] for name in applied._recipe}
        applied._fields.may_compute = False
        return applied

    def stamp(self) -> bytes:
        """Return bytes that differ if the source changed: its files, all of a numpy array, corners of others."""
        array = self._base.array
        if hasattr(array, "stamp"):
            return bytes(array.stamp())
        if self._path is not None:
            from ..store.location import Location, stamp

            return stamp(Location.at(self._path))
        if isinstance(array, np.ndarray):
            return str(_digest(array)).encode()
        return _arrays.corners(array, tuple(array.shape))

    def of_dask(self, source: Any) -> Any:
        """Return the result for a dask array with the voxels of the source, in any chunks, as a dask array."""
        from .dask_arrays import applied, pooled

        if self._fields.path is not None:
            raise ValueError("field: with a dask array and no target, the field is part of the graph; leave field out")
        # local variables, because tasks that refer to self would contain the source
        low_grid, mask, plugin, grid, order = self._low.grid, self._mask, self._plugin, self.grid, self._order
        preserve_dtype, dtype, low = self._preserve_dtype, self.dtype, self._low.array
        if low is None:
            low = pooled(source, self.grid, self._factor, self._low.method)

        def compute_fields(voxels: Array) -> list[Resampled]:
            fields = plugin.compute_fields(np.asarray(voxels), low_grid, mask)
            return [upsample(field, grid, order) for field in fields]

        def apply_block(voxels: Array, start: Sequence[int], upsampled: list[Resampled]) -> Array:
            out = np.empty(voxels.shape, dtype)
            apply_fields(plugin, preserve_dtype, voxels, start, upsampled, out)
            return out

        return applied(source, low, compute_fields, apply_block, dtype)

    def __getitem__(self, index: Any) -> Array:
        """Return the voxels of an index of slices with step 1, integers and an ellipsis."""
        upsampled = list(self.upsampled)
        box, selection = _arrays.normalize_index(index, self.shape)
        out: Array | None = None
        for part in split_box(box, _READ_AT_ONCE):
            voxels, start = self._base.read(part), [s.start for s in part]
            if part == box and self._can_reuse(voxels):  # a new array would take as long as the computation
                out = voxels
            elif out is None:
                out = np.empty([s.stop - s.start for s in box], self.dtype)
            at = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(part, box, strict=True))
            apply_fields(self._plugin, self._preserve_dtype, voxels, start, upsampled, out[at])
        if out is None:  # an empty box
            out = np.empty([s.stop - s.start for s in box], self.dtype)
        return np.asarray(out[selection])

    def _can_reuse(self, voxels: Array) -> bool:
        """Return True if the result can be written over the voxels that were read."""
        private = _arrays.is_tensorstore(self._base.array)  # (which returns a new array)
        return private and self._plugin.operation is not None and voxels.dtype == self.dtype and voxels.flags.writeable

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("copy: a lazy array is computed on conversion, so copy=False is not possible")
        voxels = self[...]
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def _key(self) -> str:
        """Return a hash of everything that the field depends on."""
        recipe = json.dumps(_arrays.as_json(self._recipe), sort_keys=True).encode()
        return hashlib.sha256(recipe + self.stamp()).hexdigest()

    def _result_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the result; if ``highres_func`` determines it, apply that to a few voxels of 1."""
        dtype = self._base.dtype
        if self._preserve_dtype or self._plugin.operation == "mask":
            return dtype
        if self._plugin.operation is not None:
            return float_dtype(dtype)
        shape = [min(n, 8) for n in self.shape]
        ones = tuple(np.ones(shape, np.float64) for _ in range(self._plugin.fields))
        return self._plugin.apply_block(np.ones(shape, dtype), ones, "a block of ones").dtype


def apply_fields(
    plugin: PluginAdapter,
    preserve_dtype: bool,
    full: Array,
    start: Sequence[int],
    upsampled: list[Resampled],
    out: Array,
) -> None:
    """Apply the fields to the voxels of a box that begins at ``start``, and write the result to ``out``."""
    if plugin.operation is not None:
        stop = [a + n for a, n in zip(start, full.shape, strict=True)]
        upsampled[0].fill(out, start, stop, Combination(plugin.operation, full))
        return
    for part in split_box(tuple(slice(0, n) for n in full.shape), _AT_ONCE):
        at = tuple(slice(s.start + a, s.stop + a) for s, a in zip(part, start, strict=True))
        where = ", ".join(f"{s.start}:{s.stop}" for s in at)
        block = plugin.apply_block(full[part], tuple(field[at] for field in upsampled), f"[{where}]")
        out[part] = _arrays.rounded(block, full.dtype) if preserve_dtype and block.dtype != full.dtype else block


def _check_volume(base: Level) -> None:
    """Raise an error if a volume cannot be processed."""
    if base.grid.ndim < 2 or 0 in base.grid.shape:
        raise ValueError(f"source: shape {base.grid.shape} is not supported; it needs two or more axes, and voxels")
    if base.dtype.kind not in "biuf":
        raise TypeError(f"source: dtype {base.dtype} is not supported; convert it to real numbers")


def _overlap(path: str, other: str) -> bool:
    """Return True if one path contains the other."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def _digest(array: Any) -> str | None:
    """Return a hash of an array's shape, dtype and voxels (the name of a dask array); None for None."""
    if array is None:
        return None
    if hasattr(array, "dask"):
        return f"dask {array.name}"
    whole = array if hasattr(array, "shape") else np.asarray(array)
    digest = hashlib.sha256(repr((tuple(whole.shape), _arrays.dtype_of(whole).name)).encode())
    for part in split_box(tuple(slice(0, n) for n in whole.shape), 1 << 22):
        digest.update(np.ascontiguousarray(_arrays.read(whole, part)).tobytes())
    return digest.hexdigest()[:16]


def _computed_elsewhere(lowres: Array) -> Array:
    """Stand in for ``lowres_func`` in processes that read the field from its store."""
    raise PluginError("the field is computed by the process that makes the plan")
