"""Every example in a public docstring runs, against the installed package."""

import doctest
import importlib
import pkgutil

import pytest

import tinypyr

MODULES = ["tinypyr"] + [
    module.name
    for module in pkgutil.walk_packages(tinypyr.__path__, "tinypyr.")
    if module.name not in ("tinypyr.__main__", "tinypyr._core")  # the first runs the program, the second is compiled
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_their_results(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_every_public_function_has_an_example() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    bare = [
        name
        for name in tinypyr.__all__
        if callable(getattr(tinypyr, name))
        and not any(test.examples for test in finder.find(getattr(tinypyr, name), name))
    ]
    assert bare == []
