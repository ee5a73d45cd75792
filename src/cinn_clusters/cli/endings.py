"""How the command ends: quietly where nobody listens, in one line where a signal stops it."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

_STOPPED = 128
"""Exit codes of a process that a signal stopped begin here."""
_SIGNALS = signal.SIGTERM, signal.SIGHUP


class StoppedError(SystemExit):
    """A signal asks the process to end."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let signals that end a process unwind the block first, so that no scratch file stays."""
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number in _SIGNALS if former[number] is signal.SIG_DFL]
    _handle(ours, _stop)
    try:
        yield
    finally:
        _handle(ours, signal.SIG_DFL)


def _handle(numbers: list[signal.Signals], handler: Any) -> None:
    for number in numbers:
        with suppress(ValueError):  # which only the main thread may do
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise StoppedError(_STOPPED + number)


def open_streams() -> None:
    """Make both streams take any text, and give closed ones a place that takes all."""
    for number in range(3):
        _occupy(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _occupy(number: int) -> None:
    """Open a standard descriptor that is closed, so that no file of ours becomes it."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


@contextmanager
def printed() -> Iterator[None]:
    """Demand that all that was printed in the block arrives; a reader who left is no error."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _mute(sys.stdout)
        sys.exit(1)
    except OSError:
        _mute(sys.stdout)
        raise


def _mute(stream: TextIO) -> None:
    """Let what is still to be printed go nowhere, so that closing the stream does not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def place_of(error: OSError) -> str:
    """Return what an error of the system is about."""
    if error.filename:
        return os.fsdecode(error.filename)
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "the working folder"
    return "standard output"


def is_stopped(code: object) -> bool:
    """Return whether an exit code says that a signal stopped the process."""
    return code in {_STOPPED + number for number in (signal.SIGINT, *_SIGNALS)}
