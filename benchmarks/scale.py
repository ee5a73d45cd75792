"""Catalogues of any size: time, memory and growth of ``infer`` partition by partition, and kills.

    python benchmarks/scale.py --clusters 20000 40000 80000 --workers 1 2 --kills 5
    python benchmarks/scale.py --clusters 1000000 --workers 2           # the whole, about 20 minutes

A catalogue of mock clusters, each with errors of its own, is written as Parquet; the command line
answers it in a process group of its own, whose memory (proportional set size, PSS: shared pages are
counted once) is looked at four times a second. With ``--kills`` the group is killed (SIGKILL) at
random moments and the same line given again, until it ends; the bytes must be those of the
undisturbed run, and no part that was there at a kill may be written again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

MEMORY_INTERVAL = 0.25
ROWS_A_PIECE = 20_000


@dataclass
class Run:
    """One run of the command line."""

    clusters: int
    workers: int
    engine: str
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def per_cpu_second(self) -> float:
        """Clusters that a core answers in a second."""
        return self.clusters / self.cpu_s


def write_catalogue(path: Path, num_clusters: int) -> None:
    """Mock clusters, again and again, with masses that differ in the fourth digit."""
    import pyarrow
    from pyarrow import parquet

    from cinn_clusters import mock_catalogue

    frame, _ = mock_catalogue(250, seed=0)
    frame["sigma_Group_M_Crit500"] = 0.05
    rng = np.random.default_rng(1)
    writer = None
    for begin in range(0, num_clusters, ROWS_A_PIECE):
        rows = np.arange(begin, min(begin + ROWS_A_PIECE, num_clusters))
        piece = frame.iloc[rows % len(frame)].assign(HaloID=rows)
        piece["Group_M_Crit500"] += rng.normal(0.0, 0.01, len(piece))
        piece["bcg_StellarMass"] += rng.normal(0.0, 0.01, len(piece))
        piece["GroupGasMass"] += rng.normal(0.0, 0.01, len(piece))
        table = pyarrow.Table.from_pandas(piece, preserve_index=False)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def command(
    catalogue: Path, out: Path, workers: int, options: argparse.Namespace
) -> list[str]:
    line = [
        sys.executable,
        "-m",
        "cinn_clusters",
        "infer",
        "--catalogue",
        str(catalogue),
    ]
    line += ["--out", str(out), "--samples", str(options.samples), "--json"]
    line += ["--workers", str(workers), "--engine", options.engine]
    return [
        *line,
        "--partition-rows",
        str(options.partition_rows),
        *options.more.split(),
    ]


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def memory_mb(process: psutil.Process) -> float:
    total = 0
    for member in tree(process):
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 2**20


def follow(child: subprocess.Popen[bytes], until: float = np.inf) -> float:
    """Peak memory [MB] of a process and its children until it ends, or a moment comes."""
    process, peak, begin = psutil.Process(child.pid), 0.0, time.monotonic()
    while child.poll() is None and time.monotonic() - begin < until:
        try:
            peak = max(peak, memory_mb(process))
        except psutil.NoSuchProcess:
            break
        time.sleep(MEMORY_INTERVAL)
    return peak


def cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def start(line: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def timed(line: list[str], num_clusters: int, workers: int, engine: str) -> Run:
    before, begin = cpu_of_children(), time.monotonic()
    child = start(line)
    peak = follow(child)
    _, errors = child.communicate()
    if child.returncode:
        raise SystemExit(errors.decode())
    wall = time.monotonic() - begin
    return Run(num_clusters, workers, engine, wall, cpu_of_children() - before, peak)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def parts(folder: Path) -> dict[str, int]:
    """Parts that are done, and their i-nodes, which a part that is written again would change."""
    return {path.name: path.stat().st_ino for path in folder.glob("part-*.parquet")}


def killed(
    line: list[str], out: Path, wall: float, num_kills: int, seed: int
) -> list[int]:
    """Kill a run at random moments and give its line again; parts that were done at each kill."""
    rng = np.random.default_rng(seed)
    finished = out.with_name(f".{out.name}.parts") / "parts"
    done: dict[str, int] = {}
    counts = []
    for _ in range(num_kills):
        child = start(line)
        follow(child, until=float(rng.uniform(0.3, 1.0)) * wall)
        if child.poll() is not None:  # it came to its end before
            break
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        now = parts(finished)
        assert done.items() <= now.items(), "a part was written again"
        done = now
        counts.append(len(done))
    else:
        child = start(line)
    _, errors = child.communicate()
    assert child.returncode == 0, errors.decode()
    assert done.items() <= parts(out).items(), "a part was written again"
    return counts


def table(runs: list[Run]) -> str:
    lines = [
        "| clusters | workers | wall [s] | CPU [s] | clusters / CPU s | peak memory [MB] |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for run in runs:
        lines.append(
            f"| {run.clusters:,} | {run.workers} | {run.wall_s:.0f} | {run.cpu_s:.0f} | "
            f"{run.per_cpu_second:.0f} | {run.peak_mb:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--clusters", type=int, nargs="+", default=[20_000, 40_000, 80_000]
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", choices=("local", "dask"), default="local")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--partition-rows", type=int, default=20_000)
    parser.add_argument(
        "--kills", type=int, default=0, help="of the smallest catalogue"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments of kills")
    parser.add_argument(
        "--more", default="", help="further options of infer, such as --map"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    runs, report = [], {"machine": platform.processor(), "options": str(options)}
    with tempfile.TemporaryDirectory() as scratch:
        for count in options.clusters:
            catalogue = Path(scratch, f"{count}.parquet")
            write_catalogue(catalogue, count)
            for workers in options.workers:
                out = Path(scratch, f"answers-{count}-{workers}.parquet")
                line = command(catalogue, out, workers, options)
                runs.append(timed(line, count, workers, options.engine))
                print(runs[-1], flush=True)
                if options.kills and count == min(options.clusters):
                    again = Path(scratch, "again.parquet")
                    line = command(catalogue, again, workers, options)
                    wall = runs[-1].wall_s
                    counts = killed(line, again, wall, options.kills, options.seed)
                    assert contents(again) == contents(out), "other bytes"
                    verdict = f"killed {len(counts)} times, parts done then {counts}: same bytes"
                    print(verdict, flush=True)
                    report[f"kills, {workers} workers"] = counts
                    shutil.rmtree(again)
                shutil.rmtree(out)
    print(table(runs))
    if options.out:
        report["runs"] = [asdict(run) for run in runs]
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
