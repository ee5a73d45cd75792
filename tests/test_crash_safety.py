"""Killed, out of room, or told to end: nothing half-made stays, and one line says why."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "cinn_clusters"]
MAPS = "mock --clusters 400 --maps --size 64 --processes 1 --out mock"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


def test_the_same_line_mends_a_killed_training() -> None:
    line = "benchmarks/kills.py --stages train --first 5 --every 12"
    campaign = subprocess.run(
        [sys.executable, *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert campaign.returncode == 0, campaign.stdout + campaign.stderr
    assert " kills, 0 not mended by the same line" in campaign.stdout
    assert not campaign.stdout.endswith("\n0 kills, 0 not mended by the same line\n")


@pytest.mark.parametrize("limit", [0, 3000])
def test_a_full_disk_is_one_line_for_maps(limit: int, tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    brightness = 1.0 / (1.0 + ((x - 32.0) ** 2 + (y - 32.0) ** 2) / 50.0)
    header = fits.Header({"BUNIT": "count s-1"})
    fits.writeto(tmp_path / "a.fits", brightness.astype("f4"), header)
    done = subprocess.run(
        [*COMMAND, *["maps", "a.fits", "--size", "128", "--out", "maps.h5"]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1, done
    errors = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert len(errors) == 1, done
    assert "maps.h5: expected to be written whole; got File too large" in errors[0]
    assert names(tmp_path) == ["a.fits"]


def test_a_signal_ends_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    line = [*COMMAND, *MAPS.split()]
    with subprocess.Popen(line, cwd=tmp_path, text=True, **pipes) as process:  # type: ignore[call-overload]
        wait_for(tmp_path / "mock/observables1.csv")
        second = subprocess.run(
            line, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert second.returncode == 1
    assert "one process at a time" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert process.returncode == 143
    assert errors.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in errors
    hidden = [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert not hidden


@pytest.mark.parametrize(("streams", "code"), [("> /dev/full", 1), (">&- 2>&- <&-", 0)])
def test_streams_that_take_nothing(streams: str, code: int, tmp_path: Path) -> None:
    line = (
        f"'{sys.executable}' -m cinn_clusters mock --clusters 12 --out mock {streams}"
    )
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert names(tmp_path) == ["mock"]
    for path in (tmp_path / "mock").iterdir():
        assert b"mock/" not in path.read_bytes(), "stdout went into a result"


@pytest.mark.parametrize(
    ("out", "code"), [("mock", 0), ("/sys/mock", 1), ("/proc/mock", 1)]
)
def test_surroundings_that_hold_nothing(out: str, code: int, tmp_path: Path) -> None:
    bare = {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(tmp_path / "none")}
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cinn_clusters",
            "mock",
            "--clusters",
            "12",
            "--out",
            out,
        ],
        cwd=tmp_path,
        env=bare | kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done
    if code:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"error: {out}: ")
    assert names(tmp_path) == ["mock"][code:]


NO_SCRATCH = """
import sys
from pathlib import Path
from astropy.table import Table
from cinn_clusters.catalogues.formats.metadata import write_fits
sys.addaudithook(lambda event, _: sys.exit(event) if event.startswith("tempfile") else None)
write_fits(Table({"mass": [1.0, 2.0]}), Path(sys.argv[1]))
"""


def test_a_fits_file_is_made_without_one_in_tmpdir(tmp_path: Path) -> None:
    place = tmp_path / "a.fits"
    subprocess.run([sys.executable, "-c", NO_SCRATCH, str(place)], check=True)
    assert fits.getdata(place)["mass"].tolist() == [1.0, 2.0]
