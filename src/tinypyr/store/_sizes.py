"""Numbers of bytes, as people write them."""

from __future__ import annotations

import math
import re


def bytes_of(memory: int | str) -> int:
    """The argument ``memory`` as a number: 1 MiB or more, such as ``"512MiB"``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B?)\s*", str(memory).upper())
    if match is not None:
        number, power, binary = match.groups()
        value = int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(power) if power else 0))
        if value >= 1 << 20:
            return value
    raise ValueError(f"memory: {memory!r} is no size of 1MiB or more, such as '512MiB'")


def size_text(count: float) -> str:
    """A number of bytes in three digits and a unit."""
    unit = min(5, int(math.log2(count) // 10)) if count >= 1 else 0
    return f"{count / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"
