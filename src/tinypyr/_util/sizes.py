"""Numbers of bytes and of workers as users write them."""

from __future__ import annotations

import math
import operator
import os
import re


def bytes_of(value: int | str, name: str = "memory", least: int = 1 << 20) -> int:
    """Return an argument such as ``"512MiB"`` as a number of bytes.

    Parameters
    ----------
    value : int or str
        The argument.
    name : str
        Its name, for the error message.
    least : int
        The smallest number of bytes to accept.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The value is not a size, or less than ``least``.

    Examples
    --------
    >>> bytes_of("1.5MiB"), bytes_of("2MB")
    (1572864, 2000000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B?)\s*", str(value).upper())
    if match is not None:
        number, power, binary = match.groups()
        count = int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(power) if power else 0))
        if count >= least:
            return count
    raise ValueError(f"{name}: {value!r} is not a size of at least {size_text(least)}, such as '512MiB'")


def workers_of(value: int | None) -> int:
    """Return the argument ``workers`` as a number; None is the number of cores that this process may use."""
    if value is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 1 <= value <= 1024:
        raise ValueError(f"workers: {value!r} is not a number from 1 to 1024")
    return operator.index(value)


def size_text(count: float) -> str:
    """Format a number of bytes with three digits and a unit."""
    unit = min(6, int(math.log2(count) // 10)) if count >= 1 else 0
    return f"{count / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"
