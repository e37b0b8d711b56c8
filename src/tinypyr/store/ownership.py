"""One builder at a time: who makes the levels of a store, and whether they still live."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import StoreError
from .location import Location

OWNER = "owner.json"
#: Seconds: how often a builder says that it lives; after how long a silent one on another machine is taken for dead.
HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT = 30.0, 300.0


class Ownership:
    """Held while a store is being built or finalized; a second builder is refused, one that died is succeeded.

    On one machine the kernel knows who lives. On others a builder is known by what it writes: it is taken for dead once
    it has been silent for five minutes.
    """

    def __init__(self, place: Location) -> None:
        self._place = place
        self._me = {**_process(os.getpid()), "token": uuid.uuid4().hex}
        self._known = b""
        self._ended = threading.Event()
        self.lost = False

    def __enter__(self) -> Ownership:
        while True:
            raw, known = self._place.read_to_replace(OWNER)
            owner = _parsed(raw)
            if owner is not None and _lives(owner):
                raise StoreError(
                    f"{self._place.name}: process {owner.get('pid')} on {owner.get('host')} is building here; "
                    "wait for it, or stop it"
                )
            if self._say(known):
                break
            if raw is None:
                self._place.keys()  # refuses a bucket that does not exist, where conditional writes do nothing
        self._thread = threading.Thread(target=self._keep_saying, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self.lost:
            return
        try:
            self._place.replace(OWNER, None, self._known)
        except StoreError:
            if error is None:  # (else the first error says more, and a dead owner is in nobody's way)
                raise
        self._place.remove_if_empty()

    def check(self) -> None:
        """Refuse to go on if another builder has taken over meanwhile."""
        if self.lost:
            raise StoreError(f"{self._place.name}: another builder has taken over, as this one was silent for too long")

    def _say(self, known: bytes) -> bool:
        told = json.dumps({**self._me, "time": time.time()}).encode()
        if not self._place.replace(OWNER, told, known):
            return False
        raw, self._known = self._place.read_to_replace(OWNER)
        return raw == told

    def _keep_saying(self) -> None:
        while not self._ended.wait(HEARTBEAT_INTERVAL):
            try:
                raw, known = self._place.read_to_replace(OWNER)
                mine = (_parsed(raw) or {}).get("token") == self._me["token"]
                if not (mine and self._say(known)):
                    self.lost = True
                    return
            except (StoreError, OSError, ValueError):
                continue  # (said again soon)


def _parsed(raw: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(raw or b"null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _process(pid: int) -> dict[str, Any]:
    """What tells a process from all others, on this machine and elsewhere."""
    return {"host": socket.gethostname(), "kernel": _kernel(), "pid": pid, "begun": _begun(pid)}


def _kernel() -> str:
    """The same for processes that see each other's numbers: this boot of this machine, and this space of numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _begun(pid: int) -> str | None:
    """When a process began (numbers are used again); None: there is none, or it cannot be known."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else after_name[19]


def _lives(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if owner.get("kernel") == _kernel() and isinstance(pid, int) and Path("/proc/self/stat").exists():
        return owner.get("begun") is not None and _begun(pid) == owner.get("begun")
    said = owner.get("time")
    return isinstance(said, (int, float)) and time.time() - said < HEARTBEAT_TIMEOUT
