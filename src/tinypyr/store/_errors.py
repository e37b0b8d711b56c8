"""The one error of this layer."""

from __future__ import annotations

#: What code that takes JSON apart may stumble over, whoever wrote that JSON.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


class StoreError(Exception):
    """A store cannot be read, or not be written; the message names it and says what to do."""
