from typing import Any

def distinct(array: Any, found: Any) -> int: ...
def isas() -> list[str]: ...
def dtype_names() -> list[str]: ...
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
