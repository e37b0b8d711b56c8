"""Numbers of bytes and of workers, as people write them."""

from __future__ import annotations

import math
import operator
import os
import re


def bytes_of(given: int | str, name: str = "memory", least: int = 1 << 20) -> int:
    """An argument as a number of bytes, such as ``"512MiB"``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B?)\s*", str(given).upper())
    if match is not None:
        number, power, binary = match.groups()
        value = int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(power) if power else 0))
        if value >= least:
            return value
    raise ValueError(f"{name}: {given!r} is no size of {size_text(least)} or more, such as '512MiB'")


def workers_of(given: int | None) -> int:
    """An argument as how many work at once; None: as many as there are cores for this process."""
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(given, bool) or not hasattr(given, "__index__") or not 1 <= given <= 1024:
        raise ValueError(f"workers: {given!r} is not a number between 1 and 1024")
    return operator.index(given)


def size_text(count: float) -> str:
    """A number of bytes in three digits and a unit."""
    unit = min(6, int(math.log2(count) // 10)) if count >= 1 else 0
    return f"{count / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"
