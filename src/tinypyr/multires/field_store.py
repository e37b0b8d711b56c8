"""Stores of fields: a field is kept in an OME-Zarr store, so that it can be reused, and shown by viewers."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

from .operations import float_dtype
from .plugins import Array, Field


class TemporaryFolder:
    """A temporary folder that is removed with the last reference to this object."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="tinypyr-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class FieldStore:
    """The stores of a plugin's fields: one at a path, or several numbered ones in a folder.

    Parameters
    ----------
    path : str
        Path or URL.
    count : int
        The number of fields.
    key : str
        A hash of everything that the fields depend on. Fields with another key are not reused.
    folder : TemporaryFolder, optional
        The temporary folder that contains the path. Fields that were read keep a reference to it.
    """

    #: The file in each store that records the key and the interpolation.
    RECORD = "field.json"

    def __init__(self, path: str, count: int, key: str, folder: TemporaryFolder | None) -> None:
        self._key, self._folder = key, folder
        self._paths = [path] if count == 1 else [f"{path}/{number}" for number in range(count)]

    def read(self) -> list[Field] | None:
        """Return the fields, or None if they are missing or incomplete.

        Raises
        ------
        StoreError
            There is another store, or the field of another volume, plugin or factor, or chunks are missing.
        """
        from .. import store
        from ..store.location import Location

        fields = []
        for path in self._paths:
            location = Location.at(path)
            record = location.json(self.RECORD)
            try:
                level = store.levels(path)[0]
            except store.StoreError:  # missing or incomplete
                level = None
            if record is None and level is not None:
                raise store.StoreError(f"{path}: exists already and is not a field; choose another path")
            if record is not None and record.get("of") != self._key:
                raise store.StoreError(
                    f"{path}: holds the field of another volume, plugin or factor; remove it, or choose another path"
                )
            if record is None or level is None or "objects" not in record:
                return None
            if len(location.child("0").keys()) != record["objects"]:
                raise store.StoreError(f"{path}: chunks of the field are missing; remove it to compute it again")
            field = Field(level.array, level.grid, record["order"], record["coefficients"])
            object.__setattr__(field, "folder", self._folder)
            fields.append(field)
        return fields

    def write(self, fields: Sequence[Field], order: int, memory: int, workers: int, progress: bool) -> None:
        """Write the fields."""
        from .. import store
        from ..store.location import Location

        for path, field in zip(self._paths, fields, strict=True):
            location, field_order = Location.at(path), order if field.order is None else field.order
            record = {"of": self._key, "order": field_order, "coefficients": field.coefficients}
            values = field.values
            if field_order > 0 and values.dtype != float_dtype(values.dtype):
                values = _AsFloat(values)
            location.write_json(self.RECORD, record)
            try:
                _build(values, path, field, memory, workers, progress)
            except store.StoreError as error:
                if "another build has begun" not in str(error):
                    raise
                location.remove()  # the incomplete store of a field that differs, as of a random algorithm
                location.write_json(self.RECORD, record)
                _build(values, path, field, memory, workers, progress)
            location.write_json(self.RECORD, {**record, "objects": len(location.child("0").keys())})


def _build(values: Any, path: str, field: Field, memory: int, workers: int, progress: bool) -> None:
    """Write the store of one field, without further levels."""
    from .. import store

    store.build(
        values,
        path,
        levels=0,
        method="mean",
        grid=field.grid,
        chunks=[min(n, 32) for n in field.grid.shape],
        memory=max(memory, 1 << 24),
        workers=workers,
        progress=progress,
        force=True,
    )


class _AsFloat:
    """An array that is converted to floats when it is read."""

    def __init__(self, values: Array) -> None:
        self._values, self.dtype = values, float_dtype(values.dtype)
        self.shape, self.ndim = values.shape, values.ndim

    def __getitem__(self, box: Any) -> Array:
        voxels: Array = self._values[box].astype(self.dtype)
        return voxels
