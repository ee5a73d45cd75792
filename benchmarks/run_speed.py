"""CPU seconds of every stage of `run`, of figures and of the start.

Run ``python benchmarks/run_speed.py stages OBSERVABLES TARGETS RUN`` for the stages (children
included), and ``python benchmarks/run_speed.py start ONE_ROW.csv`` for the import, ``--help`` and the
answer for one cluster, each in a process of its own. ``PYTHONPATH`` of another checkout measures that.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

NUM_REPEATS = 3
_COMMAND = "import sys; from cinn_clusters.cli import main; sys.argv[0] = 'cinn-clusters'; main()"


def cpu_seconds() -> float:
    """CPU seconds of this process and of those it has waited for."""
    usages = (
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def printed(name: str) -> Iterator[None]:
    begin = cpu_seconds()
    yield
    print(f"{name:<14}{cpu_seconds() - begin:8.2f}", flush=True)


def timed(name: str, make: Callable[..., object]) -> Callable[..., object]:
    def make_timed(*args: object) -> object:
        with printed(name):
            return make(*args)

    return make_timed


def stages(observables: Path, targets: Path, run: Path) -> None:
    import torch

    from cinn_clusters.pipeline import workflow
    from cinn_clusters.pipeline.stage import STAGES, Inputs

    torch.set_num_threads(1)
    workflow.STAGES = tuple(
        replace(stage, make=timed(stage.name, stage.make)) for stage in STAGES
    )
    with printed("all stages"):
        workflow.run_workflow(Inputs(observables, targets), run, overwrite=True)
    for file in sorted(run.glob("figures/*")):
        if file.stat().st_size > 500_000:
            print(f"above 0.5 MB: {file.name}, {file.stat().st_size / 1e6:.2f} MB")


def start(table: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        answer = str(Path(folder) / "one.nc")
        infer = ["infer", "--catalogue", str(table), "--out", answer, "--overwrite"]
        commands = {
            "python": ["-c", "pass"],
            "import": ["-c", "import cinn_clusters"],
            "--help": ["-c", _COMMAND, "--help"],
            "infer one": ["-c", _COMMAND, *infer],
        }
        for name, command in commands.items():
            seconds = [_of_process(command) for _ in range(NUM_REPEATS)]
            print(
                f"{name:<14}{median(seconds):8.2f}   {min(seconds):.2f}-{max(seconds):.2f}"
            )


def _of_process(arguments: list[str]) -> float:
    begin = cpu_seconds()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return cpu_seconds() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["stages", "start"])
    parser.add_argument("paths", nargs="+", type=Path)
    args = parser.parse_args()
    {"stages": stages, "start": start}[args.what](*args.paths)


if __name__ == "__main__":
    main()
