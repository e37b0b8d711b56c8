"""Calls of tinypyr for the rows of the benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tinypyr
from workloads import Array, Row


def calls(array: Array, row: Row) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return two calls of tinypyr: one into existing outputs, one that allocates them."""
    out = tinypyr.pyramid(array, row.factor, row.method, levels=row.levels, ignore=row.ignore)
    if row.levels > 1:
        return (
            lambda: tinypyr.pyramid(array, row.factor, row.method, levels=row.levels, ignore=row.ignore, out=out),
            lambda: tinypyr.pyramid(array, row.factor, row.method, levels=row.levels, ignore=row.ignore),
        )
    return (
        lambda: [tinypyr.downsample(array, row.factor, row.method, ignore=row.ignore, out=out[0])],
        lambda: [tinypyr.downsample(array, row.factor, row.method, ignore=row.ignore)],
    )


def has_narrower() -> bool:
    """Return True if another set than AVX2 is measured and the machine also supports AVX2."""
    return not os.environ.get("TINYPYR_ISA") and "avx2" in tinypyr.instruction_sets()[1:]


def on_avx2(call: Callable[[], Any]) -> Any:
    os.environ["TINYPYR_ISA"] = "avx2"  # the core reads the variable at each call
    try:
        return call()
    finally:
        del os.environ["TINYPYR_ISA"]
