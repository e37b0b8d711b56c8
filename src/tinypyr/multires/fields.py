"""The fields of a plugin, computed when they are first needed, and their values at full resolution."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.terminal import Bar
from ..grid import Grid
from ..resampling.resampled import Resampled
from .adapter import PluginAdapter
from .field_store import FieldStore, TemporaryFolder
from .low_resolution import LowResolution, Notify
from .operations import float_dtype
from .plugins import Field


class LazyFields:
    """The fields of a plugin, computed once, and kept in a store if there is a path.

    Parameters
    ----------
    plugin : PluginAdapter
        The plugin.
    low : LowResolution
        The volume at low resolution.
    mask : numpy.ndarray of bool, optional
        The voxels of the low resolution that count.
    grid : Grid
        The grid of the volume.
    order : int
        Order of the interpolation of fields that do not define one.
    memory, workers : int
        Limits of the computation.

    Attributes
    ----------
    path : str or None
        The path or URL of the store in which the fields are kept; None if they are held in memory.
    folder : TemporaryFolder or None
        The temporary folder that contains the path.
    may_compute : bool
        False in processes that must read the fields from the store.
    """

    def __init__(
        self,
        plugin: PluginAdapter,
        low: LowResolution,
        mask: NDArray[np.bool_] | None,
        grid: Grid,
        order: int,
        memory: int,
        workers: int,
    ) -> None:
        self._plugin, self._low, self._mask, self._grid, self._order = plugin, low, mask, grid, order
        self._memory, self._workers = memory, workers
        self.path: str | None = None
        self.folder: TemporaryFolder | None = None
        self.may_compute = True
        self._fields: list[Field] | None = None
        self._upsampled: list[Resampled] = []
        self._lock = threading.Lock()

    def get(self, key: Callable[[], str], progress: bool = False) -> tuple[list[Field], list[Resampled]]:
        """Return the fields, and their values at full resolution as lazy arrays; compute or read them first.

        ``key`` returns a hash of everything that the fields depend on; it is only called if they are kept in a store.
        """
        with self._lock:
            if self._fields is None:
                fields = self._compute_or_read(key, progress)
                self._upsampled = [upsample(field, self._grid, self._order) for field in fields]
                self._fields = fields
            return self._fields, self._upsampled

    def hold_in_memory(self) -> None:
        """Do not keep the fields in a store if they are computed later."""
        with self._lock:
            self.path = None

    def _compute_or_read(self, key: Callable[[], str], progress: bool) -> list[Field]:
        bar = Bar()
        notify: Notify = bar.show if progress else lambda text: None
        try:
            if self.path is None:
                return self._compute(notify)
            field_store = FieldStore(self.path, self._plugin.fields, key(), self.folder)
            fields = field_store.read()
            if fields is not None:
                return fields
            if not self.may_compute:
                raise ValueError(f"{self.path}: the field is missing; apply {self._plugin.name} again to compute it")
            fields = self._compute(notify)
            bar.clear()
            field_store.write(fields, self._order, self._memory, self._workers, progress)
            fields = field_store.read()
            assert fields is not None
            return fields
        finally:
            bar.clear()

    def _compute(self, notify: Notify) -> list[Field]:
        notify("low resolution: reading")
        voxels = self._low.read(self._memory, self._workers, notify)
        notify(f"{self._plugin.name}: the field of {' x '.join(map(str, voxels.shape))} voxels")
        return self._plugin.compute_fields(voxels, self._low.grid, self._mask)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def upsample(field: Field, grid: Grid, order: int) -> Resampled:
    """Return the values of a field at the voxels of a grid, as a lazy array."""
    field_order = order if field.order is None else field.order
    values = field.values
    if isinstance(values, np.ndarray) and field_order > 0 and values.dtype != float_dtype(values.dtype):
        values = values.astype(float_dtype(values.dtype))
    upsampled = Resampled(
        values,
        grid,
        order=field_order,
        anti_aliasing=False,
        source_grid=field.grid,
        mode="nearest",
        prefilter=not field.coefficients,
    )
    # keeps the temporary folder of the field as long as the array
    object.__setattr__(upsampled, "folder", getattr(field, "folder", None))
    return upsampled
