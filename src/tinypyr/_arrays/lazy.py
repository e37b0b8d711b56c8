"""Lazy views: arrays that are computed when they are read, and that other processes can recreate from a recipe."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, TypeVar

from .conversion import as_json


class LazyView(Protocol):
    """An array that is computed when it is read, and has a grid."""

    def recipe(self) -> dict[str, Any]:
        """Return the arguments of the view as JSON values.

        ``source`` is the path or URL that the view reads, or None if it reads an array. The optional ``only_here``
        says why other processes cannot recreate the view even though they can read its source.
        """

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Any:
        """Return the view that ``recipe`` describes."""


Kind = TypeVar("Kind", bound=type[LazyView])

_VIEWS: dict[str, type[LazyView]] = {}

# the package that contains this one, under whatever name a vendored copy has
_PACKAGE = str(__package__).rpartition(".")[0]


def register_view(kind: Kind) -> Kind:
    """Register a class of lazy views, so that `view_from_recipe` finds it by name."""
    _VIEWS[_name(kind)] = kind
    return kind


def _name(kind: type[Any]) -> str:
    """Return the module of a class, relative to this package if it is inside, and the name of the class."""
    module = kind.__module__
    return f"{module.removeprefix(_PACKAGE) if module.startswith(f'{_PACKAGE}.') else module}:{kind.__name__}"


def is_view(array: Any) -> bool:
    """Return True if the array is a lazy view."""
    return type(array) in _VIEWS.values()


def recipe_of(array: Any) -> dict[str, Any] | None:
    """Return the recipe of a lazy view as JSON values; None for other arrays."""
    if not is_view(array):
        return None
    recipe: dict[str, Any] = as_json({"view": _name(type(array)), **array.recipe()})
    return recipe


def view_from_recipe(recipe: dict[str, Any]) -> Any:
    """Return the lazy view that a recipe of `recipe_of` describes."""
    arguments = dict(recipe)
    name = arguments.pop("view")
    if name not in _VIEWS:  # its module has not been imported yet
        path, _, kind = name.partition(":")
        module = importlib.import_module(path, _PACKAGE if path.startswith(".") else None)
        if not path.startswith("."):  # the class of another package's reader
            register_view(getattr(module, kind))
    return _VIEWS[name].from_recipe(arguments)
