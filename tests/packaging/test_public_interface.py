"""The public interface: names, types that users' tools see, and the boundaries between packages."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinypyr

ROOT = Path(tinypyr.__file__).parent
PACKAGES = ("compat", "multires", "ndinterp", "store")


def test_dir_lists_the_public_names_and_sub_packages_and_nothing_else() -> None:
    assert dir(tinypyr) == sorted([*tinypyr.__all__, *PACKAGES])
    for name in tinypyr.__all__:
        assert getattr(tinypyr, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        tinypyr.nothing  # noqa: B018


def public_callables() -> Iterator[tuple[str, Any]]:
    for package in ("", *PACKAGES[1:]):
        try:
            module = importlib.import_module(f"tinypyr.{package}".rstrip("."))
        except ImportError:  # an optional dependency is missing
            continue
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and not (isinstance(value, type) and issubclass(value, BaseException)):
                yield f"{module.__name__}.{name}", value


#: A subclass of the base class of plugins declares parameters of its own.
OPEN = ("tinypyr.multires.ScaledProcessingPlugin",)


@pytest.mark.parametrize(("name", "function"), [entry for entry in public_callables() if entry[0] not in OPEN])
def test_public_signatures_hide_no_parameter(name: str, function: Any) -> None:
    """Editors and type checkers cannot see into ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)], name


def test_errors_derive_from_tinypyr_error_and_from_the_built_in_that_fits() -> None:
    from tinypyr.errors import StoreError

    assert issubclass(StoreError, tinypyr.Error)
    assert issubclass(StoreError, OSError)
    multires = pytest.importorskip("tinypyr.multires", reason="needs scipy", exc_type=ImportError)
    assert issubclass(multires.PluginError, tinypyr.Error)
    assert issubclass(multires.PluginError, RuntimeError)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules and names that a module imports from the package, with full names."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            for alias in node.names:
                yield ".".join(filter(None, module)), alias.name


def test_no_module_imports_an_underscored_name_of_another_package_folder() -> None:
    """Folders with an underscore belong to the whole package; their names have none."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        here = ".".join(path.relative_to(ROOT).parent.parts)
        for module, name in imports(path):
            target = f"{module}.{name}".lstrip(".")
            folder, _, leaf = target.rpartition(".")
            private = [part for part in folder.split(".")[1:] if part.startswith("_")] or leaf.startswith("_")
            inside = module == here or module.startswith(f"{here}.") or here == "" or here.startswith(f"{module}.")
            dunder = leaf.startswith("__")
            root = "." not in target and leaf.startswith("_")  # a folder such as _util, or _core
            if private and not dunder and not root and not inside:
                wrong.append(f"{path.relative_to(ROOT)}: {target}")
    assert wrong == []


SCRIPT = """\
import numpy as np
import tinypyr
from tinypyr import multires, store

tinypyr.pyramid(np.zeros((4, 4)), 2, level=2)
tinypyr.downsample(np.zeros((4, 4)), 2, worker=2)
store.plan("a", "b", chunk=(1, 2))
store.build("a", "b", engines="threads")
tinypyr.resample_like("a", "b", antialiasing=True)
multires.apply_scaled_processing("a", None, 2, chunk=(1, 2))
"""


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_flag_every_misspelt_keyword(checker: str, tmp_path: Path) -> None:
    pytest.importorskip(checker, reason="a type checker that users may have")
    (tmp_path / "script.py").write_text(SCRIPT)
    options = {"mypy": ["--strict"], "pyright": ["--pythonpath", sys.executable]}  # pyright takes PATH's otherwise
    command = [sys.executable, "-m", checker, *options[checker], "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "error" in line and line.count(":") > 2}
    assert lines == set(range(5, 11)), done.stdout
