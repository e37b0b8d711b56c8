"""The command line tool: ``tinypyr demo``, ``--help``, ``--version``, and the plain install."""

from __future__ import annotations

import io
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tinypyr
from tinypyr._util import files as _files
from tinypyr._util import picture as _picture
from tinypyr.cli import _demo
from tinypyr.cli._demo.picture import draw
from tinypyr.cli._demo.pyramids import timed_pyramid
from tinypyr.cli._demo.volumes import volumes

#: CRC-32 of the two volumes of shape (50, 40, 3). Update it if the recipe changes.
CHECKSUMS = (2275173043, 2959096065)

SMALL = ("--shape", "96", "80", "6", "--levels", "3")


def tinypyr_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tinypyr", *arguments]
    # without this, an editable install may print build messages
    environment = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG of 8-bit RGB without filters, and check every chunk against the standard."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colour, rest) == (8, 2, [0, 0, 0])
    raw = np.frombuffer(zlib.decompress(chunks[1][1]), np.uint8).reshape(height, 1 + 3 * width)
    assert not raw[:, 0].any()
    return raw[:, 1:].reshape(height, width, 3)


def test_demo_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    done = tinypyr_command("demo", *SMALL, "--out", "levels.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr  # no progress bar without a terminal
    for shape in ("96 x 80 x 6", "48 x 40 x 6", "24 x 20 x 6", "12 x 10 x 6"):
        assert done.stdout.count(shape) == 2  # once per volume
    assert len(re.findall(r"\d ms +\d+\.\d\d GB/s +\d+\.\d\d$", done.stdout, re.M)) == 8
    assert len(re.findall(r"numpy\.copyto .* 1\.00$", done.stdout, re.M)) == 2
    assert "levels.png" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["levels.png"]
    decode((tmp_path / "levels.png").read_bytes())


def contains(picture: NDArray[np.uint8], panel: NDArray[np.uint8]) -> bool:
    """Return True if the panel is part of the picture, at any place."""
    height, width = (n - m + 1 for n, m in zip(picture.shape, panel.shape, strict=True))
    rng = np.random.default_rng(0)
    samples = [(int(rng.integers(panel.shape[0])), int(rng.integers(panel.shape[1]))) for _ in range(60)]
    matches = np.ones((height, width), bool)
    for y, x in samples:
        matches &= picture[y : y + height, x : x + width] == panel[y, x]
    return any(
        np.array_equal(picture[y : y + panel.shape[0], x : x + panel.shape[1]], panel) for y, x in np.argwhere(matches)
    )


def test_picture_is_a_png_with_every_level_at_the_same_size(tmp_path: Path) -> None:
    image, labels = volumes((96, 80, 6))

    def check_fraction(task: str, fraction: float) -> None:
        assert 0 <= fraction <= 1

    picture = draw(
        [
            timed_pyramid("image", image, "mean", 2, 1, 1, check_fraction),
            timed_pyramid("labels", labels, "mode", 2, 1, 1, check_fraction),
        ]
    )
    data = _picture.png(picture)
    np.testing.assert_array_equal(decode(data), picture)

    pillow = pytest.importorskip("PIL.Image", reason="Pillow, an independent reader of PNG, is not installed")
    np.testing.assert_array_equal(np.asarray(pillow.open(io.BytesIO(data)).convert("RGB")), picture)

    # the middle section of each level, with every voxel drawn as a square
    for k, level in enumerate((image, *tinypyr.pyramid(image, (2, 2, 1), levels=2))):
        side = _picture.PANEL // 96 * 2**k
        assert contains(picture[:, :, 0], level[:, :, 3].T.repeat(side, axis=0).repeat(side, axis=1)), k
    for k, level in enumerate((labels, *tinypyr.pyramid(labels, (2, 2, 1), "mode", levels=2))):
        side = _picture.PANEL // 96 * 2**k
        panel = _picture.colours(level[:, :, 3].T).repeat(side, axis=0).repeat(side, axis=1)
        assert all(contains(picture[:, :, channel], panel[:, :, channel]) for channel in range(3)), k


def test_picture_is_deterministic(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        assert tinypyr_command("demo", *SMALL, "--out", name, cwd=tmp_path).returncode == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_existing_picture_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "levels.PNG"
    target.write_bytes(b"old")
    assert tinypyr_command("demo", *SMALL, "--out", str(target), cwd=tmp_path).returncode == 0
    decode(target.read_bytes())
    assert list(tmp_path.iterdir()) == [target]


def test_volumes_are_deterministic_on_every_platform() -> None:
    image, labels = volumes((50, 40, 3))
    assert (zlib.crc32(image.tobytes("F")), zlib.crc32(labels.tobytes("F"))) == CHECKSUMS
    assert image.flags.f_contiguous
    assert labels.flags.f_contiguous
    assert (image.dtype.name, labels.dtype.name) == ("uint8", "uint64")


def test_labels_are_ids_that_float64_cannot_represent_on_a_background_of_0() -> None:
    _, labels = volumes((256, 256, 4))
    ids = np.unique(labels)
    assert ids[0] == 0
    assert (ids[1:] > 2**53).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 70, 2), (70, 1, 2), (2, 3, 40), (3, 2, 1)])
def test_demo_accepts_any_shape(shape: tuple[int, int, int], tmp_path: Path) -> None:
    extents = [str(n) for n in shape]
    done = tinypyr_command("demo", "--shape", *extents, "--levels", "2", "--out", "x.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    decode((tmp_path / "x.png").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "0", "4", "4"), "--shape"),
        (("--shape", "4", "4"), "--shape"),
        (("--shape", "4", "4", "4.5"), "'4.5' is not a whole number"),
        (("--shape", "99999", "99999", "9"), "more than 2147483648 voxels"),
        (("--levels", "0"), "0 is not between 1 and 10"),
        (("--levels", "99"), "99 is not between 1 and 10"),
        (("--workers", "0"), "0 is not between 1 and 1024"),
        (("--out", "picture.jpg"), "does not end in .png"),
        (("--out", "absent/picture.png"), "folder 'absent' does not exist"),
        (("--out", "folder.png"), "is a folder"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_invalid_arguments_of_the_demo_write_nothing(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    done = tinypyr_command("demo", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
    assert not list((tmp_path / "folder.png").iterdir())


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)  # (stands in for a file system that fills up after the file was written)
    with pytest.raises(OSError, match="No space"):
        _files.write_whole(tmp_path / "x.png", b"data")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows makes links for administrators only")
def test_links_are_followed_and_devices_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    _files.write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=f"{name} is a folder or a device"):
            _files.write_whole(tmp_path / name, b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe", "real"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child process")
def test_an_interrupted_demo_leaves_no_file(tmp_path: Path) -> None:
    # half a minute of work
    command = [sys.executable, "-m", "tinypyr", "demo", "--shape", "1024", "1024", "200"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a background job of a shell, and its children, may ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        try:
            errors = process.communicate(timeout=120)[1]
        finally:
            process.kill()
    # on a slow machine, Python itself may report the interruption, during the imports
    assert process.returncode == 130 or "KeyboardInterrupt" in errors
    assert not list(tmp_path.iterdir())


def test_progress_bar_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in (False, True):
        # (stands in for a terminal, which pytest's capture replaces)
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        line = _demo.ProgressBar()
        line("pooling the image", 0.5)
        line.clear()
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("\rpooling the image" in shown.err and " 50%" in shown.err) is terminal
        assert shown.err.endswith("\r") is terminal  # the line is cleared


def test_version_and_help_are_printed(tmp_path: Path) -> None:
    done = tinypyr_command("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"tinypyr {tinypyr.__version__}\n")
    for arguments in (("--help",), ("demo", "--help")):
        done = tinypyr_command(*arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert "usage: tinypyr" in done.stdout.lower()
    assert "exit status" in done.stdout
    assert "examples" in done.stdout
    assert tinypyr_command("demo", *SMALL, "--workers", "all", cwd=tmp_path).returncode == 0
    done = tinypyr_command(cwd=tmp_path)
    assert done.returncode == 2
    assert "command" in done.stderr.lower()


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_plain_install_has_the_demo_and_names_the_extra_for_the_rest(missing: str, tmp_path: Path) -> None:
    if missing == "rich":
        pytest.importorskip("click", reason="an extra of its own")
    hidden = f"import sys; sys.modules[{missing!r}] = None; from tinypyr.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hidden]
    for arguments in (["--version"], ["--help"], ["demo", "--help"], ["demo", *SMALL, "--out", "x.png"]):
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([*command, "build", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'tinypyr: build requires pip install "tinypyr[store]"\n'
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
