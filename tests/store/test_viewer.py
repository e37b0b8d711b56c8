"""The file server of ``tinypyr view``, and Neuroglancer in a browser."""

from __future__ import annotations

import io
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import FORMATS, Array
from tinypyr import Grid, cli, store
from tinypyr.store import viewer


def fetch(address: str, span: str | None = None) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(address, headers={} if span is None else {"Range": f"bytes={span}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read(), answer.headers


def test_files_are_served_whole_and_in_parts(tmp_path: Path) -> None:
    data = bytes(range(200))
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a b").write_bytes(data)
    (tmp_path / "secret").write_bytes(b"no")
    with viewer.serve(folder) as address:
        status, body, headers = fetch(f"{address}/a%20b")
        assert (status, body, headers["Access-Control-Allow-Origin"]) == (200, data, "*")
        for part, want in (("10-19", data[10:20]), ("190-", data[190:]), ("-5", data[-5:]), ("0-999", data)):
            status, body, headers = fetch(f"{address}/a%20b", part)
            assert (status, body) == (206, want)
        assert headers["Content-Range"] == "bytes 0-199/200"
        server = address.rsplit("/", 1)[0]
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(f"{server}/a%20b")  # without the secret
        caught.value.close()
        refused: tuple[tuple[str, str | None, int], ...] = (
            ("none", None, 404),
            ("../secret", None, 404),
            ("", None, 404),
            ("a%20b", "200-", 416),
        )
        for missing, span, code in refused:
            with pytest.raises(urllib.error.HTTPError) as caught:
                fetch(f"{address}/{missing}", span)
            assert caught.value.code == code
            caught.value.close()


def test_stores_that_cannot_be_viewed_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["view", str(tmp_path)]) == 1
    assert "nothing here" in capsys.readouterr().err
    store.build(np.zeros((4, 4), np.uint8), "memory://viewed")
    assert cli.main(["view", "memory://viewed"]) == 1
    assert "a browser cannot read this" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the viewer's server is never closed
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the viewer is made with
@pytest.mark.parametrize("format", FORMATS)
def test_levels_align_in_neuroglancer(format: str, tmp_path: Path) -> None:
    """Boxes of 8 voxels look the same at level 0 and at level 3 in a real browser."""
    pytest.importorskip("neuroglancer", reason="an optional viewer")
    playwright = pytest.importorskip("playwright.sync_api", reason="what drives the browser")
    images = pytest.importorskip("PIL.Image", reason="what reads the screen")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    boxes = np.random.default_rng(7).integers(20, 236, (16, 16)).astype(np.uint8)
    z, y, x = np.indices((8, 128, 128))
    volume = (
        np.where((z + y + x) % 2, 20, -20) + boxes[y // 8, x // 8]
    )  # a chequered pattern, which level 1 no longer has
    volume = volume.astype(np.uint8)
    shards = {"shards": (8, 32, 32)} if format in ("ome-zarr-0.5", "precomputed") else {}
    place: dict[str, Any] = {"scale": (4, 4, 4), "translation": (0, 100, 200), "units": ["nanometer"] * 3}
    arguments: dict[str, Any] = {"factor": (1, 2, 2), "levels": 3, "format": format, "chunks": (8, 8, 8), **shards}
    store.build(volume, tmp_path / "t", grid=Grid(volume.shape, "zyx", **place), **arguments)
    coarsest = store.plan(volume, "memory://unused", grid=Grid(volume.shape, "zyx", **place), **arguments).paths[3]
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with viewer.viewer(tmp_path / "t") as shown, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*flags, "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 400, "height": 400})
        urls: list[str] = []
        page.context.on("request", lambda request: urls.append(request.url))

        def drawn() -> Array:
            """Return the middle of the page, without controls, once it does not change any more."""
            before, rests, end = None, 0, time.monotonic() + 90
            while time.monotonic() < end:
                time.sleep(0.5)
                now = np.asarray(images.open(io.BytesIO(page.screenshot())).convert("L"), np.float64)[170:280, 145:255]
                rests = rests + 1 if before is not None and np.array_equal(now, before) and now.std() > 20 else 0
                if rests == 4:
                    return now
                before = now
            pytest.fail("nothing was drawn in 90 s")

        with shown.txn() as state:
            state.layout, state.show_axis_lines, state.show_scale_bar = "xy", False, False
            state.show_default_annotations = False
        page.goto(str(shown))
        fine = drawn()
        with shown.txn() as state:
            state.layers["levels"].layer.cross_section_render_scale = 8
        time.sleep(2)
        coarse = drawn()
        browser.close()
    assert any(f"/{coarsest}/" in url for url in urls), "the coarsest level was read"
    assert (np.abs(np.diff(fine, axis=1)) > 20).mean() > 0.8, "level 0 is chequered"
    assert (np.abs(np.diff(coarse, axis=1)) > 20).mean() < 0.2, "level 3 is not"
    smooth = (fine[:, 1:] + fine[:, :-1]) / 2
    apart = np.abs(smooth - (coarse[:, 1:] + coarse[:, :-1]) / 2).mean()
    shifted = np.abs(smooth[:, 2:] - smooth[:, :-2]).mean()
    assert apart < shifted / 2, "levels lie less than a voxel of level 0 apart"
