"""Drop-in modules for people who come from other tools: their names and their rules, on tinypyr's core."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("bioimage_py", "pyramid_sampler", "tinybrain", "zarrnii"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
