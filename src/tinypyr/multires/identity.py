"""Identity of plugins: a hash of their code and state, so that a field of another plugin is not reused."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

from .. import __version__

# prefix of the modules of this package, whose code is identified by its version
_PREFIX = f"{str(__package__).rpartition('.')[0]}."


def state(instance: Any) -> bytes:
    """Return the attributes of an object as bytes, without those that are set while ``lowres_func`` runs."""
    attributes = getattr(instance, "__dict__", {})
    attributes = {name: value for name, value in attributes.items() if not name.startswith("lowres_")}
    return _pickled(attributes) or repr(attributes).encode()


def identity(instance: Any, *functions: Any) -> str:
    """Return a hash of an object's state, of the code of its classes, and of some functions."""
    digest = hashlib.sha256(state(instance))
    classes = type(instance).__mro__ if not isinstance(instance, tuple) else ()
    members = [*functions, *(member for kind in classes for _, member in sorted(vars(kind).items()))]
    for member in members:
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not hasattr(function, "__code__"):
            continue
        if str(function.__module__).startswith(_PREFIX):
            digest.update(f"{function.__qualname__} {__version__}".encode())
        else:
            digest.update(_code(function.__code__))
            cells = [cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell)]
            digest.update(_pickled((function.__defaults__, function.__kwdefaults__, cells)))
    return digest.hexdigest()[:16]


def _code(code: Any) -> bytes:
    """Return the bytecode, the constants and the names of a code object."""

    def constant(value: Any) -> bytes:
        if hasattr(value, "co_code"):
            return _code(value)
        # the order of a set differs from process to process
        return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()

    return bytes(code.co_code) + b"".join(map(constant, code.co_consts)) + repr(code.co_names).encode()


def _is_empty(cell: Any) -> bool:
    """Return True if a cell of a closure has no value, or None."""
    try:
        return cell.cell_contents is None
    except ValueError:
        return True


def _pickled(values: Any) -> bytes:
    """Return equal bytes for equal values, whether or not their parts are the same objects; b"" on failure."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.fast = True  # no references to objects that were pickled before
    try:
        pickler.dump(values)
    except Exception:  # functions, for example, or objects that contain themselves
        return b""
    return stream.getvalue()
