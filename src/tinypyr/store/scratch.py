"""What lies beside the levels while they are being made: the plan, who makes it, what each finished block has left.

Everything is written whole or not at all, and carries the plan's fingerprint and a checksum, so that what is found
after an interruption is either right or as good as absent.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..errors import StoreError
from .location import Location
from .ownership import OWNER

FOLDER = ".tinypyr"
PLAN = "plan.json"
MAGIC = b"tinypyr block 1\n"


class Scratch:
    """The folder ``.tinypyr`` of a store."""

    def __init__(self, place: Location) -> None:
        self.place = place.child(FOLDER)
        self._store = place.name

    def plan(self) -> dict[str, Any] | None:
        """The plan that has begun here and not ended, as :func:`sealed` made it."""
        found = self.place.json(PLAN)
        if found is None:
            return None
        return unsealed(found, f"{self.place.name}/{PLAN}")

    def begin(self, plan: dict[str, Any]) -> None:
        """Say that this plan has begun. (Saying it twice, or twice at once, is saying it once.)"""
        self.place.write_json(PLAN, sealed(plan))

    def leave(self, number: int, fingerprint: str, raw: bytes) -> None:
        """Say that a block is done, and what it hands on."""
        head = MAGIC + fingerprint.encode() + hashlib.sha256(raw).digest()
        self.place.write(_marker(number), head + raw)

    def left(self, number: int, fingerprint: str) -> bytes | None:
        """What a block has handed on; None if it is not done, or what it left is damaged or another plan's."""
        raw = self.place.read(_marker(number))
        size = len(MAGIC) + len(fingerprint)
        if raw is None or raw[:size] != MAGIC + fingerprint.encode():
            return None
        body = raw[size + 32 :]
        return body if hashlib.sha256(body).digest() == raw[size : size + 32] else None

    def forget_blocks(self) -> None:
        """Remove what blocks have left, so that all of them are made again."""
        keys = self.place.keys()
        for key in keys:
            if key.startswith(_marker("")):
                self.place.write(key, None)

    def clear(self) -> None:
        """All is done: nothing is left but who holds the claim."""
        self.place.remove_all_but(OWNER, last=PLAN)


def _marker(number: int | str) -> str:
    return f"block-{number}"


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """JSON with a checksum over all the rest."""
    return {**content, "checksum": _checksum(content)}


def unsealed(content: dict[str, Any], name: str) -> dict[str, Any]:
    """What ``sealed`` was given; refused if a byte of it has changed."""
    if "checksum" not in content:
        raise StoreError(f"{name} is no plan that tinypyr has saved")
    inner = {key: value for key, value in content.items() if key != "checksum"}
    if content.get("checksum") != _checksum(inner):
        raise StoreError(f"{name} is damaged, its checksum is not that of what it says; remove it and build again")
    return inner


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
