"""One interface to everything that can be a plugin, with checks of what it returns."""

from __future__ import annotations

import importlib
import inspect
import json
import operator
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid
from ..resampling.sampler import OPERATIONS
from .identity import identity, state
from .operations import NUMPY_OPERATIONS
from .plugins import Array, Field, PluginError, ScaledProcessingPlugin

# lowres_func sets attributes of the plugin, and one object may be used by several threads
_LOWRES_LOCK = threading.RLock()


@dataclass(frozen=True)
class PluginAdapter:
    """A plugin: an object with two functions, or a pair of functions."""

    name: str
    instance: Any
    lowres_func: Callable[..., Any]
    highres_func: Callable[..., Any]
    operation: str | None  # replaces highres_func
    fields: int
    params: Any  # JSON values, or text
    code: str | None  # "module:class" by which other processes import it; None if they cannot
    identity: str  # differs if the code or the state differs

    @classmethod
    def of(cls, plugin: Any, params: dict[str, Any] | None = None) -> PluginAdapter:
        """Return the adapter of a class and its parameters, an object, or a pair of functions.

        Raises
        ------
        TypeError, ValueError
            It is not a plugin, its operation or number of fields is invalid, or parameters do not apply.
        """
        instance = _instance(plugin, params)
        name, lowres_func, highres_func, operation = _functions(instance)
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"plugin: its operation {operation!r} is not one of {', '.join(OPERATIONS)}")
        if operation is not None:
            highres_func = NUMPY_OPERATIONS[operation]
        if not callable(lowres_func) or not callable(highres_func):
            raise TypeError(
                f"plugin: {plugin!r} is not a plugin; pass a class or an object with lowres_func and highres_func, or "
                "a pair of these functions"
            )
        fields = int(getattr(instance, "fields", 1))
        if fields > 1 and operation is not None:
            raise ValueError(f"plugin: {name} has {fields} fields, but {operation!r} works with one; set fields to 1")
        json_params, code = _importable(instance, operation)
        digest = identity(instance, lowres_func, highres_func)
        return cls(name, instance, lowres_func, highres_func, operation, fields, json_params, code, digest)

    @classmethod
    def load(cls, code: str, params: dict[str, Any]) -> PluginAdapter:
        """Import a plugin by the name in ``code``."""
        return cls.of(import_plugin(code), params)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool, masked: bool) -> None:
        """Raise an error if the plugin cannot process a volume, or ignores a mask."""
        if isinstance(self.instance, ScaledProcessingPlugin):
            self.instance.check(grid, dtype, preserve_dtype)
        elif masked and not _accepts(self.lowres_func, "lowres_mask"):
            raise TypeError(f"mask: lowres_func of {self.name} has no parameter lowres_mask; add it, or pass no mask")

    def compute_fields(self, lowres: Array, grid: Grid, mask: NDArray[np.bool_] | None) -> list[Field]:
        """Call ``lowres_func`` and return its fields; raise PluginError if it fails or they are invalid."""
        instance = self.instance if isinstance(self.instance, ScaledProcessingPlugin) else None
        arguments = {} if mask is None or instance is not None else {"lowres_mask": mask}
        with _LOWRES_LOCK:
            if instance is not None:
                instance.lowres_grid, instance.lowres_mask = grid, mask
            try:
                result = self.lowres_func(lowres, **arguments)
            except (Exception, SystemExit) as error:
                raise PluginError(f"{self.name}: lowres_func failed: {_describe(error)}") from error
            finally:
                if instance is not None:
                    instance.lowres_grid = instance.lowres_mask = None
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != self.fields:
            raise PluginError(f"{self.name}: lowres_func returned {len(results)} fields, but fields is {self.fields}")
        return [self._checked_field(entry, lowres.shape, grid) for entry in results]

    def _checked_field(self, result: Any, shape: tuple[int, ...], grid: Grid) -> Field:
        """Return a result of ``lowres_func`` as a Field; raise PluginError if it is invalid."""
        if hasattr(result, "compute"):  # dask
            result = result.compute()
        field = result if isinstance(result, Field) else Field(np.asarray(result), grid)
        values = field.values
        expected = field.grid.shape if field is result else shape
        if values.shape != expected or values.dtype.kind not in "biuf":
            raise PluginError(
                f"{self.name}: lowres_func returned {values.dtype} of shape {values.shape}; it must return real "
                f"numbers of shape {expected}"
            )
        if field.grid.axes != grid.axes:
            raise PluginError(
                f"{self.name}: lowres_func returned a field with axes {field.grid.axes}; they must be {grid.axes}"
            )
        return field if field.order is None else replace(field, order=operator.index(field.order))

    def apply_block(self, full: Array, upsampled: tuple[Array, ...], where: str) -> Array:
        """Call ``highres_func`` and return its result; raise PluginError if it fails or that is invalid."""
        try:
            result = self._call_highres(full, upsampled)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self.name}: highres_func failed at {where}: {_describe(error)}") from error
        if result.shape != full.shape or result.dtype.kind not in "biuf":
            raise PluginError(
                f"{self.name}: highres_func returned {result.dtype} of shape {result.shape} at {where}; it must return "
                f"real numbers of shape {full.shape}"
            )
        return result

    def _call_highres(self, full: Array, upsampled: tuple[Array, ...]) -> Array:
        """Call ``highres_func`` with numpy arrays, and again with dask arrays if it uses methods of these."""
        full = full.view()
        full.flags.writeable = False  # it may be the caller's array

        def call(full: Any, upsampled: tuple[Any, ...]) -> Array:
            result = self.highres_func(full, upsampled if self.fields > 1 else upsampled[0])
            return np.asarray(result.compute(scheduler="synchronous") if hasattr(result, "compute") else result)

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


def import_plugin(code: str) -> Any:
    """Import the class that ``module:class`` names; the module may be in the current folder."""
    module_name, _, class_name = code.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError:
        if os.getcwd() in sys.path:
            raise
        sys.path.insert(0, os.getcwd())
        importlib.invalidate_caches()
        target = importlib.import_module(module_name)
    for name in class_name.split("."):
        target = getattr(target, name)
    return target


_INHERITED_HIGHRES_FUNC = ScaledProcessingPlugin.highres_func


def _instance(plugin: Any, params: dict[str, Any] | None) -> Any:
    """Return the object of a class and its parameters, or what was passed."""
    if params is not None and not isinstance(params, dict):
        raise TypeError(f"params: {params!r} is not a dict of the plugin's parameters")
    if isinstance(plugin, type):
        if not hasattr(plugin, "lowres_func"):
            raise TypeError(f"plugin: {plugin.__name__} has no lowres_func")
        return plugin(**(params or {}))
    if params:
        raise TypeError(f"params: {params!r} only applies to a class of plugins, but {plugin!r} is an object")
    return plugin


def _functions(instance: Any) -> tuple[str, Any, Any, str | None]:
    """Return the name, ``lowres_func``, ``highres_func`` and the operation of an object or a pair of functions."""
    if isinstance(instance, tuple) and len(instance) == 2:
        lowres_func, highres_func = instance
        operation = highres_func if isinstance(highres_func, str) else None
        return getattr(lowres_func, "__name__", "a pair of functions"), lowres_func, highres_func, operation
    operation = getattr(instance, "operation", None)
    if isinstance(instance, ScaledProcessingPlugin) and type(instance).highres_func is not _INHERITED_HIGHRES_FUNC:
        operation = None  # the class overrides highres_func
    name = str(getattr(instance, "name", type(instance).__name__))
    return name, getattr(instance, "lowres_func", None), getattr(instance, "highres_func", None), operation


def _importable(instance: Any, operation: str | None) -> tuple[Any, str | None]:
    """Return the parameters as JSON values (or text), and the "module:class" from which an equal object is created.

    The name is None if other processes cannot import the class, or would create an object with another state.
    """
    params = getattr(instance, "params", {})
    try:
        json_params, recreatable = json.loads(json.dumps(params)), isinstance(params, dict)
    except (TypeError, ValueError):
        json_params, recreatable = repr(params), False
    kind = type(instance)
    code = f"{kind.__module__}:{kind.__qualname__}"
    if not recreatable or isinstance(instance, tuple) or kind.__module__ == "__main__" or "<locals>" in code:
        return json_params, None
    if operation is None:  # with an operation, other processes need no object
        try:
            equal = state(kind(**json_params)) == state(instance)
        except (Exception, SystemExit):
            equal = False
        if not equal:
            return json_params, None
    return json_params, code


def _describe(error: BaseException) -> str:
    """Return an error in one line, with the innermost line of code outside this package."""
    frames = traceback.extract_tb(error.__traceback__)
    package = os.path.dirname(os.path.dirname(__file__))
    frame = next((frame for frame in reversed(frames) if not frame.filename.startswith(package)), None)
    where = "" if frame is None else f" ({os.path.basename(frame.filename)}, line {frame.lineno})"
    return f"{type(error).__name__}: {error}{where}"


def _accepts(function: Callable[..., Any], name: str) -> bool:
    """Return True if a function has a parameter of this name, or takes any."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
