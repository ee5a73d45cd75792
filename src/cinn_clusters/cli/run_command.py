"""The command that does everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AllowAtypical,
    AsJson,
    Changes,
    ClusterColumn,
    ConfigPath,
    Device,
    Draws,
    Overwrite,
    Protocol,
    Seed,
    Threads,
    app,
    both,
    input_file,
    set_threads,
)


@app.command(
    epilog="Example:  cinn-clusters run --observables observables1.csv --targets unobservables1.csv --out run"
)
def run(
    observables: Annotated[Path, input_file("CSV: HaloID, Snapshot, cluster column, observables.")],
    targets: Annotated[Path, input_file("CSV: HaloID, Snapshot, targets.")],
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on in.")],
    embeddings: Annotated[
        Path | None,
        typer.Option(help=".npy or a folder of embed encode: a second run in OUT/combined."),
    ] = None,
    filenames: Annotated[
        Path | None, input_file(".npy or text: snap_050_halo_123456_proj_0.jpg, ...")
    ] = None,
    config: ConfigPath = None,
    change: Changes = None,
    cluster_column: ClusterColumn = "HaloOrigID",
    protocol: Annotated[
        Protocol, typer.Option(help="original: the published split, which leaks.")
    ] = Protocol.cluster,
    seed: Seed = 42,
    draws: Draws = 1000,
    refit_members: Annotated[
        int, typer.Option(min=0, help="Of ensembles refitted for ablation; 0: none.")
    ] = 3,
    drop_incomplete: Annotated[
        bool, typer.Option(help="Drop rows with missing values, not refuse them.")
    ] = False,
    allow_atypical: AllowAtypical = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Prepare, train, evaluate, diagnose, baseline, sensitivity, figures, report: what is there
    already is kept.
    """
    from cinn_clusters.settings.config import read_config

    settings = read_config(config, change or [])
    set_threads(threads)
    from cinn_clusters.pipeline.stage import Inputs
    from cinn_clusters.pipeline.workflow import run_workflow

    prepared = {
        "cluster_column": cluster_column,
        "protocol": protocol.value,
        "seed": seed,
        "drop_incomplete": drop_incomplete,
        "allow_atypical": allow_atypical,
    }
    inputs = Inputs(
        observables,
        targets,
        both(embeddings, filenames),
        settings,
        num_draws=draws,
        refit_members=refit_members,
        device=device,
        prepared=tuple(prepared.items()),
    )
    with console.progress("run") as on_progress:
        states = run_workflow(inputs, out, overwrite=overwrite, on_progress=on_progress)
    results.print_stages(states, as_json)
