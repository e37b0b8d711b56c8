"""Compute a field at low resolution and apply it at full resolution: in memory, lazily, or from store to store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._pooling.arguments import Factor
from ..grid import Grid
from .applied import Applied


def apply_scaled_processing(
    source: Any,
    plugin: Any,
    factor: Factor = 4,
    *,
    params: dict[str, Any] | None = None,
    target: str | os.PathLike[str] | None = None,
    chunks: Sequence[int] | None = None,
    lowres: int | Any = None,
    mask: Any = None,
    exclude: Any = None,
    field: str | os.PathLike[str] | bool | None = None,
    order: int = 1,
    preserve_dtype: bool = True,
    levels: Any = None,
    source_grid: Grid | None = None,
    engine: Any = "threads",
    memory: int | str = "1GiB",
    workers: int | None = None,
    resume: bool = True,
    progress: Any = True,
    format: str | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = None,
    method: str | None = None,
    block: int | str | None = None,
) -> Any:
    """Compute a field of a volume at low resolution, and apply it at full resolution.

    Parameters
    ----------
    source : array, or path or URL of a store or of a NIfTI file
        The volume, with two or more axes.
    plugin : class, object, or pair of functions
        A :class:`ScaledProcessingPlugin`, or anything else with ``lowres_func`` and ``highres_func``. In a pair of
        functions, the second one may be the name of an operation: ``(f, "divide")``.
    factor : int or sequence of int
        The number of voxels of full resolution per voxel of low resolution: one number for every axis except channels
        and time (axes c and t of a store or of ``source_grid``), or one per axis. If a store has a level of this
        factor, it is used; otherwise the volume is pooled by its mean, or by its mode if it holds labels (recorded as
        such, or unsigned integers of 32 or 64 bits that are not recorded as an image).
    params : dict, optional
        The parameters of the plugin, if ``plugin`` is a class.
    target : path or URL, optional
        A new store to write the result to, with its own pyramid. To resume after an interruption, make the same call
        again.
    chunks : sequence of int, optional
        Voxels per chunk of the target, or of the dask array that is returned. Default: the source's.
    lowres : int or array, optional
        The level of the store to use as low resolution, or the low resolution itself, of the shape that ``factor``
        gives.
    mask : array, or path or URL of a store, optional
        Voxels of the low resolution that are zero in the mask do not count. An array has the shape of the low
        resolution. A store may have any resolution: it is sampled at the centres of
        the low resolution's voxels.
    exclude : array, or path or URL of a store, optional
        The inverse of ``mask``: voxels that are not zero do not count. At most one of the two can be given.
    field : path, URL, or bool, optional
        The path of a store (OME-Zarr) to keep the field in. A field that is there already is reused if it was computed
        from the same source, plugin and parameters. True: keep it in the target until the build ends, or, without a
        target, in a temporary folder. False: hold it in memory. Default: True if there is a target.
    order : int
        Order of the interpolation of the field: 1 (linear), 0 (nearest, for labels and masks), or 2 to 5 (splines).
    preserve_dtype : bool
        If True, the result has the source's dtype; integers are rounded half to even and clipped to their range. If
        False, it has the dtype that the plugin returns, or floats.
    levels : int or "auto", optional
        Levels of the target, as in `tinypyr.store.plan`. Default: ``"auto"``.
    source_grid : Grid, optional
        The grid of an array. Default: voxels at 0, 1, 2, ... along each axis.
    engine, memory, workers, resume, progress
        As in `tinypyr.store.build`. A low resolution that takes more than an eighth of the memory is mapped from a
        temporary file.
    format, shards, codec, method, block
        Of the target, as in `tinypyr.store.plan`.

    Returns
    -------
    numpy.ndarray, dask.array.Array, Applied, or tinypyr.store.Report
        With a target, the report of the build. Without one: for a numpy array, a numpy array. For a dask array, a dask
        array; the field is part of its graph, and is computed again for each computation, unless the array is
        persisted. For other sources, an :class:`Applied`, which is computed when it is read.

    Raises
    ------
    ValueError, TypeError
        An argument is invalid; the message names it.
    PluginError
        The plugin failed; the message names it and the block.
    StoreError
        Something cannot be read or written. Blocks of a target that failed are in the report of the BuildError.

    Notes
    -----
    Division, multiplication and subtraction are done in double precision, which 64-bit integers may exceed. With
    fields of order 0 and 1, the result is bit-identical for any chunks and engine; with splines, it may differ in the
    last bits. For other processes, a
    plugin must be a class in a module that they can import, with no state other than ``params``. A field or a build is
    only reused or resumed if the code of the plugin is unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.multires import GaussianBiasFieldCorrection, apply_scaled_processing
    >>> image = np.full((16, 64, 64), 200, np.uint8)
    >>> image[:, :, 32:] //= 2
    >>> even = apply_scaled_processing(image, GaussianBiasFieldCorrection(sigma=2, normalize=True))
    >>> int(image[8, 32, 4]) - int(image[8, 32, 60]), int(even[8, 32, 4]) - int(even[8, 32, 60])
    (100, 0)
    """
    if target is not None:
        from ..store.running import complete

        applied, plan = plan_applied(
            source, plugin, factor, target, params=params, chunks=chunks, lowres=lowres, mask=mask, exclude=exclude,
            field=field, order=order, preserve_dtype=preserve_dtype, levels=levels, source_grid=source_grid,
            memory=memory, workers=workers, format=format, shards=shards, codec=codec, method=method, block=block,
        )  # fmt: skip
        prepare_field(applied, plan, engine, bool(progress))
        return complete(plan, engine, resume, progress)
    lazy = hasattr(source, "dask")
    _refuse_without_target(
        levels=levels, format=format, shards=shards, codec=codec, method=method, block=block,
        chunks=None if lazy else chunks, engine=None if isinstance(engine, str) and engine == "threads" else engine,
    )  # fmt: skip
    applied = Applied(
        source, plugin, factor, params=params, lowres=lowres, mask=mask, exclude=exclude, field=field, order=order,
        preserve_dtype=preserve_dtype, source_grid=source_grid, memory=memory, workers=workers,
    )  # fmt: skip
    if lazy:
        return applied.of_dask(source if chunks is None else source.rechunk(tuple(chunks)))
    applied.prepare(bool(progress))
    return applied[...] if isinstance(source, np.ndarray) else applied


def plan_applied(
    source: Any,
    plugin: Any,
    factor: Factor,
    target: str | os.PathLike[str],
    *,
    params: dict[str, Any] | None = None,
    chunks: Sequence[int] | None = None,
    lowres: int | Any = None,
    mask: Any = None,
    exclude: Any = None,
    field: str | os.PathLike[str] | bool | None = None,
    order: int = 1,
    preserve_dtype: bool = True,
    levels: Any = None,
    source_grid: Grid | None = None,
    memory: int | str = "1GiB",
    workers: int | None = None,
    format: str | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = None,
    method: str | None = None,
    block: int | str | None = None,
) -> tuple[Applied, Any]:
    """Return the lazy result and the plan of the store to build from it; no voxel is read, and nothing is created.

    Parameters
    ----------
    source, plugin, factor, target, params, chunks, lowres, mask, exclude, field, order, preserve_dtype, levels
        As in :func:`apply_scaled_processing`.
    source_grid, memory, workers, format, shards, codec, method, block
        As in :func:`apply_scaled_processing`.

    Returns
    -------
    applied : Applied
        The result. Call :func:`prepare_field` before the plan is run.
    plan : tinypyr.store.Plan
        The plan.
    """
    from .. import store

    applied = Applied(
        source, plugin, factor, params=params, lowres=lowres, mask=mask, exclude=exclude, field=field, order=order,
        preserve_dtype=preserve_dtype, source_grid=source_grid, memory=memory, workers=workers, target=target,
    )  # fmt: skip
    plan = store.plan(
        applied, target, levels="auto" if levels is None else levels, method="auto" if method is None else method,
        format=format, chunks=chunks, shards=shards, codec=codec, memory=memory, workers=workers, block=block,
    )  # fmt: skip
    return applied, plan


def prepare_field(applied: Applied, plan: Any, engine: Any, progress: bool) -> None:
    """Compute the field of a plan from :func:`plan_applied`, unless the plan has been completed.

    Raises
    ------
    StoreError, ValueError
        The engine cannot run the plan; the field is not computed.
    """
    from ..store.engines import engine_for
    from ..store.target_state import state_of

    engine_for(plan, engine).close()
    if state_of(plan) == "finished":
        applied.hold_field_in_memory()
    else:
        applied.prepare(progress)


def _refuse_without_target(**arguments: Any) -> None:
    """Raise ValueError if an argument that describes a target was passed."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name}: {value!r} needs a target; pass target, or leave {name} out")
