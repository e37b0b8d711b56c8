"""Helpers for arrays: access to arrays of other packages, lazy views, indexing, and conversion of values."""

from .access import (
    corners,
    dtype_of,
    from_zero,
    is_array,
    is_read_only,
    is_tensorstore,
    read,
    read_chunks,
    share_memory,
    start_to_read,
    write,
    write_unit,
)
from .conversion import as_json, looks_like_labels, number_as_json, number_from_json, rounded
from .indexing import normalize_index
from .lazy import LazyView, is_view, recipe_of, register_view, view_from_recipe

__all__ = [
    "LazyView",
    "as_json",
    "corners",
    "dtype_of",
    "from_zero",
    "is_array",
    "is_read_only",
    "is_tensorstore",
    "is_view",
    "looks_like_labels",
    "normalize_index",
    "number_as_json",
    "number_from_json",
    "read",
    "read_chunks",
    "recipe_of",
    "register_view",
    "rounded",
    "share_memory",
    "start_to_read",
    "view_from_recipe",
    "write",
    "write_unit",
]
