"""Commands that judge a posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters.bundle import demand_bundle
from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AsJson,
    Changes,
    ClusterKey,
    ColumnsPath,
    ConfigPath,
    Device,
    Draws,
    Overwrite,
    RunPath,
    SeedOption,
    Threads,
    app,
    chosen_schema,
    existing,
    input_file,
    output_file,
    set_threads,
)
from cinn_clusters.files import demand_free
from cinn_clusters.storage.run_paths import RunPaths


@app.command("evaluate", epilog="Example:  cinn-clusters evaluate run")
def evaluate_command(
    run: RunPath,
    draws: Draws = 1000,
    seed: SeedOption = 0,
    with_map: Annotated[
        bool, typer.Option("--map", help="Find and score the joint mode (MAP), too.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Score the model of a run on its test clusters, beside references without a network."""
    demand_free(RunPaths(run).posterior, overwrite)
    demand_bundle(RunPaths(run).model)
    set_threads(threads)
    from cinn_clusters.pipeline.simulation.evaluate import evaluate
    from cinn_clusters.posterior.query import Sampling

    with console.progress("evaluate") as on_progress:
        scores = evaluate(
            run,
            Sampling(draws, seed, device),
            with_map=with_map,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    results.print_scores(scores, as_json)


@app.command("crossval", epilog="Example:  cinn-clusters crossval run --folds 5")
def crossval_command(
    run: RunPath,
    folds: Annotated[int, typer.Option(max=10_000, help="Folds of clusters.")] = 5,
    config: ConfigPath = None,
    change: Changes = None,
    draws: Draws = 1000,
    seed: SeedOption = 0,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Score every cluster by a model that has not seen it; writes the out-of-fold posterior."""
    demand_free(RunPaths(run).crossval.root, overwrite)
    from cinn_clusters.settings.config import read_config

    settings = read_config(config, change or [])
    set_threads(threads)
    from cinn_clusters.pipeline.simulation.crossval import crossval
    from cinn_clusters.posterior.query import Sampling

    with console.progress("crossval") as on_progress:
        scores = crossval(
            run,
            settings,
            Sampling(draws, seed, device),
            num_folds=folds,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    results.print_scores(scores, as_json)


@app.command(
    "diagnose", epilog="Example:  cinn-clusters diagnose run/crossval/posterior.nc"
)
def diagnose_command(
    posterior: Annotated[
        Path,
        typer.Argument(
            help="netCDF (ArviZ layout) or npz file, of any model.",
            metavar="POSTERIOR",
            callback=existing,
        ),
    ],
    targets: Annotated[
        Path | None, input_file("CSV of the histories; not needed in a run.")
    ] = None,
    observables: Annotated[
        Path | None,
        input_file(
            "CSV of the observables, for tests against them; not needed in a run."
        ),
    ] = None,
    columns: ColumnsPath = None,
    cluster_column: ClusterKey = None,
    out: Annotated[
        Path | None,
        output_file("JSON file; default: diagnostics.json beside POSTERIOR."),
    ] = None,
    seed: SeedOption = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a posterior is calibrated, and whether it says anything; bands resample
    clusters.
    """
    from cinn_clusters.cli.diagnosis_results import print_diagnosis
    from cinn_clusters.evaluation.matched import TruthFiles
    from cinn_clusters.pipeline.simulation.diagnose import diagnose

    schema = chosen_schema(columns, None, None, cluster=cluster_column)
    files = TruthFiles(targets, observables, schema)
    diagnosis = diagnose(posterior, files, out=out, seed=seed, overwrite=overwrite)
    print_diagnosis(diagnosis, as_json)


@app.command(
    "compare",
    epilog="Example:  cinn-clusters compare run/crossval/posterior.nc other/crossval/posterior.nc",
)
def compare_command(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Posterior files; seeds of one model joined by commas: a0.nc,a1.nc b0.nc,b1.nc",
            metavar="MODEL...",
        ),
    ],
    targets: Annotated[
        Path | None, input_file("CSV of the histories; not needed in a run.")
    ] = None,
    observables: Annotated[
        Path | None, input_file("CSV of the observables; not needed in a run.")
    ] = None,
    columns: ColumnsPath = None,
    cluster_column: ClusterKey = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare the objects that all files hold.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score posteriors of the same objects side by side: paired differences to the first; bands
    resample clusters.
    """
    from cinn_clusters.cli.diagnosis_results import print_comparison
    from cinn_clusters.evaluation.matched import TruthFiles
    from cinn_clusters.pipeline.simulation.compare import compare

    schema = chosen_schema(columns, None, None, cluster=cluster_column)
    files = TruthFiles(targets, observables, schema)
    print_comparison(compare(models, files, with_common=common), as_json)
