"""Modules with the names and rules of other tools, implemented on tinypyr. To migrate, change one import."""

import importlib
from typing import Any

#: Imported on first use, because some need optional dependencies.
_LAZY = ("bioimage_py", "pyramid_sampler", "tinybrain", "zarrnii")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(_LAZY)
