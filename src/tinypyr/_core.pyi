from typing import Any

def distinct(array: Any, found: Any) -> int: ...
def instruction_sets() -> list[str]: ...
def dtype_names() -> list[str]: ...
def sample(
    array: Any,
    code: int,
    out: Any,
    out_code: int,
    order: int,
    extend: int,
    fill: float,
    fill_bits: int,
    extent: Any,
    first: Any,
    pad: float,
    matrix: Any = None,
    offset: Any = None,
    start: Any = None,
    coordinates: Any = None,
    float64_code: int = 0,
    full: Any = None,
    full_code: int = 0,
    operation: int = 0,
) -> None: ...
def pyramid(
    array: Any,
    outs: list[Any],
    factors: list[tuple[int, ...]],
    origin: tuple[int, ...],
    code: int,
    swapped: bool,
    method: int,
    rounding: int,
    ties: int,
    ignore_bits: int | None,
    threads: int,
    sums: Any = None,
    sums_code: int = 0,
) -> list[int] | None: ...
