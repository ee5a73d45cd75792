"""Arguments and options that commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Protocol(StrEnum):
    """How to split."""

    cluster = "cluster"
    original = "original"


RunPath = Annotated[Path, typer.Argument(help="Folder of a prepared run.", metavar="RUN")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that stand there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[str, typer.Option(help="auto (CUDA when present), cpu, cuda, cuda:1, ...")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of torch; small flows gain nothing from more.")]
ConfigPath = Annotated[Path | None, typer.Option("--config", help="TOML file, e.g. configs/glow.toml.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: train.epochs=50 (repeatable).")]
Seed = Annotated[int, typer.Option(min=0, help="Seed.")]
Draws = Annotated[int, typer.Option(min=2, help="Posterior draws an object.")]
ClusterColumn = Annotated[str, typer.Option(help="Column that identifies a cluster.")]
