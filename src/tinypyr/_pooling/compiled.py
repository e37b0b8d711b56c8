"""The compiled core, if it is installed."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def _load() -> ModuleType | None:
    try:
        from .. import _core
    except ImportError:
        return None
    return _core


core = _load()
#: dtype -> (row in the dtype table of the core, True if the byte order is not native)
CODES: dict[np.dtype[Any], tuple[int, bool]] = {}
for _code, _name in enumerate(core.dtype_names() if core else ()):
    CODES[np.dtype(_name).newbyteorder("S")] = _code, True
    CODES[np.dtype(_name)] = _code, False  # after the swapped one: a single byte has one order
