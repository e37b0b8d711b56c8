"""A store in Neuroglancer, served on this machine alone."""

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
from .location import Location
from .source import open_volume
from .volume import Volume

#: What Neuroglancer calls the formats.
SCHEMES = {"ome-zarr-0.5": "zarr3", "ome-zarr-0.4": "zarr2", "n5": "n5", "precomputed": "precomputed"}
MIME = "application/octet-stream"


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files, whole or in part (shards are read so), for pages of any voxel_offset."""

    #: The first part of every path: other pages of the browser may ask this server, but do not know what for.
    secret = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self.end_headers()

    def _answer(self, *, with_body: bool) -> None:
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
            start, stop = 0, size
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            asked = asked if asked is not None and any(asked.groups()) else None
            if asked is not None:
                first, last = asked.groups()
                start = int(first) if first else max(0, size - int(last))
                stop = min(size, int(last) + 1) if first and last else size
                if start >= stop:
                    return self.send_error(416)
            self.send_response(200 if asked is None else 206)
            self.send_header("Content-Type", MIME)
            self.send_header("Content-Length", str(stop - start))
            if asked is not None:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            if with_body:
                file.seek(start)
                while start < stop:
                    part = file.read(min(stop - start, 1 << 20))
                    self.wfile.write(part)
                    start += len(part) or stop

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*")
        self.send_header("Access-Control-Expose-Headers", "*")
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, on the loopback interface, while it is served."""
    secret = secrets.token_urlsafe(16)
    handler = functools.partial(type("_Files", (_Files,), {"secret": secret}), directory=str(folder))
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
    """A viewer of ``neuroglancer`` (its address is ``str(viewer)``) that shows a store, while this lasts.

    Parameters
    ----------
    store : path or URL
        A folder of this machine, or an http address.

    Raises
    ------
    StoreError
        The store cannot be read, or lies where a browser cannot reach it.
    ImportError
        Neuroglancer is not installed.
    """
    volume = open_volume(Location.at(store))
    if not volume.place.is_file and not volume.place.url.startswith("http"):
        raise StoreError(f"{volume.place.name}: a browser cannot read this; give a folder or an http address")
    try:
        neuroglancer = importlib.import_module("neuroglancer")
    except ImportError:
        raise ImportError('tinypyr view needs Neuroglancer: pip install "tinypyr[view]"') from None
    if not volume.place.is_file:
        yield _shown(neuroglancer, volume, volume.place.url.rstrip("/"))
        return
    folder = Path(volume.place.spec["path"])
    with served(folder) as address:
        yield _shown(neuroglancer, volume, address)


def _shown(neuroglancer: Any, volume: Volume, address: str) -> Any:
    neuroglancer.set_server_bind_address("127.0.0.1", 0)
    made = neuroglancer.Viewer()
    source = f"{SCHEMES[volume.format]}://{address}"
    with made.txn() as state:
        kind = neuroglancer.SegmentationLayer if volume.holds_labels else neuroglancer.ImageLayer
        state.layers["levels"] = kind(source=source)
        base = volume.grids[0]
        space = [base.axes.index(axis) for axis in "xyz" if axis in base.axes]
        if space:  # x to the right, y downwards, whatever the order of the axes
            known = all(base.units[axis] in NANOMETERS for axis in space)
            in_nm = [NANOMETERS.get(base.units[axis] or "", 1.0) if known else 1.0 for axis in space]
            scales = [base.scale[axis] * factor for axis, factor in zip(space, in_nm, strict=True)]
            state.dimensions = neuroglancer.CoordinateSpace(
                names=[base.axes[axis] for axis in space], scales=scales, units="nm" if known else ""
            )
    return made
