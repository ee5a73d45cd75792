"""Hostile input: thousands of spoilt files and lines, each through the real command line.

    PYTHONPATH=src:tests python -m fuzz.campaign --number 10000 --seed 1 --out fuzz-report

Workers are forked from a process that has imported everything; each runs its inputs one after the
other, in folders of their own, and is replaced when an input kills it or takes 20 seconds of a processor.
``--replay 4321`` runs one input of the same seed again and says what came out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cinn_clusters import cli
from fuzz.corpus import build
from fuzz.finite import not_finite
from fuzz.kinds import KINDS, LINES, SLOW_LINES, strange_line

SECONDS = 20.0
"""Of a processor, that an input may take."""
ASLEEP = 6 * SECONDS
"""By the clock, after which it is taken to wait for ever: other work may hold the processors."""
BYTES = 2 * 1024**3
BATCH = 60
OUTCOMES = (
    "ok", "refused", "usage", "TRACEBACK", "CRASH", "HANG", "MEMORY", "NOT FINITE", "PARTIAL",
    "UNCLEAR",
)  # fmt: skip
"""What may come of an input: the first three are right."""
LONGEST_ERROR = 1500


@dataclass
class Outcome:
    """What one input came to."""

    index: int
    kind: str
    outcome: str
    line: list[str]
    message: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


def names_of_kinds() -> list[str]:
    """Kinds as often as their weights say, then lines; the order decides which input is which."""
    names = [name for name, kind in KINDS.items() for _ in range(kind.weight)]
    return names + ["line"] * 14 + ["slow line"] * 2


class Campaign:
    """Inputs that follow from a seed, made of a corpus, tried in a folder."""

    def __init__(self, corpus: Path, work: Path, seed: int, only: str = "") -> None:
        self.corpus, self.work, self.seed = corpus, work, seed
        self.names = [only] if only else names_of_kinds()

    def kind(self, index: int) -> str:
        """Name of the kind of an input."""
        return self.names[index % len(self.names)]

    def make(self, index: int) -> tuple[Path, list[str], set[Path]]:
        """Write an input; return its folder, its line, and inputs that the line may change."""
        rng = random.Random(f"{self.seed}/{index}/{self.kind(index)}")
        case = self.work / f"{index}"
        (case / "in").mkdir(parents=True)
        (case / "out").mkdir()
        name = self.kind(index)
        if name in KINDS:
            words = KINDS[name].line.split()
        else:
            words = strange_line(
                rng.choice(LINES if name == "line" else SLOW_LINES).split(), rng
            )
        words, changeable = self._placed(words, case)
        if name in KINDS:
            kind = KINDS[name]
            spoil = rng.choice(kind.mutations)
            spoil(case / "in" / rng.choice(kind.spoilt), rng)
        return case, words, changeable

    def _placed(self, words: Sequence[str], case: Path) -> tuple[list[str], set[Path]]:
        """Words with the paths of inputs, which are copied, and of outputs."""
        placed, changeable = [], set()
        for word in words:
            if word.startswith("@"):
                path = case / "in" / word.lstrip("@")
                self._copy(word.lstrip("@").split("/")[0], case / "in")
                placed.append(str(path))
                if word.startswith("@@"):
                    changeable.add(path)
            elif word.startswith(">"):
                placed.append(str(case / "out" / word[1:]))
            else:
                placed.append(word)
        return placed, changeable

    def _copy(self, name: str, folder: Path) -> None:
        source, target = self.corpus / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)

    def run(self, index: int) -> Outcome:
        """Make an input and run its line in this process."""
        os.chdir(self.work)
        case, words, changeable = self.make(index)
        os.chdir(case / "out")
        before = _entries(case / "in")
        _reset_peak()
        start = time.monotonic()
        code, error = _call(words, case)
        seconds, peak = time.monotonic() - start, _peak_bytes()
        stderr = (case / "err").read_text(errors="replace")
        outcome, message = _judged(code, error, stderr)
        left = [
            str(path.relative_to(case)) for path in _new(case, before, changeable, code)
        ]
        if outcome in ("refused", "usage") and left:
            outcome, message = (
                "PARTIAL",
                f"left behind: {', '.join(left[:5])}; {message}",
            )
        if outcome == "ok":
            stdout = (case / "stdout").read_text(errors="replace")
            if reason := not_finite(case / "out", stdout):
                outcome, message = "NOT FINITE", reason
        if peak > BYTES or "allocate" in message or "out of memory" in message:
            outcome = "MEMORY"
        return Outcome(
            index, self.kind(index), outcome, words, message, seconds, peak / 1e6
        )


def _call(words: list[str], case: Path) -> tuple[int, BaseException | None]:
    """Run the command with its output in files; return its exit code, or what it raised."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    sys.stdout.flush()
    for (number, _), name in zip(kept, ("stdout", "err"), strict=True):
        stream = os.open(case / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = ["cinn-clusters", *words]
    kept_streams = sys.stdout, sys.stderr
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    try:
        cli.main()
    except SystemExit as stop:
        return (stop.code if isinstance(stop.code, int) else 1), None
    except BaseException as error:  # what a user would see as a traceback
        return 1, error
    else:
        return 0, None
    finally:
        sys.stdout.close()
        sys.stderr.close()
        sys.stdout, sys.stderr = kept_streams
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


def _judged(code: int, error: BaseException | None, stderr: str) -> tuple[str, str]:
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "cinn_clusters" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
        reason = str(error).replace("\n", " ")[:300]
        return "TRACEBACK", f"{type(error).__name__} in {place}: {reason}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if code == 0:
        return "ok", ""
    if "Traceback" in stderr or "internal error" in stderr:
        return "TRACEBACK", stderr[-300:]
    if code == 2 and "Usage:" in stderr:
        return "usage", " ".join(re.sub(r"[─│╭╮╰╯]", " ", stderr).split())[-300:]
    is_leak = code == 1 and "leaks: " in last
    if (
        code == 1
        and (is_leak or last.startswith("error: "))
        and len(last) < LONGEST_ERROR
    ):
        return "refused", last
    return "UNCLEAR", f"exit {code}: {stderr[-600:]}"


def _entries(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _new(case: Path, before: set[Path], changeable: set[Path], code: int) -> list[Path]:
    """What stands beside the inputs, or as output, after an input that was not answered."""
    after = _entries(case / "in") - before
    if code != 0:
        after |= _entries(case / "out")
    return sorted(
        path for path in after
        if not changeable.intersection(path.parents) or path.name.endswith(".tmp")
    )  # fmt: skip


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def _cpu_seconds(pid: int) -> float:
    """Seconds of a processor that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(campaign: Campaign, indices: Sequence[int], pipe: int) -> None:
    """Run inputs in a forked process; a line before and a line after each."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    with os.fdopen(pipe, "w") as stream:
        for index in indices:
            print(index, file=stream, flush=True)
            outcome = campaign.run(index)
            print(json.dumps(asdict(outcome)), file=stream, flush=True)
            if outcome.outcome in ("ok", "refused", "usage"):
                _remove(campaign.work / f"{index}")


def _remove(folder: Path) -> None:
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """A forked process with inputs left to do."""

    def __init__(self, campaign: Campaign, indices: list[int]) -> None:
        self.left = indices
        self.buffer = b""
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            try:
                _work(campaign, indices, writing)
            except BaseException:  # a fault of the campaign itself
                traceback.print_exc()
                os._exit(70)
            os._exit(0)
        os.close(writing)
        self.pipe = reading
        self.begin()

    def begin(self) -> None:
        """Start both clocks of an input."""
        self.since, self.cpu_since = time.monotonic(), _cpu_seconds(self.pid)

    @property
    def is_late(self) -> bool:
        """Whether an input works, or sleeps on a machine of any load, for too long."""
        waited = time.monotonic() - self.since
        worked = _cpu_seconds(self.pid) - self.cpu_since
        return waited > SECONDS and (worked > SECONDS or waited > ASLEEP)

    def read(self) -> list[Outcome] | None:
        """Outcomes that have come since; None at the end."""
        data = os.read(self.pipe, 1 << 20)
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        outcomes = []
        for line in lines:
            self.begin()
            if line.startswith(b"{"):
                outcomes.append(Outcome(**json.loads(line)))
                self.left.pop(0)
        return outcomes if data else None

    def kill(self) -> None:
        """End it, whatever it does."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """How it ended."""
        os.close(self.pipe)
        return os.waitpid(self.pid, 0)[1]


def watch(
    campaign: Campaign, indices: Sequence[int], processes: int
) -> Iterator[Outcome]:
    """Run inputs in workers and yield what came of each."""
    batches = [
        list(indices[start : start + BATCH]) for start in range(0, len(indices), BATCH)
    ]
    selector = selectors.DefaultSelector()
    running: dict[int, _Worker] = {}

    def start() -> None:
        while batches and len(running) < processes:
            worker = _Worker(campaign, batches.pop(0))
            running[worker.pipe] = worker
            selector.register(worker.pipe, selectors.EVENT_READ)

    start()
    try:
        yield from _watched(campaign, selector, running, batches, start)
    finally:
        for worker in running.values():
            worker.kill()


def _watched(
    campaign: Campaign,
    selector: selectors.BaseSelector,
    running: dict[int, _Worker],
    batches: list[list[int]],
    start: Callable[[], None],
) -> Iterator[Outcome]:
    """Yield outcomes as they come; a worker that died or is late is replaced."""
    while running:
        ready = [key.fd for key, _ in selector.select(timeout=1.0)]
        for pipe, worker in list(running.items()):
            is_late = worker.is_late
            if is_late:
                worker.kill()
            outcomes = worker.read() if pipe in ready or is_late else []
            yield from outcomes or ()
            if outcomes is not None and not is_late:
                continue
            selector.unregister(pipe)
            del running[pipe]
            status = worker.wait()
            if worker.left:
                index = worker.left.pop(0)
                words = _line_of(campaign, index)
                how = "HANG" if is_late else "CRASH"
                seconds = SECONDS if is_late else 0.0
                yield Outcome(
                    index, campaign.kind(index), how, words, f"status {status}", seconds
                )
                if worker.left:
                    batches.insert(0, worker.left)
            start()


def _line_of(campaign: Campaign, index: int) -> list[str]:
    twin = Campaign(campaign.corpus, campaign.work / "twin", campaign.seed)
    twin.names = campaign.names
    shutil.rmtree(twin.work, ignore_errors=True)
    return twin.make(index)[1]


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts of outcomes by kind, as Markdown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        counts[outcome.kind][outcome.outcome] += 1
        counts["**all**"][outcome.outcome] += 1
    last = counts.pop("**all**")
    lines = [
        f"| kind | {' | '.join(OUTCOMES)} |",
        "|---" + "|---:" * len(OUTCOMES) + "|",
    ]
    for kind, row in [*counts.items(), ("**all**", last)]:
        lines.append(f"| {kind} | {' | '.join(str(row[name]) for name in OUTCOMES)} |")
    return "\n".join(lines)


def is_right(outcome: Outcome) -> bool:
    """Whether an input was answered or refused as it should be."""
    return outcome.outcome in ("ok", "refused", "usage")


def warm_up() -> None:
    """Import what the lines need, once."""
    torch.set_num_threads(1)
    import umap  # noqa: F401

    import cinn_clusters.pipeline.report.page
    import cinn_clusters.pipeline.workflow  # noqa: F401


def main() -> None:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="One kind.")
    parser.add_argument("--replay", type=int, help="Run one input in this process.")
    parser.add_argument("--corpus", type=Path, help="Inputs made before.")
    parser.add_argument("--out", type=Path, default=Path("fuzz-report"))
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    corpus = (arguments.corpus or out / "corpus").resolve()
    if not corpus.exists():
        build(corpus)
    work = Path(tempfile.mkdtemp(prefix="cases-", dir=out))
    campaign = Campaign(corpus, work, arguments.seed, arguments.only)
    warm_up()
    if arguments.replay is not None:
        print(json.dumps(asdict(campaign.run(arguments.replay)), indent=1))
        return
    start = time.monotonic()
    outcomes = []
    for outcome in watch(campaign, range(arguments.number), arguments.processes):
        outcomes.append(outcome)
        if not is_right(outcome):
            print(
                f"{outcome.index} {outcome.kind}: {outcome.outcome} {outcome.message[:200]}"
            )
    _report(
        sorted(outcomes, key=lambda one: one.index),
        out,
        time.monotonic() - start,
        arguments,
    )


def _report(outcomes: list[Outcome], out: Path, seconds: float, arguments: Any) -> None:
    wrong = [outcome for outcome in outcomes if not is_right(outcome)]
    replay = f"python -m fuzz.campaign --seed {arguments.seed} --replay"
    if arguments.only:
        replay = replay.replace("--replay", f"--only '{arguments.only}' --replay")
    slowest = max(outcomes, key=lambda one: one.seconds)
    largest = max(outcomes, key=lambda one: one.megabytes)
    facts = (
        f"{len(outcomes)} inputs, seed {arguments.seed}, {seconds:.0f} s in {arguments.processes}"
        f" processes; slowest {slowest.seconds:.1f} s ({slowest.kind}), largest"
        f" {largest.megabytes:.0f} MB ({largest.kind}); {len(wrong)} not right"
    )
    text = f"{facts}\n\n{table(outcomes)}\n"
    print(text)
    (out / "report.md").write_text(text)
    values = {
        "facts": facts,
        "wrong": [{**asdict(one), "replay": f"{replay} {one.index}"} for one in wrong],
        "outcomes": [asdict(one) for one in outcomes],
    }
    (out / "report.json").write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
