"""Units of length and time: the names of OME-Zarr and the usual abbreviations."""

from __future__ import annotations

from typing import Any

_METERS = {
    "yoctometer": "ym", "zeptometer": "zm", "attometer": "am", "femtometer": "fm", "picometer": "pm",
    "nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm", "decimeter": "dm", "meter": "m",
    "decameter": "dam", "hectometer": "hm", "kilometer": "km", "megameter": "Mm", "gigameter": "Gm",
    "terameter": "Tm", "petameter": "Pm", "exameter": "Em", "zettameter": "Zm", "yottameter": "Ym",
}  # fmt: skip
_SECONDS = {
    "yoctosecond": "ys", "zeptosecond": "zs", "attosecond": "as", "femtosecond": "fs", "picosecond": "ps",
    "nanosecond": "ns", "microsecond": "us", "millisecond": "ms", "centisecond": "cs", "decisecond": "ds",
    "second": "s", "hectosecond": "hs", "kilosecond": "ks", "megasecond": "Ms", "gigasecond": "Gs",
    "terasecond": "Ts", "petasecond": "Ps", "exasecond": "Es", "zettasecond": "Zs", "yottasecond": "Ys",
}  # fmt: skip
_OTHERS = {
    "angstrom": "\u00c5", "inch": "in", "foot": "ft", "yard": "yd", "mile": "mi", "parsec": "pc",
    "minute": "min", "hour": "h", "day": "d",
}  # fmt: skip

#: Abbreviations by name; the keys are the units that OME-Zarr 0.4 and 0.5 list.
ABBREVIATIONS = {**_METERS, **_SECONDS, **_OTHERS}

_EXPONENTS = (-24, -21, -18, -15, -12, -9, -6, -3, -2, -1, 0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24)
#: Lengths in nanometers.
NANOMETERS = {name: 10.0 ** (exponent + 9) for name, exponent in zip(_METERS, _EXPONENTS, strict=True)} | {
    "angstrom": 0.1, "inch": 2.54e7, "foot": 3.048e8, "yard": 9.144e8, "mile": 1.609344e12,
    "parsec": 3.0856775814913673e25,
}  # fmt: skip

_NAMES = {short: name for name, short in ABBREVIATIONS.items()} | {
    "\u00b5m": "micrometer",  # micro sign
    "\u03bcm": "micrometer",  # Greek letter mu
    "\u00b5s": "microsecond",
    "\u03bcs": "microsecond",
    "micron": "micrometer",
    "A": "angstrom",
    "\u212b": "angstrom",  # angstrom sign
    "sec": "second",
    "hr": "hour",
}


def long_name(unit: str | None) -> str | None:
    """Return the OME-Zarr name of a unit; the unit itself if it is unknown."""
    if unit is None or unit in ABBREVIATIONS:
        return unit
    if unit in _NAMES:
        return _NAMES[unit]
    singular = unit.lower().removesuffix("s").replace("metre", "meter")
    return singular if singular in ABBREVIATIONS else unit


def checked_unit(unit: Any) -> str | None:
    """Return the OME-Zarr name of the unit that an argument names.

    Raises
    ------
    ValueError, TypeError
        The unit is not known; the message names it.
    """
    if unit is None:
        return None
    if not isinstance(unit, str):
        raise TypeError(f"units: {unit!r} is not the name of a unit, such as 'nanometer'")
    name = long_name(unit)
    if name not in ABBREVIATIONS:
        raise ValueError(
            f"units: {unit!r} is not a unit that OME-Zarr lists; give a name such as 'nanometer', 'micrometer' or "
            "'second', a usual abbreviation ('nm', 'um', 's'), or None"
        )
    return name
