"""The one error of this layer."""

from __future__ import annotations

#: What code that takes JSON apart may stumble over, whoever wrote that JSON.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


class StoreError(Exception):
    """A store cannot be read, or not be written; the message names it and says what to do."""


def brief(error: BaseException) -> str:
    """An error as it is, but for what nobody would read to its end."""
    text = repr(error)
    return text if len(text) <= 300 else f"{text[:300]}..."
