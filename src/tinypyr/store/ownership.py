"""Ownership of a store during a build, so that one process builds at a time."""

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
from .tuning import DEFAULT

#: Key with the owner and the time of its last heartbeat.
OWNER = "owner.json"
#: Seconds without a heartbeat after which the lease of an owner on another machine expires.
HEARTBEAT_TIMEOUT = 300.0


class Ownership:
    """A context in which this process owns a store; a store that another live process owns is refused.

    An owner on the same machine is alive if its process is. An owner on another machine is alive until its lease
    expires, five minutes after its last heartbeat. The next process then takes over.

    Parameters
    ----------
    location : Location
        Folder of the file that names the owner.
    heartbeat_interval : float
        Seconds between two heartbeats.

    Attributes
    ----------
    lost : bool
        Whether another process has taken over.
    """

    def __init__(self, location: Location, heartbeat_interval: float = DEFAULT.heartbeat_interval) -> None:
        self._location, self._heartbeat_interval = location, heartbeat_interval
        self._owner = {**_process(os.getpid()), "token": uuid.uuid4().hex}
        self._generation = b""
        self._released = threading.Event()
        self.lost = False

    def __enter__(self) -> Ownership:
        while True:
            raw, generation = self._location.read_with_generation(OWNER)
            owner = _parsed(raw)
            if owner is not None and _is_alive(owner):
                raise StoreError(
                    f"{self._location.name}: process {owner.get('pid')} on {owner.get('host')} is building here; "
                    "wait for it, or stop it"
                )
            if self._write_heartbeat(generation):
                break
            if raw is None:
                self._location.keys()  # raises if the bucket does not exist, where conditional writes do nothing
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        if self.lost:
            return
        try:
            self._location.replace(OWNER, None, self._generation)
        except StoreError:
            if error is None:  # (the first error is more informative, and the lease of a dead owner expires)
                raise
        if self._location.files is not None:
            self._location.files.remove_if_empty()

    def check(self) -> None:
        """Raise StoreError if another process has taken over."""
        if self.lost:
            raise StoreError(
                f"{self._location.name}: another process has taken over, because the heartbeat of this one expired"
            )

    def _write_heartbeat(self, generation: bytes) -> bool:
        """Write the owner and the time unless another process has written since; return whether it was written."""
        heartbeat = json.dumps({**self._owner, "time": time.time()}).encode()
        if not self._location.replace(OWNER, heartbeat, generation):
            return False
        raw, self._generation = self._location.read_with_generation(OWNER)
        return raw == heartbeat

    def _send_heartbeats(self) -> None:
        while not self._released.wait(self._heartbeat_interval):
            try:
                raw, generation = self._location.read_with_generation(OWNER)
                is_owner = (_parsed(raw) or {}).get("token") == self._owner["token"]
                if not (is_owner and self._write_heartbeat(generation)):
                    self.lost = True
                    return
            except (StoreError, OSError, ValueError):
                continue  # (the lease outlasts several heartbeats)


def _parsed(raw: bytes | None) -> dict[str, Any] | None:
    try:
        owner = json.loads(raw or b"null")
    except ValueError:
        return None
    return owner if isinstance(owner, dict) else None


def _process(pid: int) -> dict[str, Any]:
    """Return an identification of a process that is unique across machines and time."""
    return {"host": socket.gethostname(), "kernel": _kernel(), "pid": pid, "started": _start_time(pid)}


def _kernel() -> str:
    """Return an identification of this boot of this machine and of the PID namespace.

    It is equal for processes that see each other's process IDs.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _start_time(pid: int) -> str | None:
    """Return the start time of a process, because process IDs are reused; None if it is dead or unknown."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else after_name[19]


def _is_alive(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if owner.get("kernel") == _kernel() and isinstance(pid, int) and Path("/proc/self/stat").exists():
        return owner.get("started") is not None and _start_time(pid) == owner.get("started")
    heartbeat = owner.get("time")
    return isinstance(heartbeat, (int, float)) and time.time() - heartbeat < HEARTBEAT_TIMEOUT
