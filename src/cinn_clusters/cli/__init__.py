"""The command line: parse, call one pipeline function, print. Stages are imported when they are
called.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

from cinn_clusters.claims import reserving
from cinn_clusters.cli import (
    benchmark_commands,
    catalogue_commands,
    console,
    endings,
    infer_command,
    map_commands,
    model_commands,
    observed_commands,
    report_commands,
    run_command,
    score_commands,
)
from cinn_clusters.cli.options import app
from cinn_clusters.errors import CinnError

__all__ = [
    "app",
    "benchmark_commands",
    "catalogue_commands",
    "infer_command",
    "main",
    "map_commands",
    "model_commands",
    "observed_commands",
    "report_commands",
    "run_command",
    "score_commands",
]

_NO_MEMORY = (
    "memory: expected enough of it; got none; ask for less or for smaller files"
)
_OBJECTS_A_COLLECTION = 50_000
"""New objects between two searches for garbage: a sixth of the time of imports goes into those that
Python makes by itself."""
_TOO_DEEP = "input: expected less than a thousand levels of nesting; got more"


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    endings.open_streams()
    try:
        with endings.stopped_by_signals(), reserving(), endings.printed():
            app()
    except CinnError as error:
        _fail(str(error))
    except SystemExit as stop:
        if endings.is_stopped(stop.code):
            console.log("error: interrupted; the same line goes on with a training")
        raise
    except MemoryError:
        _fail(_NO_MEMORY)
    except RecursionError:
        _fail(_TOO_DEEP)
    except OSError as error:
        place, reason = endings.place_of(error), error.strerror or error
        _fail(str(CinnError(place, "to be usable", reason)))


def _fail(line: str) -> NoReturn:
    console.log(f"error: {line}")
    sys.exit(1)
