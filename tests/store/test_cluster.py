"""Builds on a real Slurm and on an S3 server, both on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="stores need TensorStore")

from support.stores import small_labels
from tinypyr import Grid, cli, store
from tinypyr.compat import bioimage_py as compat
from tinypyr.store.location import Location
from tinypyr.store.ownership import Ownership
from tinypyr.store.source import level_array, open_volume

# --- Slurm ---

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start Slurm on this machine, and return its folder."""
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"needs to be root, and {', '.join(missing) or 'nothing more'} (slurmctld slurmd slurm-client munge)"
        )
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        shutil.chown(key, "munge")
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    if subprocess.run(["munge", "-n"], capture_output=True).returncode:
        subprocess.run(["su", "munge", "-s", "/bin/sh", "-c", "munged"], check=True)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=ports))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        daemons = [subprocess.Popen([name, "-D"], stderr=subprocess.DEVNULL) for name in ("slurmctld", "slurmd")]
        try:
            for _ in range(100):
                told = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
                if "idle" in told.stdout:
                    break
                time.sleep(0.1)
            else:
                pytest.skip(f"Slurm does not start here: {told.stdout} {told.stderr}")
            yield folder
        finally:
            subprocess.run(["scancel", "--user=root"], capture_output=True)
            for daemon in daemons[::-1]:
                daemon.terminate()
                daemon.wait()


def wait_for_jobs() -> None:
    for _ in range(300):
        if not subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip():
            return
        time.sleep(0.2)
    raise AssertionError(subprocess.run(["squeue"], capture_output=True, text=True).stdout)


def test_a_slurm_job_array_builds_a_plan(slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, saved = tmp_path / "base", tmp_path / "plan.json"
    store.build(small_labels(), base, levels=0, chunks=(8, 8, 8), method="mode", grid=Grid(small_labels().shape, "zyx"))
    arguments = ["--factor=2", "--levels=3", "--method=mode", "--memory=64MiB", "--workers=1", "--block=1"]
    assert cli.main(["plan", str(base), *arguments, "--plan-file", str(saved)]) == 0
    settings = tmp_path / "cluster.toml"
    settings.write_text(f'parts = 9\nlimit = 2\ntime = "5"\nlines = ["export MARK={tmp_path}/mark"]\n')
    line = ["--line", 'touch "$MARK-$SLURM_ARRAY_TASK_ID"', "--line", f"touch {tmp_path}/mark-$SLURM_ARRAY_TASK_ID"]
    command = ["slurm", str(saved), "--settings", str(settings), "--parts", "3", "--partition", "main"]
    assert cli.main([*command, *line, "--dry-run"]) == 0
    assert "not submitted" in capsys.readouterr().out
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True).stdout == ""
    script = (tmp_path / "plan.json.part.sh").read_text()
    assert "#SBATCH --array=1-3%2\n" in script
    assert "#SBATCH --time=5\n" in script
    assert cli.main([*command, *line]) == 0
    assert "3 parts" in capsys.readouterr().out
    wait_for_jobs()
    logs = "".join(path.read_text() for path in tmp_path.glob("plan.json.*.log"))
    assert not list(base.glob(".tinypyr")), logs
    assert {path.name for path in tmp_path.glob("mark-*")} == {"mark-1", "mark-2", "mark-3", "mark-"}
    assert store.check(base).ok


def test_a_failed_part_prevents_finalize(slurm: Path, tmp_path: Path) -> None:
    base, saved = tmp_path / "base", tmp_path / "plan.json"
    store.build(small_labels(), base, levels=0, chunks=(8, 8, 8), method="mode", grid=Grid(small_labels().shape, "zyx"))
    store.plan(base, factor=2, levels=2, block=1).save(saved)
    command = ["slurm", str(saved), "--parts", "2", "--line", '[ "$SLURM_ARRAY_TASK_ID" != 2 ] || exit 3']
    assert cli.main(command) == 0
    wait_for_jobs()
    assert len(open_volume(Location.at(base)).paths) == 1, "not finalized"
    assert cli.main(["run", str(saved), "--part", "2/2"]) == 0
    assert cli.main(["finalize", str(saved)]) == 0
    assert store.check(base).ok


def test_invalid_slurm_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    base, saved = tmp_path / "base", tmp_path / "plan.json"
    store.build(small_labels(), base, levels=0, chunks=(8, 8, 8), method="mode")
    store.plan(base, factor=2, levels=2).save(saved)
    for text, match in (
        ("partitions = 3", "settings: 'partitions' in"),
        ("parts = 0", "parts: 0 is not an integer above 0"),
        ('cpus_per_task = "many"', "--cpus-per-task: 'many' is not an integer"),
        ("lines = 5", "--line: 5 is not"),
        ("parts =", "cannot be read"),
    ):
        (tmp_path / "s.toml").write_text(text)
        assert cli.main(["slurm", str(saved), "--settings", str(tmp_path / "s.toml")]) == 2
        assert match in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["slurm", str(saved)]) == 1
    assert "Slurm is not installed on this machine" in capsys.readouterr().err


def test_bioimage_py_downsample_runs_as_slurm_jobs(slurm: Path, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="optional")
    pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    image = np.random.default_rng(8).integers(0, 255, (32, 40), dtype=np.uint8)
    source = zarr.create_array(tmp_path / "in", shape=image.shape, chunks=(8, 8), dtype="u1")
    source[:] = image
    output = zarr.create_array(tmp_path / "out", shape=(16, 20), chunks=(2, 2), dtype="u1")
    damaged = tmp_path / "in" / "c" / "1" / "1"
    voxels = damaged.read_bytes()
    damaged.write_bytes(voxels[:5])
    config = compat.SlurmConfig(
        poll_interval=0.2, tmp_root=str(tmp_path / "jobs"), tasks_per_worker=2, latency_wait=0, partition="main",
        time="5", shebang=f"#!/bin/sh\ntouch {tmp_path}/mark-$SLURM_ARRAY_TASK_ID",
    )  # fmt: skip
    how: dict[str, Any] = {"anti_aliasing": True, "job_type": "slurm", "num_workers": 2, "block_shape": (4, 4)}
    with pytest.raises(compat.RunnerError, match="of 20 blocks failed") as caught:
        compat.downsample(source, 2, output, job_config=config, **how)
    assert 1 <= len(caught.value.failed_block_ids) <= 9, "those around one chunk"
    assert {path.name for path in tmp_path.glob("mark-*")} == {f"mark-{part}" for part in range(1, 5)}
    damaged.write_bytes(voxels)
    compat.downsample(source, 2, output, job_config=config, resume_from=caught.value.tmp_folder, **how)
    np.testing.assert_array_equal(output[:], compat.downsample(image, 2, anti_aliasing=True))
    assert not list((tmp_path / "jobs").iterdir())


# --- S3 ---


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start an S3 server on this machine, and return the URL of a bucket."""
    server = pytest.importorskip("moto.server", reason="needs a server of S3")
    boto3 = pytest.importorskip("boto3", reason="makes the bucket")
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    threaded = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    try:
        host, port = threaded.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        name = f"volumes-{secrets.token_hex(4)}"
        boto3.client("s3").create_bucket(Bucket=name)
        yield f"s3://{name}"
    finally:
        threaded.stop()


@pytest.mark.filterwarnings("ignore")  # (of the server's own code)
def test_processes_write_one_sharded_array_to_s3(bucket: str, tmp_path: Path) -> None:
    where, saved = f"{bucket}/em.ome.zarr", tmp_path / "plan.json"
    store.build(
        small_labels(), f"{bucket}/base", levels=0, chunks=(8, 8, 8), shards=(16, 16, 16), method="mode",
        grid=Grid(small_labels().shape, "zyx"),
    )  # fmt: skip
    plan = store.plan(f"{bucket}/base", where, factor=2, levels=2, method="mode", block=1, workers=1)
    plan.save(saved)
    parts = [
        subprocess.Popen([sys.executable, "-m", "tinypyr", "run", str(saved), "--part", f"{part}/3"])
        for part in (1, 2, 3, 2)
    ]
    assert [part.wait() for part in parts] == [0, 0, 0, 0]
    store.finalize(store.Plan.load(saved))
    made = open_volume(Location.at(where))
    np.testing.assert_array_equal(level_array(made, 0).read().result(), small_labels())
    assert store.check(where).ok
    left = Location.at(where).keys()
    assert not [key for key in left if "tinypyr" in key]
    again = store.build(f"{bucket}/base", where, factor=2, levels=2, method="mode", block=1)
    assert str(again).startswith("already complete")


def test_a_missing_bucket_is_an_error(bucket: str) -> None:
    """Conditional writes to it fail without an error."""
    with pytest.raises(store.StoreError, match=r"s3://nobucket/t.*NoSuchBucket"):
        store.build(small_labels(), "s3://nobucket/t", levels=0, method="mode", progress=False)
    with pytest.raises(store.StoreError, match="NoSuchBucket"), Ownership(Location.at("s3://nobucket/t/.tinypyr")):
        pass


def test_a_server_that_refuses_connections_is_an_error_within_a_minute() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/volume"
        command = [sys.executable, "-m", "tinypyr", "info", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "retry attempts failed" in done.stderr.splitlines()[-1]
