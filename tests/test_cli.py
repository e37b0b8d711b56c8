"""The command line: what a stranger runs first."""

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
from tinypyr.cli import _demo_data as _demo

#: CRC-32 of the two volumes of shape (50, 40, 3)
RECIPE = (2275173043, 2959096065)

SMALL = ("--shape", "96", "80", "6", "--levels", "3")


def tinypyr_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tinypyr", *arguments]
    # an editable install may report its rebuilding on the output otherwise
    environment = {**os.environ, "SKBUILD_EDITABLE_VERBOSE": "0"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment)


def decode(data: bytes) -> NDArray[np.uint8]:
    """A PNG read by the letter of its standard: checks every chunk; 8-bit RGB without filters only."""
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
    assert "\r" not in done.stderr  # no progress line unless a terminal watches
    for shape in ("96 x 80 x 6", "48 x 40 x 6", "24 x 20 x 6", "12 x 10 x 6"):
        assert done.stdout.count(shape) == 2  # once per volume
    assert len(re.findall(r"\d ms +\d+\.\d\d GB/s +\d+\.\d\d$", done.stdout, re.M)) == 8
    assert len(re.findall(r"numpy\.copyto .* 1\.00$", done.stdout, re.M)) == 2
    assert "levels.png" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["levels.png"]
    decode((tmp_path / "levels.png").read_bytes())


def test_picture_shows_the_levels(tmp_path: Path) -> None:
    image, labels = _demo.volumes((96, 80, 6))

    def quiet(what: str, fraction: float) -> None:
        assert 0 <= fraction <= 1

    built = [
        _demo.build("image", image, "mean", 2, 1, 1, quiet),
        _demo.build("labels", labels, "mode", 2, 1, 1, quiet),
    ]
    picture = _demo.draw(built)
    data = _picture.png(picture)
    np.testing.assert_array_equal(decode(data), picture)

    pillow = pytest.importorskip("PIL.Image", reason="Pillow, an independent reader of PNG, is not installed")
    np.testing.assert_array_equal(np.asarray(pillow.open(io.BytesIO(data)).convert("RGB")), picture)

    # the panels hold the middle section of each level, every voxel a square
    scale = 384 // 96
    top, step = _picture.GAP + 40, 96 * scale + _picture.GAP
    for level, volume in enumerate((image, *tinypyr.pyramid(image, (2, 2, 1), levels=2))):
        side = scale * 2**level
        panel = picture[top : top + 80 * scale, _picture.GAP + level * step :][:, : 96 * scale]
        np.testing.assert_array_equal(panel[side // 2 :: side, side // 2 :: side, 0], volume[:, :, 3].T)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        assert tinypyr_command("demo", *SMALL, "--out", name, cwd=tmp_path).returncode == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_an_older_picture_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "levels.PNG"
    target.write_bytes(b"old")
    assert tinypyr_command("demo", *SMALL, "--out", str(target), cwd=tmp_path).returncode == 0
    decode(target.read_bytes())
    assert list(tmp_path.iterdir()) == [target]


def test_volumes_are_the_recipe_s() -> None:
    image, labels = _demo.volumes((50, 40, 3))
    # pinned, so that a change of the recipe, or a platform on which it differs, is noticed
    assert (zlib.crc32(image.tobytes("F")), zlib.crc32(labels.tobytes("F"))) == RECIPE
    assert image.flags.f_contiguous
    assert labels.flags.f_contiguous
    assert (image.dtype.name, labels.dtype.name) == ("uint8", "uint64")


def test_volumes_look_like_tissue() -> None:
    image, labels = _demo.volumes((256, 256, 4))
    ids, counts = np.unique(labels, return_counts=True)
    assert ids[0] == 0
    assert 0.02 < counts[0] / labels.size < 0.2
    assert 20 < len(ids) < 100
    assert (ids[1:] > 2**53).all()
    assert image[labels == 0].mean() < image[labels != 0].mean() - 30  # which are dark
    assert image.std() > 20
    assert 100 < image.mean() < 180


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 70, 2), (70, 1, 2), (2, 3, 40), (3, 2, 1)])
def test_any_shape(shape: tuple[int, int, int], tmp_path: Path) -> None:
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
        (("--workers", "-1"), "-1 is not between 0 and 1024"),
        (("--out", "picture.jpg"), "does not end in .png"),
        (("--out", "absent/picture.png"), "no folder 'absent'"),
        (("--out", "folder.png"), "is a folder"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    done = tinypyr_command("demo", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
    assert not list((tmp_path / "folder.png").iterdir())


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        _files.write_whole(tmp_path / "x.png", b"data")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows makes links for administrators only")
def test_links_stay_and_devices_are_refused(tmp_path: Path) -> None:
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
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tinypyr",
        "demo",
        "--shape",
        "1024",
        "1024",
        "200",
    ]  # half a minute of work
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job, and so its children, may have been told to ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        try:
            errors = process.communicate(timeout=120)[1]
        finally:
            process.kill()
    # a slow machine may still be importing, where Python itself reports the interruption
    assert process.returncode == 130 or "KeyboardInterrupt" in errors
    assert not list(tmp_path.iterdir())


def test_progress_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        line = _demo._Line()
        line("pooling the image", 0.5)
        line.clear()
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("\rpooling the image" in shown.err and " 50%" in shown.err) is terminal
        assert shown.err.endswith("\r") is terminal  # and leaves a clean line


def test_version_and_help(tmp_path: Path) -> None:
    done = tinypyr_command("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"tinypyr {tinypyr.__version__}\n")
    for arguments in (("--help",), ("demo", "--help")):
        done = tinypyr_command(*arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert "usage: tinypyr" in done.stdout.lower()
    assert "exit status" in done.stdout
    assert "examples" in done.stdout
    done = tinypyr_command(cwd=tmp_path)
    assert done.returncode == 2
    assert "command" in done.stderr.lower()


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_what_the_store_commands_need(missing: str, tmp_path: Path) -> None:
    if missing == "rich":
        pytest.importorskip("click", reason="an extra of its own")
    hidden = f"import sys; sys.modules[{missing!r}] = None; from tinypyr.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hidden]
    for arguments in (["--version"], ["--help"], ["demo", "--help"], ["demo", *SMALL, "--out", "x.png"]):
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([*command, "build", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'tinypyr: build needs more than a plain install: pip install "tinypyr[store]"\n'
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
