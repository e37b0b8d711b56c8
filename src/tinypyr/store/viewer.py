"""Neuroglancer for a store, and a server of its files for this machine only."""

from __future__ import annotations

import functools
import http.server
import importlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._util.units import NANOMETERS
from ..errors import StoreError
from .formats import FORMATS
from .location import Location
from .source import open_volume
from .volume import StoredVolume

MIME = "application/octet-stream"


class _FileHandler(http.server.SimpleHTTPRequestHandler):
    """Handler of requests for files or byte ranges of files (shards are read so), from pages of any origin."""

    #: First part of every path, so that other pages in the browser cannot request files.
    secret = ""

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self.end_headers()

    def _respond(self, *, with_body: bool) -> None:
        prefix = f"/{self.secret}/"
        if not self.path.startswith(prefix):
            return self.send_error(404)
        path = Path(self.translate_path(self.path[len(prefix) - 1 :]))
        try:
            size = path.stat().st_size
            file = path.open("rb")
        except (OSError, ValueError):
            return self.send_error(404)
        with file:
            byte_range = self._byte_range(size)
            start, stop = byte_range or (0, size)
            if byte_range is not None and start >= stop:
                return self.send_error(416)
            self.send_response(200 if byte_range is None else 206)
            self.send_header("Content-Type", MIME)
            self.send_header("Content-Length", str(stop - start))
            if byte_range is not None:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            if with_body:
                file.seek(start)
                while start < stop:
                    part = file.read(min(stop - start, 1 << 20))
                    self.wfile.write(part)
                    start += len(part) or stop

    def _byte_range(self, size: int) -> tuple[int, int] | None:
        """Return the first byte of the request and the one after its last; None if it is for the whole file."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match is None or not any(match.groups()):
            return None
        first, last = match.groups()
        start = int(first) if first else max(0, size - int(last))
        return start, min(size, int(last) + 1) if first and last else size

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*")
        self.send_header("Access-Control-Expose-Headers", "*")
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface during the context, and return its address."""
    secret = secrets.token_urlsafe(16)
    handler = functools.partial(type("_FileHandler", (_FileHandler,), {"secret": secret}), directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{secret}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def viewer(store: str | os.PathLike[str]) -> Iterator[Any]:
    """Show a store in Neuroglancer during the context.

    Parameters
    ----------
    store : path or URL
        A folder of this machine, or an http address.

    Returns
    -------
    context manager
        The context's value is a viewer of ``neuroglancer``, whose address is ``str(viewer)``.

    Raises
    ------
    StoreError
        If the store cannot be read, or a browser cannot reach it.
    ImportError
        If Neuroglancer is not installed.
    """
    volume = open_volume(Location.at(store))
    if not volume.location.is_file and not volume.location.url.startswith("http"):
        raise StoreError(f"{volume.location.name}: a browser cannot read this; pass a folder or an http address")
    try:
        neuroglancer = importlib.import_module("neuroglancer")
    except ImportError:
        raise ImportError('tinypyr view needs Neuroglancer: pip install "tinypyr[view]"') from None
    if not volume.location.is_file:
        yield _new_viewer(neuroglancer, volume, volume.location.url.rstrip("/"))
        return
    with serve(Path(volume.location.spec["path"])) as address:
        yield _new_viewer(neuroglancer, volume, address)


def _new_viewer(neuroglancer: Any, volume: StoredVolume, address: str) -> Any:
    neuroglancer.set_server_bind_address("127.0.0.1", 0)
    new_viewer = neuroglancer.Viewer()
    source = f"{FORMATS[volume.format].TRAITS.viewer_scheme}://{address}"
    with new_viewer.txn() as state:
        layer = neuroglancer.SegmentationLayer if volume.holds_labels else neuroglancer.ImageLayer
        state.layers["levels"] = layer(source=source)
        base = volume.grids[0]
        spatial = [base.axes.index(axis) for axis in "xyz" if axis in base.axes]
        if spatial:  # (shows x to the right and y downwards, for any order of axes)
            known_units = all(base.units[axis] in NANOMETERS for axis in spatial)
            lengths = [NANOMETERS.get(base.units[axis] or "", 1.0) if known_units else 1.0 for axis in spatial]
            state.dimensions = neuroglancer.CoordinateSpace(
                names=[base.axes[axis] for axis in spatial],
                scales=[base.scale[axis] * length for axis, length in zip(spatial, lengths, strict=True)],
                units="nm" if known_units else "",
            )
    return new_viewer
