"""What is computed and applied: what a plugin is, what may be one, what it makes (_built_in.py, _n4.py: some)."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import json
import operator
import os
import pickle
import sys
import tempfile
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import Error
from ..grid import Grid
from ..resampling.sampler import OPERATIONS

Array = NDArray[Any]


class PluginError(Error, RuntimeError):
    """A plugin failed, or made what cannot be used; the message names it, and the block."""


@dataclass(frozen=True)
class Field:
    """Values and where they lie: what ``lowres_func`` may make instead of an array like the one it was given.

    Parameters
    ----------
    values : numpy.ndarray
        Of real numbers.
    grid : Grid
        Where they lie, in the same world and with the same axes as the volume. Beyond its border the field goes on as
        it is there.
    order : int, optional
        Of what lies between them: 0 (nearest), 1 (linear), 2 to 5 (splines); by default as the caller says.
    coefficients : bool
        Of order 2 and more: the values are the coefficients of the spline, which then is exactly that one.
    """

    values: Any
    grid: Grid
    order: int | None = None
    coefficients: bool = False


class ScaledProcessingPlugin(ABC):
    """An algorithm in two halves.

    Parameters
    ----------
    **params
        What the algorithm wants to know; kept as ``params``.

    Attributes
    ----------
    operation : str, optional
        ``"divide"``, ``"multiply"``, ``"subtract"`` or ``"mask"`` (voxels stay where the field is at least 1/2, the
        others are 0): what is done with a block and the field there. Then ``highres_func`` need not be written, and is
        not called: the compiled core does it. Voxels stay as they are where they would be divided by 0.
    fields : int
        How many fields ``lowres_func`` makes: with more than one it returns a tuple, and ``highres_func`` is given one.
    lowres_grid : Grid
        While ``lowres_func`` runs: where the voxels of what it is given lie.
    lowres_mask : numpy.ndarray of bool, optional
        Meanwhile, too: the voxels that count, of the same shape; None: all do.

    Examples
    --------
    A flat field, ten lines:

    >>> import numpy as np
    >>> from tinypyr.multires import ScaledProcessingPlugin, apply_scaled_processing
    >>> class FlatField(ScaledProcessingPlugin):
    ...     '''Divides by the mean over all sections.'''
    ...
    ...     def lowres_func(self, lowres):
    ...         section = lowres.mean(axis=0)
    ...         return np.broadcast_to(section / section.mean(), lowres.shape)
    ...
    ...     def highres_func(self, fullres, upsampled):
    ...         return fullres / upsampled
    >>> shaded = np.linspace(50, 150, 64) * np.ones((8, 64, 64))
    >>> flat = apply_scaled_processing(shaded, FlatField, 4)
    >>> bool(abs(flat[:, :, 2:-2] - 100).max() < 1e-9)
    True
    """

    operation: str | None = None
    fields: int = 1

    def __init__(self, **params: Any) -> None:
        self.params = params
        self.lowres_grid: Grid | None = None
        self.lowres_mask: NDArray[np.bool_] | None = None

    @abstractmethod
    def lowres_func(self, lowres: Array) -> Array | Field | tuple[Array | Field, ...]:
        """The field of the volume at low resolution: an array of the same shape, or a :class:`Field`.

        ``lowres`` has the volume's dtype: means of integers are rounded, and unsigned ones wrap where one subtracts. A
        low resolution that is large lies in a file that is mapped into memory (``numpy.memmap``); :meth:`like` makes
        more such arrays.
        """

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """A block of the volume, and the field there: what comes of them, of the same shape.

        Blocks are numpy arrays of the volume's dtype, of a million voxels at most, and must not be written to. A plugin
        that asks them for what only arrays of dask have (``map_blocks``, say) is called again with such. Nothing but
        ``params`` and the field is carried over from ``lowres_func``: other processes, and whoever goes on after an
        interruption, have no more.
        """
        if self.operation not in OPERATIONS:
            raise TypeError(f"{self.name}: write highres_func, or say one of {', '.join(OPERATIONS)}")
        return COMPUTED[self.operation](fullres, upsampled)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:  # noqa: B027 (may be left as it is)
        """Refuse, before anything is read, what cannot be done.

        Parameters
        ----------
        grid : Grid
            Where the voxels of the low resolution will lie.
        dtype : numpy.dtype
            Of the volume.
        preserve_dtype : bool
            Whether that is what comes out, too.
        """

    @staticmethod
    def like(lowres: Array, dtype: Any = None) -> Array:
        """An array of the same shape, without values; in a file of its own, removed at the end, if ``lowres`` is."""
        return empty(lowres.shape, lowres.dtype if dtype is None else np.dtype(dtype), isinstance(lowres, np.memmap))

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def description(self) -> str:
        """What it does, in a line."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], in_file: bool) -> Array:
    """An array without values, in memory or in a temporary file without a name."""
    if not in_file:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # (the map keeps it until it is gone itself)
        return np.memmap(file, dtype, "w+", shape=shape)


@dataclass(frozen=True)
class Plugin:
    """A plugin, whatever it was given as."""

    name: str
    given: Any
    lowres_func: Callable[..., Any]
    highres_func: Callable[..., Any]
    operation: str | None  # instead of highres_func
    fields: int
    params: Any  # as JSON, or as text
    code: str | None  # module:class by which other processes find it; None: they cannot
    identity: str  # other text where its code or what it holds is another

    @classmethod
    def of(cls, plugin: Any, params: dict[str, Any]) -> Plugin:
        """From a class, an instance, an object with the two functions, or a pair of them."""
        made = plugin
        if isinstance(plugin, type):
            if not hasattr(plugin, "lowres_func"):
                raise TypeError(f"plugin: {plugin.__name__} has no lowres_func")
            made = plugin(**params)
        elif params:
            raise TypeError(f"{', '.join(params)}: parameters are for a class of plugins; {plugin!r} has its own")
        if isinstance(made, tuple) and len(made) == 2:
            low, high = made
            operation = high if isinstance(high, str) else None
            name = getattr(low, "__name__", "a pair of functions")
        else:
            low, high = getattr(made, "lowres_func", None), getattr(made, "highres_func", None)
            operation = getattr(made, "operation", None)
            name = str(getattr(made, "name", type(made).__name__))
            if isinstance(made, ScaledProcessingPlugin) and type(made).highres_func is not _USUAL:
                operation = None  # (it has another one)
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"plugin: its operation {operation!r} is not one of {', '.join(OPERATIONS)}")
        if operation is not None:
            high = COMPUTED[operation]
        if not callable(low) or not callable(high):
            raise TypeError(
                f"plugin: {plugin!r} is no plugin; a class or an object with lowres_func and highres_func is, and so "
                "is a pair of these functions"
            )
        fields = int(getattr(made, "fields", 1))
        if fields > 1 and operation is not None:
            raise ValueError(f"plugin: {name} makes {fields} fields, with which {operation!r} cannot be done")
        told = getattr(made, "params", {})
        try:
            as_json, plain = json.loads(json.dumps(told)), isinstance(told, dict)
        except (TypeError, ValueError):
            as_json, plain = repr(told), False
        kind = type(made)
        named = f"{kind.__module__}:{kind.__qualname__}"
        ours_alone = not plain or isinstance(made, tuple) or kind.__module__ == "__main__" or "<locals>" in named
        if not ours_alone and operation is None:  # (else it is not asked for anything there)
            try:
                ours_alone = _state(kind(**as_json)) != _state(made)
            except (Exception, SystemExit):
                ours_alone = True
        code = None if ours_alone else named
        return cls(name, made, low, high, operation, fields, as_json, code, _identity(made, low, high))

    @classmethod
    def found(cls, code: str, params: dict[str, Any]) -> Plugin:
        """By the name that ``code`` gave it, in this process."""
        return cls.of(imported(code), params)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool, masked: bool) -> None:
        """Refuse, before anything is read, what cannot be done."""
        if isinstance(self.given, ScaledProcessingPlugin):
            self.given.check(grid, dtype, preserve_dtype)
        elif masked and not _takes(self.lowres_func, "lowres_mask"):
            raise TypeError(f"lowres_mask: the lowres_func of {self.name} takes none")

    def made_of(self, lowres: Array, grid: Grid, mask: NDArray[np.bool_] | None) -> list[Field]:
        """What ``lowres_func`` makes, checked."""
        how = {} if mask is None or isinstance(self.given, ScaledProcessingPlugin) else {"lowres_mask": mask}
        with _ONE_AT_A_TIME:  # (an object may have been given twice)
            if isinstance(self.given, ScaledProcessingPlugin):
                self.given.lowres_grid, self.given.lowres_mask = grid, mask
            try:
                made = self.lowres_func(lowres, **how)
            except (Exception, SystemExit) as error:
                raise PluginError(f"{self.name}: lowres_func failed: {_told(error)}") from error
            finally:
                if isinstance(self.given, ScaledProcessingPlugin):
                    self.given.lowres_grid = self.given.lowres_mask = None
        several = made if isinstance(made, tuple) else (made,)
        if len(several) != self.fields:
            raise PluginError(f"{self.name}: lowres_func made {len(several)} fields, where it says {self.fields}")
        return [self._checked(one, lowres.shape, grid) for one in several]

    def _checked(self, made: Any, shape: tuple[int, ...], grid: Grid) -> Field:
        if hasattr(made, "compute"):  # of dask
            made = made.compute()
        told = made if isinstance(made, Field) else Field(np.asarray(made), grid)
        values = told.values
        wanted = told.grid.shape if told is made else shape
        if values.shape != wanted or values.dtype.kind not in "biuf":
            raise PluginError(
                f"{self.name}: lowres_func made {values.dtype} of shape {values.shape}; real numbers of shape "
                f"{wanted} are needed"
            )
        if told.grid.axes != grid.axes:
            raise PluginError(f"{self.name}: lowres_func made a field of axes {told.grid.axes}, not {grid.axes}")
        return told if told.order is None else replace(told, order=operator.index(told.order))

    def block(self, full: Array, upsampled: tuple[Array, ...], where: str) -> Array:
        """What ``highres_func`` makes of a block, checked."""
        try:
            made = self._called(full, upsampled)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self.name}: highres_func failed at {where}: {_told(error)}") from error
        if made.shape != full.shape or made.dtype.kind not in "biuf":
            raise PluginError(
                f"{self.name}: highres_func made {made.dtype} of shape {made.shape} at {where}; real numbers of shape "
                f"{full.shape} are needed"
            )
        return made

    def _called(self, full: Array, upsampled: tuple[Array, ...]) -> Array:
        full = full.view()
        full.flags.writeable = False  # (it may be the caller's own)

        def call(full: Any, upsampled: tuple[Any, ...]) -> Array:
            made = self.highres_func(full, upsampled if self.fields > 1 else upsampled[0])
            return np.asarray(made.compute(scheduler="synchronous") if hasattr(made, "compute") else made)

        try:
            return call(full, upsampled)
        except AttributeError as error:
            if not isinstance(error.obj, np.ndarray):
                raise
            try:
                import dask.array as da
            except ImportError:
                raise error from None
            if not hasattr(da.Array, error.name or ""):
                raise
        lazy = [da.from_array(array, chunks=-1) for array in (full, *upsampled)]  # type: ignore[no-untyped-call,unused-ignore]
        return call(lazy[0], tuple(lazy[1:]))


_USUAL = ScaledProcessingPlugin.highres_func
_ONE_AT_A_TIME = threading.RLock()
_OURS = __name__.removesuffix("multires.plugins")


def imported(code: str) -> Any:
    """The class of a module, by ``module:class``; modules of the current folder are found, too."""
    module, _, name = code.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        if os.getcwd() in sys.path:
            raise
        sys.path.insert(0, os.getcwd())
        importlib.invalidate_caches()
        found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _told(error: BaseException) -> str:
    """An error in a line: what it is, and the line of code, if it is none of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = os.path.dirname(os.path.dirname(__file__))
    where = next((frame for frame in reversed(frames) if not frame.filename.startswith(ours)), None)
    at = "" if where is None else f" ({os.path.basename(where.filename)}, line {where.lineno})"
    return f"{type(error).__name__}: {error}{at}"


def _state(made: Any) -> bytes:
    """What an object holds, but for what we give it."""
    held = {key: value for key, value in getattr(made, "__dict__", {}).items() if not key.startswith("lowres_")}
    return _pickled(held) or repr(held).encode()


def _identity(made: Any, *functions: Any) -> str:
    found = hashlib.sha256(_state(made))
    kinds = type(made).__mro__ if not isinstance(made, tuple) else ()
    parts = [*functions, *(part for kind in kinds for _, part in sorted(vars(kind).items()))]
    for part in parts:
        function = getattr(part, "fget", None) or getattr(part, "__func__", part)
        if not hasattr(function, "__code__"):
            continue
        if str(function.__module__).startswith(_OURS):
            found.update(f"{function.__qualname__} {__version__}".encode())
        else:
            found.update(_code(function.__code__))
            cells = [cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell)]
            found.update(_pickled((function.__defaults__, function.__kwdefaults__, cells)))
    return found.hexdigest()[:16]


def _code(code: Any) -> bytes:
    def told(part: Any) -> bytes:
        if hasattr(part, "co_code"):
            return _code(part)
        # (the order of a set is that of a process)
        return repr(sorted(map(repr, part)) if isinstance(part, frozenset) else part).encode()

    return bytes(code.co_code) + b"".join(map(told, code.co_consts)) + repr(code.co_names).encode()


def _is_empty(cell: Any) -> bool:
    try:
        return cell.cell_contents is None
    except ValueError:
        return True


def _pickled(values: Any) -> bytes:
    """Equal for what is equal, whether its parts are one object or several; nothing for what cannot be told."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.fast = True  # (no references to what came before)
    try:
        pickler.dump(values)
    except Exception:  # a function, say, or what holds itself
        return b""
    return stream.getvalue()


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        told = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in told or any(one.kind is one.VAR_KEYWORD for one in told.values())


def computed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The floats that hold voxels of a type: single precision for what it holds exactly."""
    small = (dtype.kind in "bf" and dtype.itemsize <= 4) or dtype.itemsize <= 2
    return np.dtype(np.float32 if small else np.float64)


def _divide(full: Array, by: Array) -> Array:
    made = full.astype(np.float64)
    np.divide(made, by, out=made, where=by != 0)
    return made


def _multiply(full: Array, by: Array) -> Array:
    return np.multiply(full, by, dtype=np.float64)


def _subtract(full: Array, less: Array) -> Array:
    return np.subtract(full, less, dtype=np.float64)


def _mask(full: Array, kept: Array) -> Array:
    return np.where(kept >= 0.5, full, full.dtype.type(0))


#: What the core does with a volume and a field in one pass, of arrays.
COMPUTED: dict[str, Callable[[Array, Array], Array]] = dict(
    zip(OPERATIONS, (_divide, _multiply, _subtract, _mask), strict=True)
)
