"""Commands around observed clusters: public tables, and well-known systems."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters.cli import console
from cinn_clusters.cli.options import AsJson, Draws, Overwrite, Seed, Threads, app, set_threads


class Table(StrEnum):
    """A public table."""

    tng_cluster = "tng-cluster"


class Demo(StrEnum):
    """What to show."""

    observed = "observed"


@app.command(epilog="Example:  cinn-clusters fetch tng-cluster --out tng")
def fetch(
    table: Annotated[Table, typer.Argument(help="Name of the table.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    address: Annotated[str | None, typer.Option(help="A mirror of the same file.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Download a public table of a simulation, check its hash, and write the two files of
    prepare (extra [fetch]).
    """
    from cinn_clusters.pipeline.simulation.fetch import SOURCES
    from cinn_clusters.pipeline.simulation.fetch import fetch as stage

    observables, targets = stage(table.value, out, address=address, overwrite=overwrite)
    console.log(f"please cite {SOURCES[table.value].cite}")
    console.print_values({"observables": str(observables), "targets": str(targets)}, as_json)


@app.command(epilog="Example:  cinn-clusters demo observed --out observed")
def demo(
    what: Annotated[
        Demo, typer.Argument(help="observed: well-known clusters, from published values.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to make: posterior.nc, clusters.ecsv, figure.")
    ] = Path("observed"),
    model: Annotated[
        Path | None, typer.Option(help="A model for observers; default: the packaged one.")
    ] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Merger histories of well-known clusters beside published estimates: a comparison, not a
    truth.
    """
    set_threads(threads)
    from cinn_clusters.pipeline.inference.known import demo_observed

    lines = demo_observed(out, model=model, num_draws=draws, seed=seed, overwrite=overwrite)
    if as_json:
        print(json.dumps(lines))
    for line in lines if not as_json else ():
        print("\n".join(f"{key:<28}{value}" for key, value in line.items()), end="\n\n")
    console.log(
        f"{what.value}: samples, table, references and a figure are in {out}; a comparison, not a truth"
    )
