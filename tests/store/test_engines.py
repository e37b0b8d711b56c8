"""Engines (threads, processes, dask) and parts of saved plans write the same files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="stores need TensorStore")

from support.stores import Files, files, small_labels, threads_after
from tinypyr import Grid, cli, store
from tinypyr.store import ownership
from tinypyr.store.location import Location
from tinypyr.store.saved_plans import json_of_plan
from tinypyr.store.scratch import sealed
from tinypyr.store.tuning import Tuning, tuned

ARGUMENTS: dict[str, Any] = {"factor": 2, "levels": 4, "method": "mode", "workers": 2, "memory": "64MiB", "block": 1}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return a store with level 0 only."""
    where = tmp_path / "base"
    store.build(
        small_labels(), where, levels=0, chunks=(8, 8, 8), method="mode", grid=Grid(small_labels().shape, "zyx")
    )
    return where


@pytest.fixture
def alone(base: Path, tmp_path: Path) -> Files:
    """Return the files that one thread writes."""
    store.build(base, tmp_path / "alone", **(ARGUMENTS | {"workers": 1}))
    return same(files(tmp_path / "alone"))


def same(found: Files) -> Files:
    """Return files without the fingerprint, which depends on the path of the store."""
    root = json.loads(found["zarr.json"] or b"")
    root["attributes"]["ome"]["multiscales"][0]["metadata"].pop("plan")
    return {**found, "zarr.json": json.dumps(root).encode()}


def test_processes_give_the_same_files(base: Path, alone: Files, tmp_path: Path) -> None:
    report = store.build(base, tmp_path / "t", engine="processes", **ARGUMENTS)
    assert report.blocks_done == report.plan.blocks >= 32
    assert same(files(tmp_path / "t")) == alone


def test_processes_use_the_tuning_of_the_plan(base: Path, alone: Files, tmp_path: Path) -> None:
    """Blocks of another size are other blocks, and a plan with other blocks is refused."""
    arguments = {name: value for name, value in ARGUMENTS.items() if name != "block"}
    with tuned(small_block=0, max_footprint=40, sync_files=False):
        plan = store.plan(base, tmp_path / "t", **arguments)
    assert plan.geometry.leaf_levels == 1
    plan.save(tmp_path / "plan.json")
    loaded = store.Plan.load(tmp_path / "plan.json")
    assert loaded.resources.tuning == plan.resources.tuning
    assert loaded.geometry.partition == plan.geometry.partition
    report = store.run(loaded, engine="processes")
    assert report.blocks_done == plan.blocks > 1
    assert not report.failed
    store.finalize(loaded)
    assert same(files(tmp_path / "t")) == alone


def test_a_saved_plan_without_a_tuning_has_the_default(base: Path, tmp_path: Path) -> None:
    content = json_of_plan(store.plan(base, tmp_path / "t", **ARGUMENTS))
    assert content.pop("tuning") == {}
    (tmp_path / "plan.json").write_text(json.dumps(sealed(content)))
    assert store.Plan.load(tmp_path / "plan.json").resources.tuning == Tuning()


def test_a_process_that_dies_is_replaced(base: Path, alone: Files, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(progress: store.Progress) -> None:
        if len(killed) < 2 and progress.blocks_done in (5, 20):
            (child,) = _children()[:1]
            killed.append(child)
            os.kill(child, signal.SIGKILL)

    report = store.build(base, tmp_path / "t", engine="processes", progress=kill_one, **ARGUMENTS)
    assert len(killed) == 2
    assert not report.failed
    assert same(files(tmp_path / "t")) == alone


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found as Linux lists them")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_worker_processes_end_with_their_parent(how: signal.Signals, base: Path, tmp_path: Path) -> None:
    """Idle workers do not keep waiting, or keep pipes open."""
    command = [sys.executable, "-m", "tinypyr", "build", str(base), str(tmp_path / "t"), "--engine", "processes"]
    command += ["--factor", "2", "--levels", "4", "--method", "mode", "--block", "1", "--progress", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as building:
        assert building.stdout is not None
        building.stdout.readline()  # the first block is done
        workers = _children(building.pid)
        assert workers
        building.send_signal(how)
        building.communicate()  # ends when no process holds the pipe any more
    deadline = time.monotonic() + 60
    while any(_is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(of: int | None = None) -> list[int]:
    """Return the IDs of the processes in a pool of this process, or of another one."""
    found = []
    wanted = os.getpid() if of is None else of
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == wanted and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def test_dask_gives_the_same_files(base: Path, alone: Files, tmp_path: Path) -> None:
    """One worker of a cluster of real processes is killed during the build."""
    distributed = pytest.importorskip("distributed", reason="an optional engine")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed: list[int] = []

        def kill_one(progress: store.Progress) -> None:
            if not killed and progress.blocks_done >= 5:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        report = store.build(base, tmp_path / "t", engine=client, progress=kill_one, **ARGUMENTS)
        assert killed
        assert report.blocks_done == report.plan.blocks
        address = cluster.scheduler_address
        arguments = ["--factor", "2", "--levels", "4", "--method", "mode", "--memory", "64MiB", "--block", "1"]
        command = ["build", str(base), str(tmp_path / "u"), "--engine", "dask", "--scheduler", address, *arguments]
        assert cli.main(command) == 0
        shutil.rmtree(tmp_path / "u")  # the same workers again, which still have its arrays open
        assert cli.main(command) == 0
    assert same(files(tmp_path / "t")) == alone
    assert same(files(tmp_path / "u")) == alone


def test_arrays_in_memory_cannot_be_saved_or_sent_to_processes(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match=r"source: .*an array in memory"):
        store.build(small_labels(), tmp_path / "t", engine="processes", **ARGUMENTS)
    with pytest.raises(ValueError, match="engine: 'spark' is not"):
        store.build(small_labels(), tmp_path / "t", engine="spark", **ARGUMENTS)
    with pytest.raises(store.StoreError, match=r"source: .*an array in memory"):
        store.plan(small_labels(), tmp_path / "t", **ARGUMENTS).save(tmp_path / "plan.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_place", [False, True])
def test_parts_of_a_saved_plan_give_the_same_files(
    in_place: bool, base: Path, alone: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Independent processes run parts, some twice, some late, two at the same time."""
    where, saved = base if in_place else tmp_path / "t", str(tmp_path / "plan.json")
    target = [] if in_place else [str(where)]
    arguments = [
        "--factor",
        "2",
        "--levels",
        "4",
        "--method",
        "mode",
        "--memory",
        "64MiB",
        "--workers",
        "2",
        "--block",
        "1",
    ]
    assert cli.main(["plan", str(base), *target, *arguments, "--plan-file", saved]) == 0
    assert cli.main(["finalize", saved]) == 1
    assert "block 0 is not done" in capsys.readouterr().err
    command = [sys.executable, "-m", "tinypyr", "run", saved, "--part"]
    at_once = [subprocess.Popen([*command, part]) for part in ("1/3", "3/3", "1/3")]
    assert [process.wait() for process in at_once] == [0, 0, 0]
    assert cli.main(["finalize", saved]) == 1
    assert cli.main(["run", saved, "--part", "2/3"]) == 0
    assert cli.main(["run", saved, "--blocks", "0,5-7"]) == 0
    assert cli.main(["finalize", saved]) == 0
    if in_place:
        assert store.check(where).ok
    else:
        assert same(files(where)) == alone
    before = files(where)
    for late in (["run", saved, "--part", "2/3"], ["finalize", saved]):
        assert cli.main(late) == 0
        assert "already complete" in capsys.readouterr().out
    assert files(where) == before


def test_damaged_and_outdated_plans_are_errors(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "plan.json"
    store.plan(base, tmp_path / "t", **ARGUMENTS).save(saved)
    text = saved.read_text()
    for at in range(0, len(text), 7):
        saved.write_text(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
        try:
            if json.loads(saved.read_text()) == json.loads(text):
                continue  # whitespace
        except ValueError:
            pass
        with pytest.raises(store.StoreError, match="plan") as caught:
            store.Plan.load(saved)
        assert "cannot be read" not in str(caught.value), "the file can be read; its content is wrong"
    saved.write_text(text)
    array = store.source.level_array(store.source.open_volume(Location.at(base)), 0)
    part = array[:8, :8, :8].read().result()
    spec = array.spec()
    import tensorstore

    time.sleep(0.02)  # file times may have a low resolution
    tensorstore.open(spec, open=True, write=True).result()[:8, :8, :8].write(part + 1).result()
    with pytest.raises(store.StoreError, match=r"out of date .of a source that has changed since"):
        store.Plan.load(saved)
    assert cli.main(["run", str(tmp_path / "no.json")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert cli.main(["run", str(saved), "--part", "4/3"]) == 1
    assert not (tmp_path / "t").exists()


def test_blocks_that_fail_do_not_stop_the_others(base: Path, tmp_path: Path) -> None:
    def fails(number: int) -> None:
        if number in (2, 7):
            raise MemoryError(f"no room for block {number}")

    with pytest.raises(store.BuildError) as caught:
        store.build(base, tmp_path / "t", engine=threads_after(fails), **ARGUMENTS)
    report = caught.value.report
    assert report.failed == {2: "no room for block 2", 7: "no room for block 7"}
    assert report.blocks_done == report.plan.blocks - 2
    assert store.run(report.plan, blocks=[7]).blocks_done == 1
    with pytest.raises(store.StoreError, match="block 2 is not done"):
        store.finalize(report.plan)
    with pytest.raises(ValueError, match="blocks: 99999 is none of the plan's"):
        store.build(base, tmp_path / "t", blocks=[99999], **ARGUMENTS)
    report = store.build(base, tmp_path / "t", blocks=list(report.failed), **ARGUMENTS)
    assert report.blocks_done == 2
    assert store.check(tmp_path / "t").ok


@pytest.fixture
def another() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_store_with_a_live_owner_is_refused(base: Path, tmp_path: Path, another: subprocess.Popen[bytes]) -> None:
    plan = store.plan(base, **ARGUMENTS)
    held = {**ownership._process(another.pid), "token": "theirs", "time": 0.0}
    plan.storage.scratch.location.write_json(ownership.OWNER, held)
    before = files(base)
    with pytest.raises(store.StoreError, match=rf"process {another.pid} on .* is building here"):
        store.build(base, **ARGUMENTS)
    assert files(base) == before, "the second has touched nothing"
    another.kill()
    another.wait()
    assert store.build(base, **ARGUMENTS).blocks_done == plan.blocks, "who died is succeeded"
    assert store.check(base).ok


def test_the_lease_of_an_owner_on_another_machine_expires(base: Path) -> None:
    plan = store.plan(base, **ARGUMENTS)
    held = {"host": "elsewhere", "kernel": "another", "pid": 1, "started": "5", "token": "theirs", "time": time.time()}
    plan.storage.scratch.location.write_json(ownership.OWNER, held)
    with pytest.raises(store.StoreError, match="process 1 on elsewhere is building here"):
        store.build(base, **ARGUMENTS)
    held["time"] = time.time() - ownership.HEARTBEAT_TIMEOUT - 1
    plan.storage.scratch.location.write_json(ownership.OWNER, held)

    def take_over(progress: store.Progress) -> None:
        if progress.blocks_done == 3:
            plan.storage.scratch.location.write_json(ownership.OWNER, held)
            time.sleep(0.2)

    with tuned(heartbeat_interval=0.01), pytest.raises(store.StoreError, match="another process has taken over"):
        store.build(base, progress=take_over, **ARGUMENTS)
    assert store.build(base, **ARGUMENTS).blocks_kept >= 3


def test_damaged_results_of_blocks_are_made_again(base: Path, alone: Files, tmp_path: Path) -> None:
    plan = store.plan(base, tmp_path / "t", **ARGUMENTS)
    store.run(plan)
    folder = tmp_path / "t" / ".tinypyr"
    for number, damage in ((1, b""), (2, b"x"), (3, None)):
        marker = folder / f"block-{number}"
        raw = bytearray(marker.read_bytes())
        raw[len(raw) // 2] ^= 4
        marker.write_bytes(raw if damage is None else damage)
    with pytest.raises(store.StoreError, match="block 1 is not done"):
        store.finalize(plan)
    report = store.build(base, tmp_path / "t", **ARGUMENTS)
    assert report.blocks_done == 3
    assert same(files(tmp_path / "t")) == alone
    (folder / "plan.json").parent.mkdir()
    (folder / "plan.json").write_text('{"plan": {}}')
    with pytest.raises(store.StoreError, match=r"plan.json is not a plan that tinypyr has saved"):
        store.build(base, tmp_path / "t", **(ARGUMENTS | {"method": "max"}))


def test_the_size_of_a_plan_does_not_depend_on_the_volume(tmp_path: Path) -> None:
    lengths, blocks = [], []
    for edge in (1 << 13, 1 << 17, 1 << 20):  # half a terabyte, two petabytes, one exabyte
        virtual = np.broadcast_to(np.uint8(0), (edge, edge, edge))
        plan = store.plan(virtual, tmp_path / "t", chunks=(64, 64, 64), factor=2)
        lengths.append(len(json.dumps(plan.describe())))
        blocks.append(plan.blocks)
        boxes = [plan.box(number) for number in (0, plan.blocks // 2, plan.blocks - 1)]
        assert boxes[-1][0][1] == edge
        assert [plan.numbers[i] for i in (0, plan.blocks - 1)] == [0, plan.blocks - 1]
        assert [list(plan.geometry.blocks_in(box)) for box in boxes] == [[0], [plan.blocks // 2], [plan.blocks - 1]]
    assert max(lengths) < 2 * min(lengths)
    assert blocks[-1] <= 1 << 20


def test_block_numbers_of_a_box_agree_with_a_search(base: Path) -> None:
    """Numbers equal those from a search through all blocks."""
    plan = store.plan(base, **ARGUMENTS)
    rng = np.random.default_rng(0)
    for _ in range(50):
        box = [sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in small_labels().shape]
        touched = [
            number
            for number in range(plan.blocks)
            if all(a < high and b > low for (a, b), (low, high) in zip(plan.box(number), box, strict=True))
        ]
        found = plan.geometry.blocks_in([(low, high) for low, high in box])
        assert list(found) == touched
        assert len(found) == len(touched)
        assert [number in found for number in range(plan.blocks)] == [n in touched for n in range(plan.blocks)]
        assert found[-1] == touched[-1]


def test_a_grid_of_other_axes_or_shape_than_the_store_is_an_error(base: Path, tmp_path: Path) -> None:
    for grid in (
        Grid((16, 80, 66), "zyx"),
        Grid((80, 24, 66), "zyx"),
        Grid((80, 66), "yx"),
        Grid(small_labels().shape, "xyz"),
    ):
        with pytest.raises(ValueError, match="grid: has axes"):
            store.plan(base, tmp_path / "t", grid=grid)


def test_integers_of_numpy_are_accepted(base: Path, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    cut: Any = np.array([8, 8, 8])
    store.plan(base, tmp_path / "t", chunks=cut, shards=2 * cut, levels=1, factor=2, block=1).save(saved)
    plan = store.Plan.load(saved)
    assert plan.layouts[0].unit == (16, 16, 16)
    assert store.run(plan, blocks=[np.int64(3)]).blocks_done == 1  # type: ignore[list-item]
    wrongs: list[dict[str, Any]] = [{"blocks": 3}, {"part": "1/2"}, {"part": (0, 0)}]
    for wrong, match in zip(wrongs, ("blocks: 3", "part: '1/2'", "part: 0/0"), strict=True):
        with pytest.raises((TypeError, ValueError), match=match):
            store.run(plan, **wrong)


def test_saved_regions_finish_once_and_other_regions_are_built_again(base: Path, tmp_path: Path) -> None:
    store.build(base, **ARGUMENTS)
    saved = tmp_path / "plan.json"
    region: Any = [(np.int64(0), np.int64(8))] * 3
    store.plan(base, region=region, workers=2, block=1).save(saved)
    store.run(store.Plan.load(saved))
    with pytest.raises(store.StoreError, match=r"an update of the region 0:8, 0:8, 0:8 has begun"):
        store.plan(base, region=[(8, 16)] * 3)
    assert store.plan(base, region=[(0, 16)] * 3).changed_box == [(0, 16)] * 3
    assert store.finalize(store.Plan.load(saved)).blocks_done == 0
    for late in (store.run, store.finalize):
        assert str(late(store.Plan.load(saved))) == "already complete; nothing to do"
    assert not (base / ".tinypyr").exists()
    assert store.build(base, region=region, workers=2, block=1).blocks_done > 0
    assert store.check(base).ok


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "precomputed"])
def test_finalize_before_run_is_an_error(format: str, base: Path, tmp_path: Path) -> None:
    plan = store.plan(base, tmp_path / "t", format=format, **ARGUMENTS)
    with pytest.raises(store.StoreError, match="block 0 is not done"):
        store.finalize(plan)
    store.run(plan)
    store.finalize(plan)
    assert store.check(tmp_path / "t").ok
    for again in ({"blocks": [0]}, {"resume": False}):
        given: dict[str, Any] = again
        with pytest.raises(store.StoreError, match="finished already"):
            store.build(base, tmp_path / "t", format=format, **ARGUMENTS, **given)


def test_memory_and_workers_may_change_when_a_build_resumes(tmp_path: Path) -> None:
    """A build of an array resumes; a different grid is an error that names the difference."""
    array = np.random.default_rng(0).integers(0, 9, (64, 128, 128)).astype(np.uint8)
    given: dict[str, Any] = {"block": "128KiB", "levels": 2, "factor": 2, "chunks": (16, 16, 16)}
    store.run(store.plan(array, tmp_path / "t", memory="1GiB", workers=1, **given), part=(1, 2))
    with pytest.raises(store.StoreError, match="units: "):
        store.plan(array, tmp_path / "t", grid=Grid(array.shape, units=["nanometer"] * 3), **given)
    report = store.build(array, tmp_path / "t", memory="6MiB", workers=2, **given)
    assert report.blocks_kept > 0
    assert str(store.build(array, tmp_path / "t", memory="512MiB", **given)) == "already complete; nothing to do"


def test_a_script_without_a_main_guard_is_an_error_that_says_so(base: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tinypyr import store\n"
        "given = dict(engine='processes', workers=2, levels=1, factor=2, block=1)\n"
        f"store.build({str(base)!r}, {str(tmp_path / 't')!r}, **given)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'if __name__ == "__main__"' in done.stderr  # Python may then report resources that its processes leaked


#: A plugin whose block ends its process if it has a voxel of 255.
ENDING = """\
import os

class Ending:
    def lowres_func(self, lowres):
        return lowres * 0

    def highres_func(self, block, field):
        if (block == 255).any():
            os._exit(9)
        return block
"""


def test_a_block_that_ends_its_process_is_the_only_one_to_fail(tmp_path: Path) -> None:
    pytest.importorskip("tinypyr.multires", reason="needs scipy", exc_type=ImportError)
    (tmp_path / "ending.py").write_text(ENDING)
    volume = np.zeros((24, 80, 66), np.uint8)
    options: dict[str, Any] = {"chunks": (8, 8, 8), "levels": 1, "factor": 2, "block": 1}
    plan = store.plan(volume, tmp_path / "t", **options)
    volume[tuple(start for start, _ in plan.box(7))] = 255
    store.build(volume, tmp_path / "base", levels=0, chunks=(8, 8, 8))
    command = [sys.executable, "-m", "tinypyr", "apply", "base", "t", "--plugin", "ending:Ending", "--levels", "1"]
    command += ["--block", "1", "--workers", "2", "--engine", "processes"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("block ")]
    assert len(failed) == 1, done.stderr[-2000:]
    assert failed[0].startswith("block 7 failed")
