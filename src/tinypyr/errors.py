"""Errors of tinypyr, apart from ValueError and TypeError for invalid arguments."""

from __future__ import annotations

#: Exceptions that code raises on malformed metadata.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


class Error(Exception):
    """Base class of the errors that tinypyr defines. Every subclass also derives from a built-in exception.

    Examples
    --------
    >>> import tinypyr
    >>> from tinypyr import store
    >>> try:
    ...     store.levels("memory://nothing")
    ... except tinypyr.Error as error:
    ...     isinstance(error, store.StoreError), isinstance(error, OSError)
    (True, True)
    """


class StoreError(Error, OSError):
    """Error of reading or writing a store. The message names the store, what is wrong, and what to do."""


def brief(error: BaseException) -> str:
    """Return the repr of an error, shortened to 300 characters."""
    text = repr(error)
    return text if len(text) <= 300 else f"{text[:300]}..."
