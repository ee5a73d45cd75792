"""A training that was killed ends, resumed, with the weights of one that was not: bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import Command

SETTINGS = (
    "--set model.members=3 --set autoregressive.blocks=2 --set autoregressive.hidden=8 --set train.epochs=60 --set train.patience=0 "
    "--set train.held_out_groups=3 --set train.checkpoint_every=1 --set train.augment=false"
)
RESULTS = ("model/weights.safetensors", "model/bundle.json", "history.csv")


def copy_of(trained: Path, folder: Path) -> Path:
    return Path(
        shutil.copytree(
            trained, folder, ignore=shutil.ignore_patterns("model", "history.csv")
        )
    )


def start_training(run: Path, *extra: str) -> subprocess.Popen[bytes]:
    line = [
        sys.executable,
        "-m",
        "cinn_clusters",
        "train",
        str(run),
        *SETTINGS.split(),
        *extra,
    ]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_after(
    process: subprocess.Popen[bytes], checkpoint: Path, num_writes: int
) -> None:
    """Kill once the checkpoint has been replaced some times."""
    seen: set[int] = set()
    deadline = time.monotonic() + 60
    while (
        len(seen) < num_writes
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        try:
            seen.add(checkpoint.stat().st_mtime_ns)
        except FileNotFoundError:
            time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, (
        "the training ended before it was killed"
    )


@pytest.fixture(scope="module")
def uninterrupted(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copy_of(trained, tmp_path_factory.mktemp("whole") / "run")
    _, err = start_training(run).communicate()
    assert (run / "model/manifest.json").is_file(), err
    return run


def test_killed_twice_and_resumed_is_the_uninterrupted_training(
    uninterrupted: Path, trained: Path, tmp_path: Path
) -> None:
    run = copy_of(trained, tmp_path / "run")
    kill_after(start_training(run), run / "checkpoint.safetensors", 3)
    assert not (run / "model").exists()
    kill_after(start_training(run, "--resume"), run / "checkpoint.safetensors", 4)
    (run / ".checkpoint.safetensors.1.tmp.safetensors").write_bytes(
        b"killed while it wrote"
    )
    process = start_training(run, "--resume")
    _, err = process.communicate()
    assert process.returncode == 0, err
    for name in RESULTS:
        assert (run / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    assert not list(run.glob(".*")), "scratch files are left"
    assert not (run / "checkpoint.safetensors").exists()


def test_killed_before_the_first_checkpoint_starts_anew(
    uninterrupted: Path, trained: Path, tmp_path: Path
) -> None:
    run = copy_of(trained, tmp_path / "run")
    process = start_training(run)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    process = start_training(run, "--resume")
    process.communicate()
    assert (run / RESULTS[0]).read_bytes() == (uninterrupted / RESULTS[0]).read_bytes()


def test_resuming_a_finished_training_changes_nothing(
    uninterrupted: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = command(f"train {run} --resume {SETTINGS}")
    assert result.code == 0
    assert "60" in result.out
    other = command(f"train {run} --resume {SETTINGS} --set train.noise=0.3")
    other.demand_error("other settings", "--overwrite")
    assert {
        path: path.read_bytes() for path in run.rglob("*") if path.is_file()
    } == before


def test_a_checkpoint_is_neither_lost_nor_taken_for_another(
    trained: Path, tmp_path: Path, command: Command
) -> None:
    run = copy_of(trained, tmp_path / "run")
    checkpoint = run / "checkpoint.safetensors"
    kill_after(start_training(run), checkpoint, 2)
    whole = checkpoint.read_bytes()
    for option in ("--resume", ""):
        line = f"train {run} {option} {SETTINGS} --set seed=7"
        command(line).demand_error("another run's", "--overwrite")
    assert checkpoint.read_bytes() == whole
    checkpoint.write_bytes(whole[:100])
    command(f"train {run} --resume {SETTINGS}").demand_error(
        "a whole checkpoint", "--overwrite"
    )
