"""Sets of labels that are collected block by block, and numbers of jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinypyr import cli

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from tinypyr import store
from tinypyr.store.label_sets import LabelSet, label_arrays


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint64", "float32"])
def test_label_sets_hold_each_label_once(dtype: str) -> None:
    rng = np.random.default_rng(2)
    for blocks in (0, 1, 2, 7, 300):
        given = [rng.integers(0, 250, rng.integers(0, 90)).astype(dtype) for _ in range(blocks)]
        if dtype == "float32" and given:
            given[-1] = np.append(given[-1], [np.nan, -np.inf]).astype(dtype)
        gathered = LabelSet(dtype)
        for labels in given:
            gathered.add(np.unique(labels))
        everything = np.concatenate([np.empty(0, dtype), *given])
        np.testing.assert_array_equal(gathered.all(), np.unique(everything))
        assert gathered.all().dtype == np.dtype(dtype)
    assert label_arrays([]) is None


def test_a_label_is_merged_at_most_twelve_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand labels are merged for 1,024 blocks of ten labels, instead of five million."""
    merged = 0
    union = np.union1d

    def counting(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        nonlocal merged
        merged += a.size + b.size
        return union(a, b)

    monkeypatch.setattr(np, "union1d", counting)  # (numpy's function is where labels are read and written)
    gathered = LabelSet(np.uint64)
    for block in np.random.default_rng(1).permutation(1024):
        gathered.add(np.arange(10 * block, 10 * block + 10, dtype=np.uint64))
    assert gathered.all().size == 10240
    assert merged < 10240 * 12


def test_no_more_parts_than_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.uint32)
    base, saved = tmp_path / "base of it", tmp_path / "plan.json"
    store.build(labels, base, levels=0, chunks=(8, 8, 8), method="mode")
    assert cli.main(["plan", str(base), "--factor=2", "--levels=1", "--method=mode", "--plan-file", str(saved)]) == 0
    capsys.readouterr()
    assert cli.main(["slurm", str(saved), "--parts", "200", "--dry-run"]) == 0
    said = capsys.readouterr().out
    blocks = len(store.Plan.load(saved).numbers)
    assert f"not submitted: {blocks} parts" in said
    assert "sbatch --dependency=afterok:JOB" in said
    assert f"#SBATCH --array=1-{blocks}\n" in (tmp_path / "plan.json.part.sh").read_text()
