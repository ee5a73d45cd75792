"""What the command line shows while it works, and results that are a few values."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cinn_clusters.progress import OnProgress, Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 4.0
"""Time between two lines of progress where stderr is no terminal."""


def log(line: str) -> None:
    """Print a line on stderr; where nobody can read it, the work goes on."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[OnProgress]:
    """Show on stderr how far work has come: a bar for each work on a terminal, else plain lines.

    Args:
        what: Name of a work that reports none.
        total: Amount of work where a report does not say it.

    Yields:
        The callback of a stage. Nothing is shown before its first call, so that an error that comes
        first stands alone.
    """
    display = _Bars() if sys.stderr.isatty() else _PlainLines()

    def on_progress(state: Progress) -> None:
        display.show(
            replace(state, what=state.what or what, total=state.total or total)
        )

    try:
        yield on_progress
        display.finish()
    finally:
        display.stop()


def counter(
    on_progress: OnProgress, what: str, total: float | None = None
) -> Callable[[float, str], None]:
    """Return a function that adds an amount to what is done, with a note."""
    done = 0.0

    def advance(amount: float = 1, note: str = "") -> None:
        nonlocal done
        done += amount
        on_progress(Progress(done, total, what, note))

    return advance


def _amount(state: Progress) -> str:
    if state.total is None:
        return f"{state.done:g}"
    if state.total <= 1:
        return f"{state.share:.0%}"
    return f"{state.done:.0f}/{state.total:.0f}"


class _PlainLines:
    """A line every few seconds, and the last one of each work."""

    def __init__(self) -> None:
        self._printed_at = time.monotonic()
        self._pending: Progress | None = None

    def show(self, state: Progress) -> None:
        if self._pending and self._pending.what != state.what:
            self._print(self._pending)
        is_due = time.monotonic() - self._printed_at >= SECONDS_BETWEEN_LINES
        self._pending = state
        if is_due or state.share == 1.0:
            self._print(state)

    def finish(self) -> None:
        if self._pending:
            self._print(self._pending)

    def stop(self) -> None:
        self._pending = None

    def _print(self, state: Progress) -> None:
        log("  ".join(filter(None, (state.what, _amount(state), state.note))))
        self._printed_at, self._pending = time.monotonic(), None


class _Bars:
    """A bar of rich for each work."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, state: Progress) -> None:
        self._bars.start()
        if state.what not in self._tasks:
            self._tasks[state.what] = self._bars.add_task(
                state.what, amount="", note=""
            )
        self._bars.update(
            self._tasks[state.what],
            total=state.total,
            completed=state.done,
            amount=_amount(state),
            note=state.note,
        )

    def finish(self) -> None:
        for task in self._bars.tasks:
            self._bars.update(task.id, total=task.completed)

    def stop(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()


def print_values(values: dict[str, Any], as_json: bool) -> None:
    """Print a result, a line a value."""
    if as_json:
        print(json.dumps(values))
        return
    for key, value in values.items():
        print(
            f"{key:<16}{value:.4f}" if isinstance(value, float) else f"{key:<16}{value}"
        )
