from typing import Any

def distinct(array: Any, values: Any) -> int: ...
def instruction_sets() -> list[str]: ...
def dtype_names() -> list[str]: ...
def sample(
    array: Any,
    code: int,
    out: Any,
    out_code: int,
    order: int,
    boundary_mode: int,
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

class PyramidCall:
    def __init__(
        self,
        factors: list[tuple[int, ...]],
        voxel_offset: tuple[int, ...],
        shapes: list[tuple[int, ...]],
        code: int,
        swapped: bool,
        method: int,
        rounding: int,
        ties: int,
        ignore_bits: int | None,
        threads: int,
    ) -> None: ...
    def allocate_and_fill(self, array: Any) -> tuple[list[Any], list[int] | None]: ...
    def fill(self, array: Any, outs: list[Any], sums: Any = None, sums_code: int = 0) -> list[int] | None: ...
    def fill_if_plain(self, array: Any, outs: Any) -> tuple[list[Any], list[int] | None] | None: ...

class CallCache:
    def get(self, arguments: tuple[Any, ...]) -> Any: ...
    def add(self, arguments: tuple[Any, ...], call: Any) -> None: ...
