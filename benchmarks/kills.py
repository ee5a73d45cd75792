"""Kill every stage at every operation on a file, give the same line again, and compare the bytes.

A stage runs in a child process whose audit hook counts the operations that change files (open for
writing, rename, remove, mkdir, truncate, ...) and kills the process (SIGKILL) right before the n-th,
for every n. Then the same line is given once more. Its results must have the bytes of an
undisturbed run, and nothing else may stay anywhere in the folder.

    python benchmarks/kills.py                      # all stages, all operations
    python benchmarks/kills.py --stages train,embed-train --every 3
    python benchmarks/kills.py --most 12                # of each stage, evenly

The hook lives here and in no installed code. Children are forked from a process that has imported
everything, so that a kill costs what the stage costs; figures have few dots an inch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TINY = (
    "--set model.members=2 --set autoregressive.blocks=2 --set autoregressive.hidden=8 "
    "--set train.epochs=2 --set train.held_out_groups=2 --set train.checkpoint_every=1 "
    "--set train.augment=false"
)
SMALL = (
    "--set embed.epochs=2 --set embed.batch=32 --set embed.size=32 --set embed.components=4 "
    "--set embed.checkpoint_every=1 --threads 1"
)
TABLES = "--observables mock/observables1.csv --targets mock/unobservables1.csv"


@dataclass(frozen=True)
class Stage:
    """A command line, and what must have run before it."""

    line: str
    after: tuple[str, ...] = ()


STAGES = {
    "mock": Stage("mock --clusters 24 --out mock"),
    "prepare-processed": Stage(
        "prepare --processed-dir processed --clusters mock/observables1.csv --out run",
        ("original",),
    ),
    "import-original": Stage(
        "import-original processed/network.pt --processed-dir processed --out model",
        ("original",),
    ),
    "mock-maps": Stage(
        "mock --clusters 10 --maps --size 16 --projections 1 --formats png,fits --processes 1 --out maps"
    ),
    "prepare": Stage(f"prepare {TABLES} --out run", ("mock",)),
    "train": Stage(f"train run {TINY}", ("prepare",)),
    "train-overwrite": Stage(f"train run --overwrite {TINY}", ("train",)),
    "evaluate": Stage("evaluate run --draws 8", ("train",)),
    "evaluate-overwrite": Stage("evaluate run --draws 8 --overwrite", ("evaluate",)),
    "diagnose": Stage("diagnose run/posterior.nc", ("evaluate",)),
    "diagnose-overwrite": Stage("diagnose run/posterior.nc --overwrite", ("diagnose",)),
    "crossval": Stage(f"crossval run --folds 2 --draws 8 {TINY}", ("prepare",)),
    "crossval-overwrite": Stage(
        f"crossval run --folds 2 --draws 8 --overwrite {TINY}", ("crossval",)
    ),
    "recalibrate": Stage(
        f"train run {TINY} --set train.recalibration_folds=2", ("prepare",)
    ),
    "baseline": Stage("baseline run --members 1", ("prepare",)),
    "sensitivity": Stage(
        "sensitivity run --repeats 1 --refit-members 0", ("baseline",)
    ),
    "tune": Stage(f"tune run --trials 1 --inner-folds 2 {TINY}", ("prepare",)),
    "figures": Stage("figures run", ("diagnose",)),
    "report": Stage("report run", ("figures",)),
    "infer": Stage(
        "infer --catalogue mock/observables1.csv --out p.nc --draws 8 --table t.fits --no-map",
        ("mock",),
    ),
    "infer-partitions": Stage(
        "infer --catalogue mock/observables1.csv --out p.parquet --draws 8 --partition-rows 40 --pdfs",
        ("mock",),
    ),
    "maps": Stage("maps maps/maps/fits --size 32 --out store.h5", ("mock-maps",)),
    "embed-train": Stage(
        f"embed train run --maps maps/maps/maps.h5 --out encoder {SMALL}",
        ("prepare-maps",),
    ),
    "prepare-maps": Stage(
        "prepare --observables maps/observables1.csv --targets maps/unobservables1.csv --out run",
        ("mock-maps",),
    ),
    "embed-encode": Stage(
        "embed encode --model encoder --maps maps/maps/maps.h5 --threads 1 --out vectors",
        ("embed-train",),
    ),
    "embed-probe": Stage(
        "embed probe run encoder --maps maps/maps/maps.h5 --threads 1 --out probed",
        ("embed-train",),
    ),
    "embed-gallery": Stage(
        "embed gallery run encoder --maps maps/maps/maps.h5 --threads 1 --out gallery",
        ("embed-train",),
    ),
    "demo": Stage("demo observed --draws 8 --out observed"),
    "run": Stage(
        f"run {TABLES} --out run --draws 8 --refit-members 0 {TINY}", ("mock",)
    ),
}
UNSTABLE = ("trials.csv",)
"""Results that hold the seconds they took."""
TEMPORARY = "temporary"
"""Stands for ``TMPDIR`` in the folder of a stage, so that what stays there is seen."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")


class Killer:
    """Counts operations that change files below a folder; kills the process before the n-th."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder, self.at, self.num_operations = os.fsencode(folder), at, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Audit hook."""
        if event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITING):
            self.count(arguments[0])

    def count(self, path: object) -> None:
        """Count an operation, if its path lies in the folder."""
        with contextlib.suppress(TypeError):
            place = os.fsencode(Path.cwd() / os.fsdecode(path))  # type: ignore[arg-type]
            if place.startswith(self.folder):
                self.num_operations += 1
                if self.num_operations == self.at:
                    os.kill(os.getpid(), signal.SIGKILL)


def run_line(line: str, folder: Path, kill_at: int = 0) -> tuple[int, str, int]:
    """Run a command line in a child; return its exit code, its stderr and its operations."""
    errors = folder.with_name(f"{folder.name}.stderr")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _be_the_command(line, folder, errors, kill_at, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        count = pipe.read()
    _, status = os.waitpid(child, 0)
    text = errors.read_text() if errors.exists() else ""
    errors.unlink(missing_ok=True)
    return os.waitstatus_to_exitcode(status), text, int(count or 0)


def _be_the_command(
    line: str, folder: Path, errors: Path, kill_at: int, pipe: int
) -> None:
    """Become the command in this process, and never return."""
    code = 1
    try:
        os.chdir(folder)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder / TEMPORARY)
        stderr = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stderr, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["cinn-clusters", *line.split()]
        killer = Killer(folder, kill_at)
        sys.addaudithook(killer)
        from cinn_clusters.cli import main

        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        os.write(pipe, str(killer.num_operations).encode())
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def content(folder: Path) -> dict[str, bytes]:
    """All files by path, folders as such; results that hold times are only named."""
    return {
        str(path.relative_to(folder)): b""
        if path.is_dir() or path.name in UNSTABLE
        else path.read_bytes()
        for path in folder.rglob("*")
    }


@dataclass
class Tally:
    """What the kills of a stage came to."""

    kills: int = 0
    other_bytes: list[int] = field(default_factory=list)
    leftovers: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    already_whole: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every kill was mended by the same line."""
        return not (self.other_bytes or self.leftovers or self.refused)

    def add(
        self,
        number: int,
        outcome: tuple[int, str, int],
        expected: dict[str, bytes],
        actual: dict[str, bytes],
    ) -> None:
        """Judge the folder after the second run."""
        code, errors, _ = outcome
        self.kills += 1
        extra = sorted(set(actual) - set(expected))
        changed = sorted(
            name for name in expected if actual.get(name) != expected[name]
        )
        if extra:
            self.leftovers.append(number)
            self.notes.append(f"{number}: left {extra[:4]}")
        if changed:
            self.other_bytes.append(number)
            self.notes.append(f"{number}: other {changed[:4]}")
        if code and not (changed or extra):
            self.already_whole.append(number)
        elif code:
            self.refused.append(number)
            self.notes.append(f"{number}: exit {code}: {errors.strip()[-200:]}")


def campaign(
    names: list[str], home: Path, numbers: Callable[[int], list[int]]
) -> dict[str, Tally]:
    """Kill the stages at the numbers that a function chooses of all their operations."""
    tallies: dict[str, Tally] = {}
    for name in names:
        begun = time.monotonic()
        start = _prepared(STAGES[name].after, home)
        whole = _fresh(start, home / f"whole-{name}")
        code, errors, num_operations = run_line(STAGES[name].line, whole)
        if code:
            raise RuntimeError(f"{name}: exit {code}: {errors}")
        expected, tally = content(whole), Tally()
        for number in numbers(num_operations):
            folder = _fresh(start, home / "killed")
            killed, told, _ = run_line(STAGES[name].line, folder, number)
            if killed != -signal.SIGKILL:
                raise RuntimeError(f"{name}: not killed at {number}: {killed} {told}")
            outcome = run_line(STAGES[name].line, folder)
            tally.add(number, outcome, expected, content(folder))
        shutil.rmtree(home / "killed", ignore_errors=True)
        tallies[name] = tally
        seconds = time.monotonic() - begun
        print(_row(name, num_operations, tally, seconds), flush=True)
        for note in tally.notes[:6]:
            print(f"    {note}", flush=True)
    return tallies


def _fresh(start: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    return folder


def _prepared(names: tuple[str, ...], home: Path) -> Path:
    """A folder in which some stages have run, and those before them."""
    folder = home / ("after-" + "-".join(names or ("nothing",)))
    if folder.exists():
        return folder
    if not names:
        (folder / TEMPORARY).mkdir(parents=True)
        return folder
    (name,) = names
    if name == "original":
        shutil.copytree(_prepared(("mock",), home), folder)
        _write_original(folder)
        return folder
    shutil.copytree(_prepared(STAGES[name].after, home), folder)
    code, errors, _ = run_line(STAGES[name].line, folder)
    if code:
        raise RuntimeError(f"{name}: exit {code}: {errors}")
    return folder


def _write_original(folder: Path) -> None:
    """What the original scripts leave behind: a checkpoint, two scalers, three tables."""
    import pickle

    import pandas as pd
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from original import X_COLUMNS, Y_COLUMNS, freia_glow, processed_data

    names = ("observables1.csv", "unobservables1.csv")
    tables = [pd.read_csv(folder / "mock" / name) for name in names]
    processed = folder / "processed"
    scalers = processed_data((tables[0], tables[1]), processed)
    for side, scaler in zip("XY", scalers, strict=True):
        (processed / f"scaler_{side}.pkl").write_bytes(pickle.dumps(scaler))
    torch.manual_seed(0)
    network = freia_glow(len(Y_COLUMNS), len(X_COLUMNS))
    torch.save(network.state_dict(), processed / "network.pt")


def _row(name: str, num_operations: int, tally: Tally, seconds: float) -> str:
    counts = (
        tally.kills,
        len(tally.other_bytes),
        len(tally.leftovers),
        len(tally.refused),
        len(tally.already_whole),
    )
    cells = " ".join(f"{count:>6}" for count in (num_operations, *counts))
    return f"{name:<20}{cells} {seconds:8.1f} s"


def _chosen(numbers: range, most: int | None) -> list[int]:
    """At most so many of the numbers, evenly spaced, the first and the last among them."""
    if most is None or len(numbers) <= most:
        return list(numbers)
    step = (len(numbers) - 1) / max(most - 1, 1)
    return [numbers[round(step * index)] for index in range(most)]


def warm_up() -> None:
    """Import what the stages import, and take the times of day away."""
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from importlib import import_module

    import cinn_clusters.pipeline

    root = Path(cinn_clusters.pipeline.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        import_module(f"cinn_clusters.pipeline.{name}".removesuffix(".__init__"))
    from cinn_clusters.figures.style import rendered

    rendered.__defaults__ = (30,)  # dots an inch, 300 cost most of a kill


def main() -> None:
    """Run the campaign and print a row a stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--every", type=int, default=1, help="Kill at every so-manieth")
    parser.add_argument("--first", type=int, default=1, help="Number of the first")
    parser.add_argument("--most", type=int, help="Kills of a stage, evenly spaced")
    parser.add_argument("--json", type=Path, help="Write the counts, too")
    options = parser.parse_args()
    warm_up()
    heads = "operations, kills, other bytes, leftovers, refused, already whole"
    print(f"stage: {heads}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tallies = campaign(
            options.stages.split(","),
            Path(folder),
            lambda num: _chosen(
                range(options.first, num + 1, options.every), options.most
            ),
        )
    total = sum(tally.kills for tally in tallies.values())
    bad = sum(
        len({*tally.other_bytes, *tally.leftovers, *tally.refused})
        for tally in tallies.values()
    )
    print(f"{total} kills, {bad} not mended by the same line", flush=True)
    if options.json:
        values = {name: vars(tally) for name, tally in tallies.items()}
        options.json.write_text(json.dumps(values, indent=1))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
