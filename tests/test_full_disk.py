"""A disk that fills up half-way: one line, nothing half-written, nothing lost."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import TINY

FILES = "{folder}/observables1.csv", "{folder}/unobservables1.csv"
PREPARE = f"prepare --observables {FILES[0]} --targets {FILES[1]} --out {{folder}}/new"
INFER = f"infer --model {{folder}}/run/model --catalogue {FILES[0]} --out {{folder}}/p.nc --no-map --draws "

CROSSVAL = "crossval {folder}/run --folds 2 --draws 20 " + TINY


def limited(limit: int) -> None:
    """Let every file of this process end at ``limit`` bytes, with an error instead of a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def run_with_limit(line: str, limit: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cinn_clusters", *line.split()],
        capture_output=True,
        text=True,
        preexec_fn=lambda: limited(limit),
    )


def content(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "checkpoint.safetensors"
    }


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("mock --clusters 20 --out {folder}/mock", 3000),
        (PREPARE, 3000),
        ("train {folder}/run --overwrite " + TINY, 3000),
        (
            "train {folder}/run --overwrite "
            + TINY
            + " --set train.checkpoint_every=99",
            3000,
        ),
        ("evaluate {folder}/run --draws 400", 30_000),
        ("crossval {folder}/run --folds 2 --draws 400 " + TINY, 30_000),
        (INFER + "400", 30_000),
        (INFER + "5", 60_000),
        ("diagnose {folder}/run/crossval/posterior.nc", 3000),
    ],
    ids=[
        "mock",
        "prepare",
        "train, checkpoint",
        "train, model",
        "evaluate",
        "crossval",
        "infer",
        "infer, summary",
        "diagnose",
    ],
)
def test_nothing_is_half_written(
    line: str, limit: int, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    for name in ("observables1.csv", "unobservables1.csv"):
        shutil.copy(trained.parent / name, tmp_path / name)
    if line.startswith("diagnose"):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cinn_clusters",
                *CROSSVAL.format(folder=tmp_path).split(),
            ],
            check=True,
        )
    before = content(tmp_path)
    done = run_with_limit(line.format(folder=tmp_path), limit)
    errors = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr, done.stderr
    assert len(errors) == 1, done.stderr
    assert "to be written whole" in errors[0], errors
    after = content(tmp_path)
    new = {path.name for path in after if path not in before}
    assert {path: after[path] for path in before} == before, (
        "something that stood there was lost"
    )
    assert new <= {"p.nc"}, new
    assert not list(tmp_path.rglob(".*")), "scratch files are left"
