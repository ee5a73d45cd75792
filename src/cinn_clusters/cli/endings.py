"""How the command ends: quietly where nobody listens, in one line where a signal stops it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from cinn_clusters.errors import OutputError

_STOPPED = 128
"""Exit codes of a process that a signal stopped begin here."""
_SIGNALS = signal.SIGTERM, signal.SIGHUP


class StoppedError(SystemExit):
    """A signal asks the process to end."""


def stop_on_signals() -> None:
    """Let signals that end a process unwind it first, so that no scratch file stays."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise StoppedError(_STOPPED + number)


def open_streams() -> None:
    """Make both streams take any text, and give closed ones a place that takes all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _silence())
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


@contextmanager
def printed() -> Iterator[None]:
    """Demand that all that was printed in the block arrives; a reader who left is no error.

    Raises:
        OutputError: If stdout cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _mute(sys.stdout)
        sys.exit(1)
    except OSError as error:
        if error.filename is None and not _takes_bytes(sys.stdout):
            _mute(sys.stdout)
            expected, reason = "to take the result", error.strerror or str(error)
            raise OutputError("standard output", expected, reason) from error
        raise


def _takes_bytes(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _mute(stream: TextIO) -> None:
    """Let what is still to be printed go nowhere, so that closing the stream does not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_stopped(code: object) -> bool:
    """Return whether an exit code says that a signal stopped the process."""
    return code in {_STOPPED + number for number in (signal.SIGINT, *_SIGNALS)}
