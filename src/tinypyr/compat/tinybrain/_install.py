"""Replacement of the package tinybrain in this process."""

from __future__ import annotations

import importlib
import sys

_SUBMODULES = ("accelerated", "downsample")


def install(*, replace: bool = False) -> None:
    """Make ``import tinybrain`` return :mod:`tinypyr.compat.tinybrain`, for packages such as igneous that import it.

    Call it before those packages are imported: a module keeps what it has imported. Only this process is concerned, so
    that worker processes must call it too. A second call does nothing.

    Parameters
    ----------
    replace : bool
        Replace the package tinybrain if it is imported already. Modules that have imported it keep it.

    Raises
    ------
    RuntimeError
        If the package tinybrain is imported already, and ``replace`` is False.

    Examples
    --------
    >>> from tinypyr.compat import tinybrain
    >>> tinybrain.install(replace=True)
    >>> import tinybrain
    >>> tinybrain.__name__
    'tinypyr.compat.tinybrain'
    """
    package = __name__.rpartition(".")[0]
    imported = sys.modules.get("tinybrain")
    if imported is not None and imported.__name__ != package and not replace:
        raise RuntimeError(
            f"tinybrain: the package in {getattr(imported, '__file__', None)} is imported already, and modules that "
            "imported it would keep it; call install() before them, or pass replace=True"
        )
    for name in [name for name in sys.modules if name == "tinybrain" or name.startswith("tinybrain.")]:
        del sys.modules[name]
    sys.modules["tinybrain"] = sys.modules[package]
    for name in _SUBMODULES:
        sys.modules[f"tinybrain.{name}"] = importlib.import_module(f"{package}.{name}")
