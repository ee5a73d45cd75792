"""Commands of the original's benchmark."""

from __future__ import annotations

from typing import Annotated

import typer

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AsJson,
    Overwrite,
    RunPath,
    SeedOption,
    Threads,
    app,
    set_threads,
)
from cinn_clusters.files import demand_free
from cinn_clusters.storage.run_paths import RunPaths


@app.command(
    "baseline",
    epilog="Example:  cinn-clusters baseline run && cinn-clusters sensitivity run",
)
def baseline_command(
    run: RunPath,
    members: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Networks; the median of their predictions counts."
        ),
    ] = 7,
    batch: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Rows a step.")
    ] = 256,
    seed: SeedOption = 42,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train the MLP ensemble of the original: point predictions, mean absolute error by target."""
    demand_free(RunPaths(run).baseline.root, overwrite)
    set_threads(threads)
    from cinn_clusters.evaluation.mlp_ensemble import EnsembleOptions
    from cinn_clusters.pipeline.simulation.baseline import baseline

    options = EnsembleOptions(members=members, batch=batch, seed=seed)
    with console.progress("baseline") as on_progress:
        report = baseline(run, options, overwrite=overwrite, on_progress=on_progress)
    results.print_mae(report, as_json)


@app.command(
    "sensitivity", epilog="Example:  cinn-clusters sensitivity run --repeats 50"
)
def sensitivity_command(
    run: RunPath,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, help="Permutations of the test rows to average over."
        ),
    ] = 20,
    refit_members: Annotated[
        int,
        typer.Option(
            min=0, max=1000, help="Members of refitted ensembles; 0: no refit."
        ),
    ] = 3,
    seed: SeedOption = 0,
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Take each observable away and see how much worse every target is predicted."""
    demand_free(RunPaths(run).sensitivity.root, overwrite)
    set_threads(threads)
    from cinn_clusters.pipeline.simulation.sensitivity import sensitivity

    with console.progress("sensitivity") as on_progress:
        matrices = sensitivity(
            run,
            num_repeats=repeats,
            refit_members=refit_members,
            seed=seed,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if "crps_sensitivity_matrix" not in matrices:
        console.log(
            f"note: {run} has no posterior model: the sensitivity of its CRPS is left out"
        )
    results.print_matrix(
        matrices["sensitivity_matrix"], matrices["sensitivity_errors"], as_json
    )
