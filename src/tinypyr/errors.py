"""Errors that tinypyr raises besides ValueError and TypeError for invalid arguments."""

from __future__ import annotations

#: Exceptions that code raises on malformed JSON.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


class Error(Exception):
    """Base class of the errors that tinypyr defines. Every subclass also derives from the built-in that fits."""


class StoreError(Error, OSError):
    """A store cannot be read or written. The message names it and the way out."""


def brief(error: BaseException) -> str:
    """Return the repr of an error, shortened to 300 characters."""
    text = repr(error)
    return text if len(text) <= 300 else f"{text[:300]}..."
