"""A plugin's fields applied to a volume at full resolution: where it is read, or written out of core."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._pooling.arguments import Factor
from .._util.files import write_whole
from .._util.picture import PANEL, U8, contrast, grey, plane, png, side_by_side
from .._util.sizes import bytes_of, workers_of
from .._util.terminal import Bar
from ..grid import Grid, as_arguments, grid_from
from ..resampling.levels import levels_of
from ..resampling.resampled import Resampled
from ..resampling.sampler import Combined, checked_order
from .fields import Box, Folder, Kept, LowResolution, Tell, cut, factor_of, made_fields, mask_of, sampled
from .plugins import Array, Field, Plugin, PluginError, computed

#: What a field's folder beside a target is called.
FIELD = "field-"
#: Voxels that are read at once, and that are handed to a plugin.
_READ_AT_ONCE = 1 << 24
_AT_ONCE = 1 << 18
#: The side of the largest section that a picture is made of.
_DRAWN = 4096


def apply_scaled_processing(
    source: Any,
    plugin: Any,
    downsample_factor: Factor = 4,
    *,
    target: str | os.PathLike[str] | None = None,
    chunk_size: Sequence[int] | None = None,
    lowres: int | Any = None,
    lowres_mask: Any = None,
    use_temp_zarr: bool | None = None,
    temp_zarr_path: str | os.PathLike[str] | None = None,
    order: int = 1,
    preserve_dtype: bool = True,
    levels: Any = None,
    source_grid: Grid | None = None,
    engine: Any = "threads",
    memory: int | str = "1GiB",
    workers: int | None = None,
    resume: bool = True,
    progress: bool = True,
    store_options: dict[str, Any] | None = None,
    **params: Any,
) -> Any:
    """Compute a field of a volume at low resolution, and apply it at full resolution.

    Parameters
    ----------
    source : array, or path or URL of a store, or of a NIfTI file
        The volume, of two axes or more.
    plugin : class, object, or pair of functions
        A :class:`ScaledProcessingPlugin` or anything else with ``lowres_func`` and ``highres_func``. Of a class,
        ``params`` make an object. A pair may have the name of an operation as its second half: ``(f, "divide")``.
    downsample_factor : int or sequence of int
        Voxels of full resolution for one of the low: one number for every axis but channels and time (c and t of a
        store or of ``source_grid``), or one per axis. A store's level of this factor is taken; without, means are made
        of the volume, a part at a time, or modes, of labels (so marked, or unsigned integers of 32 or 64 bits not
        marked as an image).
    target : path or URL, optional
        A new store, where the volume goes, with its own pyramid. What was interrupted goes on where it was when the
        same call is made again; the field is kept beside it until the end.
    chunk_size : sequence of int, optional
        Voxels per chunk of the target, or of the array that comes out; by default the source's.
    lowres : int or array, optional
        Of a store, the number of the level to take; or the low resolution itself, voxel for voxel that of the factor.
    lowres_mask : array, or path or URL of a store, optional
        Which voxels of the low resolution count, those that are not 0: of its shape, or a store, whose voxels of full
        resolution are looked at where the centres of the low resolution's lie.
    use_temp_zarr : bool, optional
        Whether the field is kept in a store (OME-Zarr, which lies where the volume does) meanwhile: by default where
        there is a target. Without ``temp_zarr_path``, and without a target, in a temporary folder.
    temp_zarr_path : path or URL, optional
        Where it is kept, and stays. One that is there already is taken, if it was made of the same, as far as files
        (not on S3), numpy arrays, or the corners of others tell.
    order : int
        Of what lies between the field's voxels: 1 (linear), or 0 (nearest, for labels and masks), or 2 to 5.
    preserve_dtype : bool
        Make voxels of the source's dtype, integers rounded half to even and within their range; else whatever
        ``highres_func`` makes.
    levels : int or "auto", optional
        Of the target, as for `tinypyr.store.plan`; by default ``"auto"``.
    source_grid : Grid, optional
        Where an array's voxels lie; by default at 0, 1, 2, ... along each axis.
    engine, memory, workers, resume, progress
        As for `tinypyr.store.build`. The low resolution is mapped from a temporary file where it takes more than an
        eighth of the memory.
    store_options : dict, optional
        What else `tinypyr.store.build` is to know of the target: ``format``, ``shards``, ``codec``, ``method``, ...
    **params
        For a class of plugins.

    Returns
    -------
    array or Report
        Of numpy in, numpy out; of dask, a dask array: nothing is read before it is computed, and the field is made
        anew each time that is (persist it, or give a target, if it is in parts). Of anything else without a target, an
        :class:`Applied`, an array that is made where it is read. With a target, the
        `tinypyr.store.Report` of what was built.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it.
    PluginError
        The plugin failed; the message names it, and the block.
    StoreError
        Something cannot be read or written, as of `tinypyr.store.build`; with a target, blocks that the plugin failed
        at are in the report of a BuildError.

    Notes
    -----
    Whatever is divided, multiplied or subtracted is computed in double precision, which integers of 64 bits may exceed.
    What comes out does not depend on chunks or on the engine, to the last bit for fields of order 0 and 1. A plugin
    that other processes are to find again is a class in a module, all of whose state is its ``params``; and whatever is
    kept or resumed is taken for the same only if its code is, too.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.multires import GaussianBiasFieldCorrection, apply_scaled_processing
    >>> image = np.full((16, 64, 64), 200, np.uint8)
    >>> image[:, :, 32:] //= 2
    >>> even = apply_scaled_processing(image, GaussianBiasFieldCorrection, 4, sigma=2, normalize=True)
    >>> int(image[8, 32, 4]) - int(image[8, 32, 60]), int(even[8, 32, 4]) - int(even[8, 32, 60])
    (100, 0)
    """
    if target is None and (levels is not None or store_options):
        raise ValueError("levels, store_options: of a target alone; give one, or leave them out")
    options = {"levels": "auto" if levels is None else levels, **(store_options or {})}
    if chunk_size is not None:
        options["chunks"] = chunk_size
    if chunk_size is not None and "chunks" in (store_options or {}):
        raise ValueError("chunk_size: and store_options has chunks; leave one of them out")
    how = {"lowres": lowres, "lowres_mask": lowres_mask, "order": order, "preserve_dtype": preserve_dtype}
    how |= {"source_grid": source_grid, "use_temp_zarr": use_temp_zarr, "temp_zarr_path": temp_zarr_path}
    if target is not None:
        from ..store.running import complete

        made, todo = planned(
            source, plugin, downsample_factor, target, memory=memory, workers=workers,
            store_options=options, **how, **params,
        )  # fmt: skip
        return complete(ready(made, todo, engine, progress), engine, resume, progress)
    if not isinstance(engine, str) or engine != "threads":
        raise ValueError("engine: of a target alone; give one, or leave it out")
    lazy = hasattr(source, "dask")
    if chunk_size is not None and not lazy:
        raise ValueError("chunk_size: of a target, or of dask arrays alone; give a target, or leave it out")
    made = Applied(source, plugin, downsample_factor, memory=memory, workers=workers, **how, **params)
    if lazy:
        return made.of_dask(source if chunk_size is None else source.rechunk(tuple(chunk_size)))
    made.prepare(progress)
    return made[...] if isinstance(source, np.ndarray) else made


def planned(
    source: Any,
    plugin: Any,
    downsample_factor: Factor,
    target: str | os.PathLike[str],
    *,
    memory: int | str = "1GiB",
    workers: int | None = None,
    store_options: dict[str, Any],
    use_temp_zarr: bool | None = None,
    temp_zarr_path: str | os.PathLike[str] | None = None,
    **how: Any,
) -> tuple[Applied, Any]:
    """A plan of what is to be built; nothing is read or created."""
    from .. import store
    from ..store.scratch import FOLDER

    known = set(inspect.signature(store.plan).parameters) - {"source", "target", "memory", "workers", "grid", "region"}
    wrong = sorted(set(store_options) - known)
    if wrong:
        raise ValueError(f"store_options: {wrong[0]!r} is none of {', '.join(sorted(known))}")
    made = Applied(
        source, plugin, downsample_factor, memory=memory, workers=workers, use_temp_zarr=use_temp_zarr,
        temp_zarr_path=temp_zarr_path, beside=f"{_arrays.absolute_url(target)}/{FOLDER}", **how,
    )  # fmt: skip
    return made, store.plan(made, target, memory=memory, workers=workers, **store_options)


def ready(made: Applied, todo: Any, engine: Any, progress: Any) -> Any:
    """The plan, once its field is there; if it has been built, none is needed."""
    from ..store.engines import engine_for
    from ..store.target_state import state_of

    engine_for(todo, engine).close()  # refuses what it cannot do
    if state_of(todo) == "finished":
        made.keep_nowhere()
    else:
        made.prepare(progress)
    return todo


@_arrays.view
class Applied:
    """What :func:`apply_scaled_processing` makes, made where it is read.

    The field is computed when the first voxel is, or at :meth:`prepare`.

    Parameters
    ----------
    source, plugin, downsample_factor, lowres, lowres_mask, use_temp_zarr, temp_zarr_path, order, preserve_dtype,
    source_grid, memory, workers, **params
        As of :func:`apply_scaled_processing`.
    beside : path or URL, optional
        A folder in which the field is kept unless something else is said of that.

    Attributes
    ----------
    grid : Grid
        Where its voxels lie.
    shape, dtype, ndim, chunks, shards
        Of the array; chunks and shards as of the source, if it has any.
    """

    def __init__(
        self,
        source: Any,
        plugin: Any,
        downsample_factor: Factor = 4,
        *,
        lowres: int | Any = None,
        lowres_mask: Any = None,
        use_temp_zarr: bool | None = None,
        temp_zarr_path: str | os.PathLike[str] | None = None,
        order: int = 1,
        preserve_dtype: bool = True,
        source_grid: Grid | None = None,
        memory: int | str = "1GiB",
        workers: int | None = None,
        beside: str | None = None,
        **params: Any,
    ) -> None:
        for name, value in (("preserve_dtype", preserve_dtype), ("use_temp_zarr", use_temp_zarr or False)):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name}: {value!r} is neither True nor False")
        if use_temp_zarr is False and temp_zarr_path is not None:
            raise ValueError("temp_zarr_path: with use_temp_zarr=False no store is kept; leave one of them out")
        checked_order(order)
        self._memory, self._workers = bytes_of(memory), workers_of(workers)
        self._plugin = Plugin.of(plugin, params)
        found = levels_of(source, source_grid)
        self._base = base = found[0]
        if base.grid.ndim < 2 or 0 in base.grid.shape:
            raise ValueError(f"source: of shape {base.grid.shape}; two axes or more, and voxels, are needed")
        if base.dtype.kind not in "biuf":
            raise TypeError(f"source: of {base.dtype}; real numbers are needed")
        self._factor = factor = factor_of(downsample_factor, base.grid)
        self._low = LowResolution(found, factor, lowres)
        self._mask = mask_of(lowres_mask, self._low.grid)
        self._order, self._keeps = int(order), bool(preserve_dtype)
        self._plugin.check(self._low.grid, base.dtype, self._keeps, self._mask is not None)
        self.grid, self.shape, self.ndim = base.grid, base.grid.shape, base.grid.ndim
        self.holds_labels, self.kind = base.holds_labels, base.kind
        self.chunks = _arrays.read_chunks(base.array) if base.order is None else None
        self.shards = _arrays.write_unit(base.array) if base.order is None else None
        self._path = _arrays.absolute_url(source) if isinstance(source, (str, os.PathLike)) else None
        self._recipe = {
            "source": self._path,
            "source_grid": None if source_grid is None else as_arguments(source_grid),
            "plugin": self._plugin.name,
            "params": self._plugin.params,
            "code": self._plugin.code,
            "operation": self._plugin.operation,
            "downsample_factor": list(factor),
            "lowres": int(lowres) if isinstance(lowres, (int, np.integer)) else _hashed(lowres),
            "lowres_mask": _hashed(self._mask),
            "order": int(order),
            "preserve_dtype": self._keeps,
            "plugin_is": self._plugin.identity,
        }
        self._where = None if temp_zarr_path is None else _arrays.absolute_url(temp_zarr_path)
        for name, other in (("source", self._path), ("target", None if beside is None else os.path.dirname(beside))):
            if self._where is not None and other is not None and _overlap(self._where, other):
                raise ValueError(
                    f"temp_zarr_path: {self._where}: inside the {name}, or around it; choose another place"
                )
        self._folder: Folder | None = None
        if self._where is None and beside is not None and use_temp_zarr is not False:
            self._where = f"{beside}/{FIELD}{self._key()[:16]}"
        elif self._where is None and use_temp_zarr:
            self._folder = Folder()
            self._where = f"{self._folder.path}/field"
        self._between: list[Resampled] | None = None
        self._here = True  # whether the field may be made here
        self._lock = threading.Lock()
        self.dtype = self._dtype()

    def __repr__(self) -> str:
        return f"Applied({self._recipe['plugin']}, {self._path or 'an array'}, {self.dtype}, {self.shape})"

    @property
    def field(self) -> Field | tuple[Field, ...]:
        """What ``lowres_func`` made, and where it lies; several, if it made several."""
        self.prepare()
        assert self._fields is not None
        return self._fields[0] if len(self._fields) == 1 else tuple(self._fields)

    def before(self, box: Box) -> Array:
        """The voxels of the source."""
        return self._base.read(box)

    @property
    def upsampled(self) -> tuple[Resampled, ...]:
        """The field, or the fields, at full resolution: arrays that are made where they are read."""
        self.prepare()
        assert self._between is not None
        return tuple(self._between)

    def prepare(self, progress: bool = False) -> None:
        """Make the field, or find the one that is kept."""
        with self._lock:
            if self._between is None:
                self._prepare(progress)

    def keep_nowhere(self) -> None:
        """Hold the field in memory, if it is asked for."""
        with self._lock:
            self._where = None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _prepare(self, progress: bool) -> None:
        bar = Bar()
        tell: Tell = bar.show if progress else lambda text: None
        kept = None
        if self._where is not None:
            kept = Kept(self._where, self._plugin.fields, self._key(), self._folder)
        try:
            fields = None if kept is None else kept.read()
            if fields is None and not self._here:
                raise ValueError(f"{self._where}: the field is not there; apply {self._plugin.name} again to make it")
            if fields is None:
                fields = made_fields(self._plugin, self._low, self._mask, self._memory, self._workers, tell)
                if kept is not None:
                    bar.clear()
                    kept.write(fields, self._order, self._memory, self._workers, progress)
                    fields = kept.read()
        finally:
            bar.clear()
        assert fields is not None
        self._fields = fields
        self._between = [sampled(field, self.grid, self._order) for field in fields]

    def recipe(self) -> dict[str, Any]:
        """As JSON: what it was made of, and where its field is kept."""
        why = None
        if self._path is not None and self._plugin.operation is None and self._plugin.code is None:
            why = (
                f"plugin: {self._plugin.name} is of this process alone; other processes find a class in a module of "
                "its own, whose params are numbers and texts"
            )
        elif self._path is not None and self._where is None:
            why = "use_temp_zarr: other processes need the field in a store"
        return {**self._recipe, "field": self._where, "only_here": why}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Applied:
        """What a recipe tells, of a store; its field must have been made."""
        known = recipe["operation"]
        plugin = Plugin.found(recipe["code"], recipe["params"]).given if known is None else (_elsewhere, known)
        names = ("source", "downsample_factor", "order", "preserve_dtype")
        given = {name: recipe[name] for name in names}
        if recipe["source_grid"] is not None:
            given["source_grid"] = grid_from(recipe["source_grid"])
        lowres = recipe["lowres"] if isinstance(recipe["lowres"], int) else None
        made = cls(**given, plugin=plugin, lowres=lowres, temp_zarr_path=recipe["field"])
        made._recipe = {key: recipe[key] for key in made._recipe}  # (with what only those who make the field know)
        made._here = False
        return made

    def stamp(self) -> bytes:
        """Other bytes where the source has changed: its files, all of an array of numpy, the corners of others."""
        array = self._base.array
        if hasattr(array, "stamp"):
            return bytes(array.stamp())
        if self._path is not None:
            from ..store.location import Location

            return Location.at(self._path).stamp()
        if isinstance(array, np.ndarray):
            return str(_hashed(array)).encode()
        return _arrays.corners(array, tuple(array.shape))

    def of_dask(self, source: Any) -> Any:
        """The same of the dask array that it was made of, in whatever chunks: one, of which nothing is made yet."""
        from .dask_arrays import applied, pooled

        if self._where is not None:
            raise ValueError("use_temp_zarr, temp_zarr_path: of dask arrays with a target alone; leave them out")
        # (what goes to the workers must not hold the source, which comes by the graph)
        low_grid, mask, plugin, grid, order = self._low.grid, self._mask, self._plugin, self.grid, self._order
        keeps, dtype, low = self._keeps, self.dtype, self._low.given
        if low is None:
            low = pooled(source, self.grid, self._factor, self._low.method)

        def fields(voxels: Array) -> list[Resampled]:
            return [sampled(field, grid, order) for field in plugin.made_of(np.asarray(voxels), low_grid, mask)]

        def block(voxels: Array, start: Sequence[int], between: list[Resampled]) -> Array:
            made = np.empty(voxels.shape, dtype)
            combine(plugin, keeps, voxels, start, between, made)
            return made

        return applied(source, low, fields, block, dtype)

    def __getitem__(self, box: Any) -> Array:
        """The voxels of a box: slices in steps of 1, integers, an ellipsis."""
        between = list(self.upsampled)
        whole, taken = _arrays.normalize_index(box, self.shape)
        made: Array | None = None
        for part in cut(whole, _READ_AT_ONCE):
            voxels, start = self._base.read(part), [s.start for s in part]
            if part == whole and self._is_ours(voxels):  # (fresh memory costs as much as the work)
                made = voxels
            elif made is None:
                made = np.empty([s.stop - s.start for s in whole], self.dtype)
            at = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(part, whole, strict=True))
            combine(self._plugin, self._keeps, voxels, start, between, made[at])
        if made is None:  # of nothing
            made = np.empty([s.stop - s.start for s in whole], self.dtype)
        return np.asarray(made[taken])

    def _is_ours(self, voxels: Array) -> bool:
        """Whether what was read can hold what is made of it: voxels that only we know, combined by the core."""
        fresh = hasattr(self._base.array, "kvstore")  # TensorStore's
        return fresh and self._plugin.operation is not None and voxels.dtype == self.dtype and voxels.flags.writeable

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("copy: False cannot be, because the voxels are made now")
        made = self[...]
        return made if dtype is None else made.astype(dtype, copy=False)

    def _key(self) -> str:
        told = json.dumps(_arrays.as_json(self._recipe), sort_keys=True).encode()
        return hashlib.sha256(told + self.stamp()).hexdigest()

    def _dtype(self) -> np.dtype[Any]:
        """Of the voxels that come out: where a plugin decides, of what it makes of a few and a field of ones."""
        own = self._base.dtype
        if self._keeps or self._plugin.operation == "mask":
            return own
        if self._plugin.operation is not None:
            return computed(own)
        box = tuple(slice(0, min(n, 8)) for n in self.shape)
        ones = tuple(np.ones([s.stop for s in box], np.float64) for _ in range(self._plugin.fields))
        return self._plugin.block(np.ones([s.stop for s in box], own), ones, "a block of ones").dtype


def combine(
    plugin: Plugin, keeps: bool, full: Array, start: Sequence[int], between: list[Resampled], made: Array
) -> None:
    """A box of the source, and the fields there, into what is made of them."""
    if plugin.operation is not None:
        stop = [a + n for a, n in zip(start, full.shape, strict=True)]
        between[0].fill(made, start, stop, Combined(plugin.operation, full))
        return
    for part in cut(tuple(slice(0, n) for n in full.shape), _AT_ONCE):
        at = tuple(slice(s.start + a, s.stop + a) for s, a in zip(part, start, strict=True))
        where = ", ".join(f"{s.start}:{s.stop}" for s in at)
        block = plugin.block(full[part], tuple(one[at] for one in between), f"[{where}]")
        made[part] = _arrays.rounded(block, full.dtype) if keeps and block.dtype != full.dtype else block


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def picture(made: Applied, out: str | os.PathLike[str] | None = None) -> U8:
    """Draw the middle section before, the field there, and the section after.

    Parameters
    ----------
    made : Applied
        What is drawn.
    out : path, optional
        A PNG file to write; one of this name is replaced.

    Returns
    -------
    numpy.ndarray
        The picture, uint8 of shape (height, width, 3).
    """
    grid, shown = made.grid, [axis for axis in plane(made.grid) if axis >= 0]
    box: list[slice] = []
    for axis, n in enumerate(grid.shape):
        if axis in shown:  # (of a large one the middle)
            side = min(n, _DRAWN)
            box.append(slice((n - side) // 2, (n - side) // 2 + side))
        else:
            at = n // 2 if axis in grid.spatial else 0
            box.append(slice(at, at + 1))
    longest = max(box[axis].stop - box[axis].start for axis in shown)
    step, zoom = max(1, -(-longest // PANEL)), max(1, PANEL // longest)
    where = tuple(box)

    def section(voxels: Array) -> Array:
        drawn = np.moveaxis(voxels, shown, range(-len(shown), 0)).reshape([voxels.shape[axis] for axis in shown])
        drawn = np.atleast_2d(drawn).astype(np.float64)  # (a line is drawn as a row)
        seen: Array = drawn[min(step // 2, drawn.shape[0] - 1) :: step, step // 2 :: step]
        return seen.repeat(zoom, 0).repeat(zoom, 1)

    parts = [section(made.before(where)), section(made.upsampled[0][where]), section(made[where])]
    panels = []
    for name, part in zip(("BEFORE", "FIELD", "AFTER"), parts, strict=True):
        dark, bright = contrast(part)
        panels.append(
            (f"{name} {dark:.3g} - {bright:.3g}".replace("e", "E").replace("+", ""), grey(part, dark, bright))
        )
    seen = side_by_side([(" x ".join(map(str, grid.shape)), panels)])
    if out is not None:
        write_whole(out, png(seen))
    return seen


def _hashed(array: Any) -> str | None:
    """What tells an array from another; None of None."""
    if array is None:
        return None
    if hasattr(array, "dask"):
        return f"dask {array.name}"
    whole = array if hasattr(array, "shape") else np.asarray(array)
    found = hashlib.sha256(repr((tuple(whole.shape), _arrays.dtype_of(whole).name)).encode())
    for part in cut(tuple(slice(0, n) for n in whole.shape), 1 << 22):
        found.update(np.ascontiguousarray(_arrays.read(whole, part)).tobytes())
    return found.hexdigest()[:16]


def _elsewhere(lowres: Array) -> Array:
    raise PluginError("the field is made by whoever plans")
