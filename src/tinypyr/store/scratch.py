"""Temporary files of a build: the plan, the owner, and the results of finished blocks.

A file is written as a whole or not at all, and has the fingerprint of the plan and a checksum. After an interruption,
a file is therefore either valid or treated as missing.
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
    """The folder ``.tinypyr`` of a store, with the temporary files of a build.

    Attributes
    ----------
    location : Location
        The folder.
    """

    def __init__(self, store: Location) -> None:
        self.location = store.child(FOLDER)

    def read_plan(self) -> dict[str, Any] | None:
        """Return the plan of an unfinished build as JSON, None if there is no such build."""
        content = self.location.json(PLAN)
        return None if content is None else unsealed(content, f"{self.location.name}/{PLAN}")

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write the plan, which marks the build as begun. Several processes may write the same plan."""
        self.location.write_json(PLAN, sealed(plan))

    def write_result(self, number: int, fingerprint: str, result: bytes) -> None:
        """Write the result of a block, which marks the block as done."""
        header = MAGIC + fingerprint.encode() + hashlib.sha256(result).digest()
        self.location.write(_result_key(number), header + result)

    def read_result(self, number: int, fingerprint: str) -> bytes | None:
        """Return the result of a block; None if it is missing, damaged, or of another plan."""
        raw = self.location.read(_result_key(number))
        size = len(MAGIC) + len(fingerprint)
        if raw is None or raw[:size] != MAGIC + fingerprint.encode():
            return None
        result = raw[size + 32 :]
        return result if hashlib.sha256(result).digest() == raw[size : size + 32] else None

    def remove_results(self) -> None:
        """Remove the results of all blocks, so that they are processed again."""
        keys = self.location.keys()
        for key in keys:
            if key.startswith(_result_key("")):
                self.location.write(key, None)

    def clear(self) -> None:
        """Remove all files but the owner's, the plan last."""
        files = self.location.files
        if files is not None:
            files.remove_all_but(OWNER, last=PLAN)
            return
        for key in sorted(self.location.keys(), key=lambda key: key == PLAN):
            if key != OWNER:
                self.location.write(key, None)

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty and in a file system."""
        if self.location.files is not None:
            self.location.files.remove_if_empty()


def _result_key(number: int | str) -> str:
    return f"block-{number}"


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a checksum of its entries."""
    return {**content, "checksum": _checksum(content)}


def unsealed(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a JSON object without its checksum; raise StoreError if the checksum is wrong."""
    if "checksum" not in content:
        raise StoreError(f"{name} is not a plan that tinypyr has saved")
    unsealed_content = {key: value for key, value in content.items() if key != "checksum"}
    if content.get("checksum") != _checksum(unsealed_content):
        raise StoreError(f"{name} is damaged: its checksum does not match its content; remove it and build again")
    return unsealed_content


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
