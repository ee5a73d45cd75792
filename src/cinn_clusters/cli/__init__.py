"""The command line: parse, call one pipeline function, print. Stages are imported when they are
called.
"""

from __future__ import annotations

import os
import sys

from cinn_clusters.cli import (
    benchmark_commands,
    catalogue_commands,
    console,
    infer_command,
    map_commands,
    model_commands,
    observed_commands,
    report_commands,
    run_command,
    score_commands,
)
from cinn_clusters.cli.options import app

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

INTERRUPTED = 130
"""Exit code that typer makes of Ctrl-C."""


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    from cinn_clusters.errors import CinnError

    try:
        app()
    except CinnError as error:
        console.log(f"error: {error}")
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            console.log("error: interrupted; a training can be resumed with --resume")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        console.log(
            f"error: {error.filename or 'file system'}: expected to be usable; got {error.strerror or error}"
        )
        sys.exit(1)
