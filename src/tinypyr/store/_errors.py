"""The one error of this layer."""

from __future__ import annotations


class StoreError(Exception):
    """A store cannot be read, or not be written; the message names it and says what to do."""
