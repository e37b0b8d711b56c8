"""Stores as other tools write them: every command works and is right, or is refused with a sentence."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="reads and writes stores (the extra 'store')")
pytest.importorskip("zarr", minversion="3", reason="writes the stores, and reads them independently")
pytest.importorskip("nibabel", reason="writes NIfTI files")
pytest.importorskip("click", reason="the command line")
pytest.importorskip("rich", reason="the command line")

from support import audit, varieties
from tinypyr import store
from tinypyr.store.tuning import tuned

#: Stores that cannot be planned, and what the sentence says.
REFUSED = {
    "n5 bdv": "neither an N5 array nor a group of levels",
    "n5 container": "neither an N5 array nor a group of levels",
    "nifti cifti/series.dtseries.nii": "is a CIFTI file, whose rows are not axes of space",
    "nifti truncated/volume.nii": "the file is cut short or its header is wrong",
    "ome 0.4 bioformats2raw": r"a collection of images \(bioformats2raw\), so give the path of an image in it",
    "ome 0.5 bioformats2raw": r"a collection of images \(bioformats2raw\), so give the path of an image in it",
    "ome 0.4 plate": "it is a plate, so give the path of an image in it, such as A/1/0",
    "ome 0.5 plate": "it is a plate, so give the path of an image in it, such as A/1/0",
    "ome 0.4 delta filter": r"0/\.zarray.*filter",
    "ome 0.4 shuffle filter": r"0/\.zarray.*filter",
    "ome 0.4 lz4": r"0/\.zarray.*lz4",
    "ome 0.4 lzma": r"0/\.zarray.*lzma",
    "ome 0.4 scale 0 along z": "its scale is 0 along z, which would be pooled",
    "ome 0.5 scale 0 along z": "its scale is 0 along z, which would be pooled",
    "ome 0.4 two levels": "has 2 levels already",
    "ome 0.5 two levels": "has 2 levels already",
    "precomputed gzip files": "chunks compressed under another name",
    "precomputed two scales": "has 2 levels already",
}
#: Stores that are planned, but cannot be read to the end.
DAMAGED = {"nifti gz truncated/volume.nii.gz": "is damaged: Compressed file ended before the end-of-stream marker"}
#: What formats cannot store.
NO_PLACE = (r"precomputed has the axes x, y, z and c, not ", r"(precomputed|N5) stores .*, not \w+; convert")


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """Return a folder in memory if there is one, because thousands of small folders are slow on disks."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="tinypyr-audit-", dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def rows(memory: Path) -> list[audit.Row]:
    """Return the audit of all varieties, each copied to two of the formats."""
    (memory / "stores").mkdir()
    varieties.write_all(memory / "stores")
    with tuned(sync_files=False), pytest.MonkeyPatch.context() as patch:
        patch.delenv("TINYPYR_CLOUDVOLUME", raising=False)  # (a process for each level would take minutes)
        return audit.audit(memory / "stores", memory, copies=2)


def test_nothing_crashes_and_nothing_is_wrong(rows: list[audit.Row]) -> None:
    assert len(rows) >= len(varieties.VARIETIES)
    assert [fault for row in rows for fault in row.faults()] == []


def test_the_stores_that_are_refused_are_known_and_the_sentence_says_why(rows: list[audit.Row]) -> None:
    refused = {row.name: row.texts["plan"] for row in rows if row.cells["plan"] == "refused"}
    assert sorted(refused) == sorted(REFUSED)
    for name, text in refused.items():
        assert re.search(REFUSED[name], text), (name, text)
    damaged = {
        row.name: row.texts["build"] for row in rows if row.cells["build"] == "refused" and row.name not in refused
    }
    assert sorted(damaged) == sorted(DAMAGED)
    for name, text in damaged.items():
        assert re.search(DAMAGED[name], text), (name, text)


def test_a_copy_is_refused_only_if_its_source_is_or_its_format_has_no_place_for_it(rows: list[audit.Row]) -> None:
    for row in rows:
        for format in audit.FORMATS:
            if row.cells.get(format) == "refused" and row.name not in DAMAGED:
                known = REFUSED.get(row.name)
                assert any(re.search(p, row.texts[format]) for p in ([known] if known else NO_PLACE)), row.texts[format]


def test_all_that_is_built_is_compared_with_an_independent_reader(rows: list[audit.Row]) -> None:
    for row in rows:
        if row.cells["build"] in ("ok", "warned"):
            assert row.cells["values"] == "ok", (row.name, row.texts.get("values"))
            assert row.cells["check"] in ("ok", "warned"), (row.name, row.texts.get("check"))
            assert row.cells["preview"] == "ok", (row.name, row.texts.get("preview"))


# --- the audit finds what it looks for ---


def test_other_voxels_are_wrong(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    varieties.write_all(tmp_path / "stores", ["ome 0.4 order F"])
    read = audit.read_level
    monkeypatch.setattr(audit, "read_level", lambda where, number: read(where, number) + np.uint16(number))
    (row,) = audit.audit(tmp_path / "stores", memory)
    assert {step for step, cell in row.cells.items() if cell == "WRONG"} == {"values", *audit.FORMATS}
    assert re.search(r"level 1: \d+ of \d+ voxels differ", row.texts["values"])


def test_lost_metadata_and_changed_chunks_are_wrong(tmp_path: Path) -> None:
    varieties.write_all(tmp_path, ["ome 0.4 omero"])
    before, after = tmp_path / "ome 0.4 omero", tmp_path / "after"
    shutil.copytree(before, after)
    audit.check_kept(before, after)
    attributes = json.loads((after / ".zattrs").read_text())
    del attributes["omero"]["channels"][1]["color"]
    (after / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(audit.Wrong, match=r"\.zattrs: lost \.omero\.channels\[1\]\.color"):
        audit.check_kept(before, after)
    shutil.copy2(before / ".zattrs", after / ".zattrs")
    (after / "0/0/0/0/0").write_bytes(b"")
    with pytest.raises(audit.Wrong, match="0/0/0/0/0: was changed"):
        audit.check_kept(before, after)
    (after / "0/0/0/0/0").unlink()
    with pytest.raises(audit.Wrong, match="0/0/0/0/0: was removed"):
        audit.check_kept(before, after)


@pytest.mark.parametrize(
    ("error", "cell"),
    [
        (store.StoreError("no such store"), "refused"),
        (ValueError("factor: 0 is not positive"), "refused"),
        (store.StoreError("two\nlines"), "TRACEBACK"),
        (ValueError("could not broadcast"), "TRACEBACK"),
        (KeyError("scale"), "TRACEBACK"),
        (audit.Wrong("level 0 differs"), "WRONG"),
    ],
)
def test_errors_are_sorted_by_whether_they_are_ours(error: Exception, cell: str) -> None:
    def fails() -> Any:
        raise error

    row = audit.Row("a store")
    row.take("plan", fails)
    assert row.cells["plan"] == cell
    assert bool(row.faults()) == (cell != "refused")
