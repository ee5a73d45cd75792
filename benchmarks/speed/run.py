"""Speed of everything, against other libraries and an earlier commit: ``make bench``.

    git worktree add --detach ../base 53f198b
    python benchmarks/speed/run.py --baseline ../base --out bench --page docs/speed.md

Contenders take turns, A B C A B C, in processes of their own with one thread each. A rate is the median
of the turns in units a CPU second (so that other work on the machine counts little), the spread its
smallest and largest. Parts (``--only``) may be run one by one: ``speed.json`` keeps the others. The tables
go into ``speed.md``, and to the end of a page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from comparisons import ALL, BEFORE, FULL, NOW, QUICK, Comparison, Contender

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS, MARK = "speed.json", "<!-- make bench -->"
GROUPS = (
    "samplers",
    "threads",
    "densities",
    "modes",
    "training",
    "infer",
    "run",
    "start",
    "growth",
)
LIBRARIES = ("torch", "numpy", "numba", "FrEIA", "zuko", "nflows", "sbi")


class Worker:
    """A contender in its process."""

    def __init__(self, contender: Contender, source: Path, seconds: float) -> None:
        self.contender = contender
        paths = [str(source / "src"), os.environ.get("PYTHONPATH", "")]
        threads = str(contender.options.get("threads", 1))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        line = [
            sys.executable,
            str(HERE / "worker.py"),
            contender.function,
            json.dumps(contender.options),
            str(seconds),
        ]
        self.process = subprocess.Popen(
            line,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first = self._answer()
        self.turns: list[dict[str, float]] = []

    @property
    def is_missing(self) -> bool:
        """Whether its library is not installed."""
        return "missing" in self.first

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        reason = self.process.stderr.read().strip().splitlines()[-1:]
        raise RuntimeError(f"{self.contender.label}: {reason}")

    def work(self) -> None:
        """Take a turn."""
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        self.turns.append(self._answer())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextmanager
def worker(contender: Contender, source: Path, seconds: float) -> Iterator[Worker]:
    started = Worker(contender, source, seconds)
    try:
        yield started
    finally:
        started.close()


def measure(
    comparison: Comparison, sources: dict[str, Path], turns: int, seconds: float
) -> list[dict[str, Any]]:
    """One row a contender."""
    with ExitStack() as stack:
        workers = []
        for contender in comparison.contenders:
            if contender.tree not in sources:
                continue
            opened = worker(contender, sources[contender.tree], seconds)
            started = stack.enter_context(opened)
            workers.append(started)
        present = [one for one in workers if not one.is_missing]
        # a first turn that takes minutes is a turn
        if comparison.once:
            for one in present:
                one.turns.append(one.first)
            turns -= 1
        for _ in range(turns):
            for one in present:
                one.work()
        return [row_of(one, comparison.clock) for one in workers]


def row_of(one: Worker, clock: str) -> dict[str, Any]:
    row = {"label": one.contender.label, "options": one.contender.options}
    if one.is_missing:
        return {**row, "missing": one.first["missing"]}
    rates = [turn["units"] / turn[clock] for turn in one.turns]
    return {
        **row,
        "rate": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "first_seconds": one.first["cpu"],
        "peak_megabytes": max(turn["peak"] for turn in one.turns),
        "rates": rates,
    }


def table_of(comparison: Comparison, rows: list[dict[str, Any]]) -> str:
    """Rates or durations, ratios to the first row, cost of the first call and memory."""
    second = "second" if comparison.clock == "wall" else "CPU second"
    measured = f"{comparison.unit} a {second}"
    if comparison.is_duration:
        measured = f"{second}s a {comparison.unit}"
    lines = [
        f"### {comparison.title}\n",
        f"| | {measured} | range | times as fast | first call, CPU s | peak, MB |",
        "|---|---|---|---|---|---|",
    ]
    reference = next((row["rate"] for row in rows if "rate" in row), 1.0)
    for row in rows:
        if "missing" in row:
            lines.append(f"| {row['label']} | not installed | | | | |")
            continue
        shown = [row[key] for key in ("rate", "lowest", "highest")]
        if comparison.is_duration:
            shown = [1.0 / shown[0], 1.0 / shown[2], 1.0 / shown[1]]
        value, low, high = map(number, shown)
        ratio = f"{row['rate'] / reference:.2f}"
        if "(" in row["label"]:  # another unit
            ratio = ""
        first, peak = number(row["first_seconds"]), f"{row['peak_megabytes']:.0f}"
        lines.append(
            f"| {row['label']} | {value} | {low} to {high} | {ratio} | {first} | {peak} |"
        )
    if comparison.operations:
        lines += ["", useful(comparison.operations, rows)]
    return "\n".join(lines) + "\n"


def useful(operations: float, rows: list[dict[str, Any]]) -> str:
    """Useful operations of the last flow beside the rate of a matrix product."""
    *_, flow, product = (row for row in rows if "rate" in row)
    rate = operations * flow["rate"]
    share = rate / product["rate"]
    return (
        f"Useful operations (products of weights): {number(operations)} a draw, {number(rate)} a second in "
        f"'{flow['label']}': {share:.0%} of a matrix product's."
    )


def number(value: float) -> str:
    """Three digits, in words of thousands where it is large."""
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def machine(sources: dict[str, Path]) -> dict[str, Any]:
    """Where and on what it was measured."""
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":")[1].strip()
            break
    libraries = {}
    for name in LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "processor": processor,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "libraries": libraries,
        "commits": {name: commit_of(path) for name, path in sources.items()},
    }


def commit_of(path: Path) -> str:
    line = ["git", "-C", str(path), "rev-parse", "--short", "HEAD"]
    return subprocess.run(line, capture_output=True, text=True).stdout.strip()


def heading(facts: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {of}" for name, of in facts["libraries"].items())
    commits = ", ".join(f"{name}: {of}" for name, of in facts["commits"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, load {facts['load']:.1f}; "
        f"Python {facts['python']}, {libraries}; {commits}; {facts['date']} UTC."
    )


def report(done: dict[str, dict[str, Any]]) -> str:
    """All tables, under what they were measured on."""
    text, above = "", ""
    for values in done.values():
        under = heading(values["machine"])
        if under != above:
            text += f"\n{under}\n"
        text += f"\n{values['table']}"
        above = under
    return text


def write(done: dict[str, dict[str, Any]], out: Path, page: Path | None) -> None:
    """Write the results, and put the tables at the end of a page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULTS).write_text(json.dumps(done, indent=1) + "\n")
    (out / "speed.md").write_text(report(done))
    if page is not None:
        begin, _, _ = page.read_text().partition(MARK)
        page.write_text(f"{begin}{MARK}\n{report(done)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", type=Path, help="checkout of an earlier commit")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--page", type=Path, help="page that ends with the tables")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of a turn, at least"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    args = parser.parse_args()
    sources = {NOW: ROOT}
    if args.baseline:
        sources[BEFORE] = args.baseline.resolve()
    done: dict[str, dict[str, Any]] = {}
    if (args.out / RESULTS).exists():  # of parts that were run before
        done = json.loads((args.out / RESULTS).read_text())
    sizes = QUICK if args.quick else FULL
    for make in ALL:
        for comparison in make(sizes):
            if comparison.group not in args.only:
                continue
            facts = machine(sources)
            turns = min(args.turns, 3) if comparison.once else args.turns
            rows = measure(comparison, sources, turns, args.seconds)
            table = table_of(comparison, rows)
            print(f"{heading(facts)}\n\n{table}", flush=True)
            done[comparison.title] = {"machine": facts, "rows": rows, "table": table}
            write(done, args.out, args.page)


if __name__ == "__main__":
    main()
