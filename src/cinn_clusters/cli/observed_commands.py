"""Commands around observed clusters: public tables, and known clusters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cinn_clusters.cli import console
from cinn_clusters.cli.options import (
    AsJson,
    Draws,
    Overwrite,
    SeedOption,
    Threads,
    app,
    existing_bundle,
    output_path,
    set_threads,
)

PublicTable = Literal["tng-cluster"]
DemoName = Literal["observed"]


@app.command("fetch", epilog="Example:  cinn-clusters fetch tng-cluster --out tng")
def fetch_command(
    table: Annotated[PublicTable, typer.Argument(help="Name of the table.")],
    out: Annotated[Path, output_path("Folder to make.")],
    address: Annotated[
        str | None, typer.Option(help="A mirror of the same file.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Download a public table of a simulation, check its hash, and write the two files of
    prepare (extra [fetch]).
    """
    from cinn_clusters.pipeline.simulation.fetch import SOURCES, fetch

    observables, targets = fetch(table, out, address=address, overwrite=overwrite)
    console.log(f"please cite {SOURCES[table].cite}")
    console.print_values(
        {"observables": str(observables), "targets": str(targets)}, as_json
    )


@app.command("demo", epilog="Example:  cinn-clusters demo observed --out observed")
def demo_command(
    name: Annotated[
        DemoName,
        typer.Argument(
            metavar="NAME", help="observed: known clusters, from published values."
        ),
    ],
    out: Annotated[
        Path, output_path("Folder to make: posterior.nc, clusters.ecsv, figure.")
    ] = Path("observed"),
    model: Annotated[
        Path | None,
        typer.Option(
            help="A trained model; default: the packaged one.", callback=existing_bundle
        ),
    ] = None,
    draws: Draws = 1000,
    seed: SeedOption = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Merger histories of known clusters beside published estimates: a comparison, no truth."""
    set_threads(threads)
    from cinn_clusters.pipeline.inference.demo_observed import demo_observed
    from cinn_clusters.posterior.collision import notes
    from cinn_clusters.posterior.query import Sampling
    from cinn_clusters.schema import DEFAULT

    lines = demo_observed(
        out, model=model, sampling=Sampling(draws, seed), overwrite=overwrite
    )
    if as_json:
        print(json.dumps(lines))
    else:
        for line in lines:
            print(
                "\n".join(f"{key:<28}{value}" for key, value in line.items()),
                end="\n\n",
            )
    for note in notes([DEFAULT.column(target) for target in DEFAULT.targets]).values():
        console.log(f"note: {note}")
    contents = "samples, table, references and a figure"
    console.log(f"{name}: {contents} are in {out}; a comparison, not a truth")
