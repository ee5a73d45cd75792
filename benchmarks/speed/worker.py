"""One contender in a process of its own: it is set up, then works whenever it is told to.

    python worker.py rivals:freia_batched '{"num_observables": 7}' 0.3

A contender is a function of options that returns a function that works and returns the number of units
done. Lines on standard input are turns; each is answered by a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable

Work = Callable[[], float]


def cpu_seconds() -> float:
    """CPU seconds of this process and of the processes it has waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def peak_megabytes(is_command: bool) -> float:
    """Largest resident memory of this process, or of the commands that it has waited for."""
    whose = resource.RUSAGE_CHILDREN if is_command else resource.RUSAGE_SELF
    return resource.getrusage(whose).ru_maxrss / 1024.0


def turn(work: Work, repeats: int, is_command: bool) -> dict[str, float]:
    """Work a number of times."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    units = sum(work() for _ in range(repeats))
    return {
        "units": units,
        "cpu": cpu_seconds() - cpu,
        "wall": time.perf_counter() - wall,
        "peak": peak_megabytes(is_command),
    }


def main() -> None:
    name, options, least_seconds = sys.argv[1:]
    module, function = name.split(":")
    is_command = function in ("command", "python")
    warnings.simplefilter("ignore")
    # what contenders print is not an answer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, float | str]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        work: Work = getattr(importlib.import_module(module), function)(
            **json.loads(options)
        )
        first = turn(work, 1, is_command)
    except ImportError as error:
        answer({"missing": str(error)})
        return
    answer(first)
    once = first["cpu"]
    if once < float(least_seconds):
        once = turn(work, 1, is_command)[
            "cpu"
        ]  # the first is slower: it compiles, and fills caches
    repeats = max(1, round(float(least_seconds) / max(once, 1e-3)))
    for _ in sys.stdin:
        answer(turn(work, repeats, is_command))


if __name__ == "__main__":
    main()
