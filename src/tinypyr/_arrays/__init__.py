"""Arrays of other packages (numpy, dask, zarr, TensorStore and the like); ours that are made where they are read."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


def looks_like_labels(kind: str | None, dtype: np.dtype[Any] | str) -> bool:
    """Whether voxels are labels, as far as can be told."""
    return kind == "labels" or (kind is None and np.dtype(dtype).name in ("uint32", "uint64"))


class View(Protocol):
    """An array that is made where it is read, from a recipe by which other processes make it again."""

    def recipe(self) -> dict[str, Any]:
        """As JSON: what it was made with.

        ``source`` is the path or URL of what it reads, None for an array. ``only_here``, if there is one and it is not
        None, says why other processes cannot make it although they could read that.
        """

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Any:
        """What ``recipe`` told."""


Kind = TypeVar("Kind", bound=type[View])

_VIEWS: dict[str, type[View]] = {}


def view(kind: Kind) -> Kind:
    """Let arrays of this class be made again by its name."""
    _VIEWS[_name(kind)] = kind
    return kind


def _name(kind: type[Any]) -> str:
    """The module below this package, and the class."""
    return f"{kind.__module__.removeprefix(__name__.rpartition('.')[0])}:{kind.__name__}"


def is_view(array: Any) -> bool:
    """Whether it is made where it is read, and says where its voxels lie."""
    return type(array) in _VIEWS.values()


def recipe_of(array: Any) -> dict[str, Any] | None:
    """What makes a view again, as it is after a way through JSON; None of other arrays."""
    if not is_view(array):
        return None
    told: dict[str, Any] = as_json({"view": _name(type(array)), **array.recipe()})
    return told


def as_json(value: Any) -> Any:
    """A value as it is after a way through JSON."""
    return json.loads(json.dumps(value))


def view_from_recipe(recipe: dict[str, Any]) -> Any:
    """The view that a recipe is of."""
    given = dict(recipe)
    name = given.pop("view")
    if name not in _VIEWS and name.startswith("."):  # of a module that nobody has asked for yet
        importlib.import_module(name.partition(":")[0], __name__.rpartition(".")[0])
    return _VIEWS[name].from_recipe(given)


def share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays have a voxel in common, as far as that can be told soon."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return a is b
    try:
        return np.shares_memory(a, b, max_work=1 << 16)  # type: ignore[arg-type,unused-ignore]
    except np.exceptions.TooHardError:
        return True


def corners(array: Any, shape: tuple[int, ...]) -> bytes:
    """The voxels of an array's first and last corner, to tell it from what it is after a change."""
    ends = [slice(0, min(n, 64)) for n in shape], [slice(max(0, n - 64), n) for n in shape]
    return b"".join(np.ascontiguousarray(read(array, tuple(box))).tobytes() for box in ends)


def is_read_only(array: Any) -> bool:
    """Whether voxels cannot be set, as numpy, zarr and TensorStore say it."""
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return bool(getattr(array, "read_only", False) or not getattr(array, "writable", True))


def number_as_json(value: complex) -> Any:
    """A number, whatever kind it is of."""
    made = value.item() if isinstance(value, np.generic) else value
    return [made.real, made.imag] if isinstance(made, complex) else made


def number_from_json(value: Any) -> complex:
    """What ``number_as_json`` was given."""
    return complex(*value) if isinstance(value, list) else value


def absolute_url(where: str | os.PathLike[str]) -> str:
    """A path or URL that means the same in other processes, wherever they run."""
    name = os.fspath(where)
    return name if "://" in name else os.path.abspath(name)


def from_zero(array: Any) -> Any:
    """The array with its first voxel at 0, where those of TensorStore need not have it."""
    return array.translate_to[(0,) * len(array.shape)] if hasattr(array, "translate_to") else array


def dtype_of(array: Any) -> np.dtype[Any]:
    """The array's dtype, in this machine's byte order."""
    made: np.dtype[Any] = np.dtype(getattr(array.dtype, "numpy_dtype", array.dtype))
    return made.newbyteorder("=")


def read_chunks(array: Any) -> tuple[int, ...] | None:
    """Voxels of what is read as a whole, along each axis (of dask, of the first chunk); None where nothing is."""
    layout = getattr(array, "chunk_layout", None)  # TensorStore's
    chunks: Any = getattr(array, "chunks", None) if layout is None else layout.read_chunk.shape
    if not chunks:
        return None
    made = tuple(int(along[0] if isinstance(along, (tuple, list)) else along or 0) for along in chunks)
    return made if all(made) else None


def write_unit(array: Any) -> tuple[int, ...] | None:
    """Voxels of what one writer must write alone: a chunk, or a shard; None where there is no such thing."""
    layout = getattr(array, "chunk_layout", None)  # TensorStore's
    unit: Any = getattr(array, "shards", None) or read_chunks(array) if layout is None else layout.write_chunk.shape
    return tuple(int(along) for along in unit) if unit and all(unit) else None


def write(array: Any, box: tuple[slice, ...], voxels: NDArray[Any]) -> None:
    """Set the voxels of a box."""
    if hasattr(array, "kvstore"):  # TensorStore
        array[box].write(voxels).result()
    else:
        array[box] = voxels


def rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Floats as voxels: of integers half to even, and within their range; no number is 0."""
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)  # (of 64 bits, one beyond the highest)
    whole = np.rint(values)
    above, below = whole >= high, whole <= low
    made = np.where(above | below | np.isnan(whole), 0, whole).astype(dtype)
    made[above], made[below] = limits.max, limits.min
    return made


def normalize_index(box: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
    """An index of slices in steps of 1, integers and an ellipsis: the box that it covers, and what to take of that."""
    wanted = list(box) if isinstance(box, tuple) else [box]
    ndim = len(shape)
    for at, entry in enumerate(wanted):
        if entry is Ellipsis:
            wanted[at : at + 1] = [slice(None)] * (ndim - len(wanted) + 1)
            break
    wanted += [slice(None)] * (ndim - len(wanted))
    if len(wanted) > ndim or any(
        isinstance(entry, bool) or not isinstance(entry, (slice, int, np.integer)) for entry in wanted
    ):
        raise IndexError(f"{str(box)[:80]}: slices, integers and one ellipsis for {ndim} axes are needed")
    whole, taken = [], []
    for entry, n in zip(wanted, shape, strict=True):
        if not isinstance(entry, slice) and not -n <= entry < n:
            raise IndexError(f"{box!r}: beyond an axis of {n} voxels")
        along = range(n)[entry if isinstance(entry, slice) else slice(entry % n, entry % n + 1)]
        if along.step != 1:
            raise IndexError(f"{box!r}: slices in steps of 1 are needed")
        whole.append(slice(along.start, max(along.start, along.stop)))
        taken.append(slice(None) if isinstance(entry, slice) else 0)
    return tuple(whole), tuple(taken)


def read(array: Any, box: tuple[slice, ...]) -> NDArray[Any]:
    """The voxels of a box."""
    found = array[box]
    if hasattr(found, "read"):  # TensorStore
        found = found.read().result()
    return np.asarray(found.compute() if hasattr(found, "compute") else found)
