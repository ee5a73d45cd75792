"""Commands that train, show and apply a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AsJson,
    Changes,
    ConfigPath,
    Device,
    ObjectiveOption,
    Overwrite,
    RunPath,
    SeedOption,
    Threads,
    app,
    existing,
    existing_bundle,
    input_file,
    output_file,
    output_path,
    set_threads,
)
from cinn_clusters.files import demand_free
from cinn_clusters.storage.run_paths import RunPaths


@app.command(
    "train",
    epilog="Example:  cinn-clusters train run --config glow --set train.epochs=100",
)
def train_command(
    run: RunPath,
    config: ConfigPath = None,
    change: Changes = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the checkpoint of a killed training."
        ),
    ] = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train the posterior model of a run."""
    from cinn_clusters.settings.config import read_config

    settings = read_config(config, change or [])
    if not resume and not RunPaths(run).checkpoint.exists():
        demand_free(RunPaths(run).model, overwrite)
    set_threads(threads)
    from cinn_clusters.pipeline.simulation.train import train

    with console.progress("train") as on_progress:
        done = train(
            run,
            settings,
            device=device,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if done.resumed_at == done.epochs:
        console.log(f"{run}: the training was already complete")
    if done.num_incomplete:
        console.log(
            f"note: {done.num_incomplete} rows with a missing observable left out"
        )
    result = {
        "model": str(done.model),
        "epochs": done.epochs,
        "validation_nll": done.best_loss,
    }
    result |= {"resumed_at": done.resumed_at}
    console.print_values(result, as_json)


@app.command(
    "tune",
    epilog="Example:  cinn-clusters tune run && cinn-clusters train run --config run/tune/best.toml",
)
def tune_command(
    run: RunPath,
    trials: Annotated[int, typer.Option(max=100_000, help="Settings to try.")] = 40,
    objective: Annotated[
        ObjectiveOption, typer.Option(help="Mean score to lower.")
    ] = "crps",
    fold: Annotated[
        int | None,
        typer.Option(help="Leave out this fold of crossval, not the test clusters."),
    ] = None,
    folds: Annotated[int, typer.Option(max=10_000, help="Folds of that crossval.")] = 5,
    inner_folds: Annotated[
        int, typer.Option(max=10_000, help="Folds inside what is left.")
    ] = 4,
    config: ConfigPath = None,
    change: Changes = None,
    seed: SeedOption = 0,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Search for settings inside the training clusters; what --config or --set name is fixed,
    the rest is searched.
    """
    from cinn_clusters.settings.config import read_config

    demand_free(RunPaths(run).tune.root, overwrite)
    read_config(config, change or [])  # refuses wrong settings at once
    set_threads(threads)
    from cinn_clusters.pipeline.simulation.tune import Search, tune

    search = Search(trials, objective, fold, folds, inner_folds, seed)
    with console.progress("tune") as on_progress:
        result = tune(
            run,
            change or [],
            config_path=config,
            search=search,
            device=device,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.print_values(
        {
            objective: result.value,
            "best": str(result.path / "best.toml"),
            "trials": len(result.trials),
        },
        as_json,
    )


@app.command("show", epilog="Example:  cinn-clusters show run/model")
def show_command(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="Folder of a bundle.", metavar="BUNDLE", callback=existing_bundle
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Print where a model comes from: data, split, settings, versions."""
    from cinn_clusters.storage.model import describe_bundle

    results.print_bundle(describe_bundle(bundle), as_json)


@app.command(
    "export", epilog="Example:  cinn-clusters export run/model --out model.onnx"
)
def export_command(
    out: Annotated[Path, output_file("File to make.")],
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of a model; none: that of the package.",
            metavar="MODEL",
            callback=existing_bundle,
            show_default=False,
        ),
    ] = None,
    file_format: Annotated[
        Literal["onnx"], typer.Option("--format", help="Format of the file.")
    ] = "onnx",
    function: Annotated[
        Literal["sample", "log_prob"],
        typer.Option(help="Draw samples from noise, or tell log-densities."),
    ] = "sample",
    without_recalibration: Annotated[
        bool,
        typer.Option(
            "--without-recalibration", help="Export a recalibrated model as trained."
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as a file that other programs run without this package (extra [onnx])."""
    from cinn_clusters.storage.model import load_posterior
    from cinn_clusters.storage.onnx.export import export_onnx

    posterior = load_posterior(model, device="cpu")
    if without_recalibration:
        posterior = posterior.without_recalibration()
    export_onnx(posterior, out, function, overwrite=overwrite)
    result = {
        "file": str(out),
        "format": file_format,
        "function": function,
        "inputs": len(posterior.inputs),
        "targets": len(posterior.targets),
    }
    console.print_values(result, as_json)


@app.command(
    "import-original",
    epilog="Example:  cinn-clusters import-original best_cluster_cinn.pt --processed-dir processed_data --out model",
)
def import_original_command(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="State dict of the original network.",
            metavar="CHECKPOINT",
            callback=existing,
        ),
    ],
    processed_dir: Annotated[Path, input_file("Folder with the scalers of X and Y.")],
    out: Annotated[Path, output_path("Bundle to make.")],
    clamp: Annotated[
        float, typer.Option(help="Clamp of the network, which its state does not tell.")
    ] = 2.0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint of the original scripts into a model that gives the same samples; no code
    of it is run.
    """
    from cinn_clusters.legacy.original import import_original

    posterior = import_original(
        checkpoint, processed_dir, out, clamp=clamp, overwrite=overwrite
    )
    console.log(
        "note: the original trained on its test clusters, and its draws may be unphysical"
    )
    result = {
        "model": str(out),
        "observables": len(posterior.inputs),
        "targets": len(posterior.targets),
    }
    console.print_values(result, as_json)
