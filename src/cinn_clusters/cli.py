"""The command line: parse, call one pipeline function, print. Stages are imported when they are called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters import console
from cinn_clusters.options import (
    AsJson,
    Changes,
    ClusterColumn,
    ConfigPath,
    Device,
    Draws,
    Overwrite,
    Protocol,
    RunPath,
    Seed,
    Threads,
)

INTERRUPTED = 130
"""Exit code that typer makes of Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From what a survey sees of a galaxy cluster to the posterior of its merger history.\n\n"
    "Stages, in order: [bold]mock[/] (or your own table), [bold]prepare[/], [bold]audit[/], [bold]train[/], "
    "[bold]evaluate[/], [bold]crossval[/], [bold]diagnose[/], [bold]infer[/].\n\n"
    "Example:  cinn-clusters mock --out mock && cinn-clusters prepare --observables mock/observables1.csv "
    "--targets mock/unobservables1.csv --out run && cinn-clusters train run",
)


@app.command(epilog="Example:  cinn-clusters mock --clusters 350 --seed 1 --out mock")
def mock(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    clusters: Annotated[int, typer.Option(help="Clusters, each at 8 snapshots.")] = 350,
    seed: Seed = 1,
    overwrite: Overwrite = False,
) -> None:
    """Write an embedded catalogue with known histories: the same two CSV files as the simulation's."""
    from cinn_clusters.pipeline.mock import write_mock

    for path in write_mock(out, num_clusters=clusters, seed=seed, overwrite=overwrite):
        print(path)


@app.command(
    epilog="Example:  cinn-clusters prepare --observables observables1.csv --targets unobservables1.csv --out run"
)
def prepare(
    observables: Annotated[Path, typer.Option(help="CSV: HaloID, Snapshot, cluster column, observables.")],
    targets: Annotated[Path, typer.Option(help="CSV: HaloID, Snapshot, targets.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    x_columns: Annotated[str | None, typer.Option(help="Observables, comma-separated; default: the seven.")] = None,
    y_columns: Annotated[str | None, typer.Option(help="Targets, comma-separated; default: the six.")] = None,
    cluster_column: ClusterColumn = "HaloOrigID",
    protocol: Annotated[Protocol, typer.Option(help="original: the published split, which leaks.")] = Protocol.cluster,
    seed: Seed = 42,
    drop_incomplete: Annotated[bool, typer.Option(help="Drop rows with missing values, not refuse them.")] = False,
    allow_atypical: Annotated[bool, typer.Option(help="Accept medians that tell of another unit.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Join, validate and split a catalogue; every dropped row is accounted for."""
    from cinn_clusters import schema
    from cinn_clusters.pipeline.prepare import prepare as stage

    run = stage(
        observables,
        targets,
        out,
        observables=_names(x_columns, schema.DEFAULT_OBSERVABLES),
        targets=_names(y_columns, schema.DEFAULT_TARGETS),
        cluster_column=cluster_column,
        protocol=protocol.value,
        seed=seed,
        drop_incomplete=drop_incomplete,
        allow_atypical=allow_atypical,
        overwrite=overwrite,
    )
    if run.is_original:
        console.log(
            "warning: --protocol original leaks: rows of test clusters stand in training (see cinn-clusters audit)"
        )
    console.print_account(run.record, as_json)


@app.command(epilog="Example:  cinn-clusters audit run")
def audit(run: RunPath, as_json: AsJson = False) -> None:
    """Count test clusters, target vectors and projections that stand in training; exit 1 when any does."""
    from cinn_clusters.data.audit import audit_split
    from cinn_clusters.pipeline.run import open_run

    opened = open_run(run)
    overlaps = audit_split(opened.catalogue, opened.split)
    console.print_overlaps(overlaps, as_json)
    if any(overlap.shared_with_validation for overlap in overlaps):
        console.log(f"{run}: leaks: what the test set judges was seen in training; prepare with --protocol cluster")
        raise typer.Exit(1)


@app.command(epilog="Example:  cinn-clusters train run --config configs/glow.toml --set train.epochs=100")
def train(
    run: RunPath,
    config: ConfigPath = None,
    change: Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of a killed training.")] = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train the posterior model of a run."""
    from cinn_clusters.pipeline.config import read_config

    settings = read_config(config, change or [])
    _set_threads(threads)
    from cinn_clusters.pipeline.train import train as stage

    with console.progress("train", settings.train.epochs) as advance:
        done = stage(run, settings, device=device, resume=resume, overwrite=overwrite, on_epoch=lambda s: advance(s))
    if done.resumed_at == done.epochs:
        console.log(f"{run}: the training was already complete")
    result = {"model": str(done.model), "epochs": done.epochs, "validation_nll": done.best_loss}
    result |= {"resumed_at": done.resumed_at}
    console.print_values(result, as_json)


@app.command(epilog="Example:  cinn-clusters evaluate run")
def evaluate(
    run: RunPath,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Score the model of a run on its test clusters, beside references without a network."""
    _set_threads(threads)
    from cinn_clusters.pipeline.evaluate import evaluate as stage

    with console.progress("evaluate", None) as advance:
        scores = stage(
            run, num_draws=draws, seed=seed, device=device, overwrite=overwrite,
            on_objects=lambda count: advance(None, step=count),
        )  # fmt: skip
    console.print_scores(scores, as_json)


@app.command(epilog="Example:  cinn-clusters crossval run --folds 5")
def crossval(
    run: RunPath,
    folds: Annotated[int, typer.Option(help="Folds of clusters.")] = 5,
    config: ConfigPath = None,
    change: Changes = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Judge every cluster by a model that has not seen it; writes the out-of-fold posterior."""
    from cinn_clusters.pipeline.config import read_config

    settings = read_config(config, change or [])
    _set_threads(threads)
    from cinn_clusters.pipeline.crossval import crossval as stage

    with console.progress("crossval", folds * settings.train.epochs) as advance:
        scores = stage(
            run,
            settings,
            num_folds=folds,
            num_draws=draws,
            seed=seed,
            device=device,
            overwrite=overwrite,
            on_epoch=lambda fold, state: advance(state, f"fold {fold + 1}/{folds}", fold * settings.train.epochs),
        )
    console.print_scores(scores, as_json)


@app.command(epilog="Example:  cinn-clusters diagnose run/crossval/posterior.nc")
def diagnose(
    posterior: Annotated[Path, typer.Argument(help="netCDF file (ArviZ layout), of any model.", metavar="POSTERIOR")],
    targets: Annotated[Path | None, typer.Option(help="CSV of the histories; not needed in a run.")] = None,
    observables: Annotated[Path | None, typer.Option(help="CSV of the observables; not needed in a run.")] = None,
    cluster_column: ClusterColumn = "HaloOrigID",
    out: Annotated[Path | None, typer.Option(help="JSON file; default: diagnostics.json beside POSTERIOR.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a posterior is calibrated, and whether it says anything; bands resample clusters."""
    from cinn_clusters.pipeline.diagnose import diagnose as stage

    report = stage(
        posterior, targets=targets, observables=observables, cluster_column=cluster_column, out=out,
        seed=seed, overwrite=overwrite,
    )  # fmt: skip
    console.print_diagnosis(report, as_json)


@app.command(epilog="Example:  cinn-clusters infer --model run/model --catalogue my.csv --out posterior.nc")
def infer(
    model: Annotated[Path, typer.Option(help="A bundle, e.g. run/model.")],
    catalogue: Annotated[Path, typer.Option(help="CSV with the observables of the model.")],
    out: Annotated[Path, typer.Option(help="netCDF file for the samples (ArviZ layout).")],
    summary: Annotated[Path | None, typer.Option(help="CSV or ECSV; default: beside --out.")] = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse the catalogue if a row cannot be used.")] = False,
    map_: Annotated[bool, typer.Option("--map/--no-map", help="Find the joint mode of each posterior.")] = True,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Posterior of the merger history of every object of a catalogue."""
    _set_threads(threads)
    from cinn_clusters.pipeline.infer import infer as stage

    with console.progress("infer", None) as advance:
        done = stage(
            model,
            catalogue,
            out,
            summary=summary,
            num_draws=draws,
            seed=seed,
            strict=strict,
            with_mode=map_,
            device=device,
            overwrite=overwrite,
            on_objects=lambda count: advance(None, step=count),
        )
    for row in done.rejected:
        console.log(f"{catalogue}, line {row.line}: not answered: {row.reason}")
    result = {"posterior": str(done.posterior), "summary": str(done.summary)}
    counts = {"objects": done.num_objects, "rejected": len(done.rejected)}
    console.print_values({**result, **counts}, as_json)


@app.command(epilog="Example:  cinn-clusters show run/model")
def show(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.", metavar="BUNDLE")], as_json: AsJson = False
) -> None:
    """Print where a model comes from: data, split, settings, versions."""
    from cinn_clusters.pipeline.model import describe_bundle

    console.print_bundle(describe_bundle(bundle), as_json)


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


def _names(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _set_threads(threads: int) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
