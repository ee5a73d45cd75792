"""The command line: parse, call one pipeline function, print. Stages are imported when they are called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From what a survey sees of a galaxy cluster to the posterior of its merger history.\n\n"
    "Stages, in order: [bold]mock[/] (or your own table), [bold]prepare[/], [bold]audit[/], [bold]train[/], "
    "[bold]evaluate[/], [bold]crossval[/], [bold]infer[/].\n\n"
    "Example:  cinn-clusters mock --out mock && cinn-clusters prepare --observables mock/observables1.csv "
    "--targets mock/unobservables1.csv --out run && cinn-clusters train run",
)


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
Draws = Annotated[int, typer.Option(min=1, help="Posterior draws an object.")]


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
    cluster_column: Annotated[str, typer.Option(help="Column that identifies a cluster.")] = "HaloOrigID",
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
        observables=_names(x_columns) or schema.DEFAULT_OBSERVABLES,
        targets=_names(y_columns) or schema.DEFAULT_TARGETS,
        cluster_column=cluster_column,
        protocol=protocol.value,
        seed=seed,
        drop_incomplete=drop_incomplete,
        allow_atypical=allow_atypical,
        overwrite=overwrite,
    )
    if run.is_original:
        _log("warning: --protocol original leaks: rows of test clusters stand in training (see cinn-clusters audit)")
    _print_account(run.record, as_json)


@app.command(epilog="Example:  cinn-clusters audit run")
def audit(run: RunPath, as_json: AsJson = False) -> None:
    """Count test clusters, target vectors and projections that stand in training; exit 1 when any does."""
    from cinn_clusters.data.audit import audit_split
    from cinn_clusters.pipeline.run import open_run

    opened = open_run(run)
    overlaps = audit_split(opened.catalogue, opened.split)
    if as_json:
        print(json.dumps({o.what: {"shared": o.shared, "total": o.total, "percent": o.percent} for o in overlaps}))
    else:
        for overlap in overlaps:
            print(f"{overlap.what:<45}{overlap.shared:>6} of {overlap.total:<6}{overlap.percent:>6.1f} % in training")
    if any(overlap.shared for overlap in overlaps):
        _log(f"{run}: leaks: what the test set judges was seen in training; prepare with --protocol cluster")
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

    with _progress("train", settings.train.epochs) as advance:
        done = stage(run, settings, device=device, resume=resume, overwrite=overwrite, on_epoch=lambda s: advance(s))
    result = {
        "model": str(done.model),
        "epochs": done.epochs,
        "validation_nll": done.best_loss,
        "resumed_at": done.resumed_at,
    }
    _print_values(result, as_json)


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

    _print_scores(stage(run, num_draws=draws, seed=seed, device=device, overwrite=overwrite), as_json)


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

    with _progress("crossval", folds * settings.train.epochs) as advance:
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
    _print_scores(scores, as_json)


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

    with _progress("infer", None) as advance:
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
        _log(f"{catalogue}, line {row.line}: not answered: {row.reason}")
    result = {
        "posterior": str(done.posterior),
        "summary": str(done.summary),
        "objects": done.num_objects,
        "rejected": len(done.rejected),
    }
    _print_values(result, as_json)


@app.command(epilog="Example:  cinn-clusters show run/model")
def show(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.", metavar="BUNDLE")], as_json: AsJson = False
) -> None:
    """Print where a model comes from: data, split, settings, versions."""
    from cinn_clusters.pipeline.model import describe_bundle

    info = describe_bundle(bundle)
    if as_json:
        print(json.dumps(info))
        return
    for section in ("format_version", "num_parameters", "versions", "provenance", "config"):
        print(_indented(section, info[section]))
    inputs = [entry["name"] for entry in info["transforms"]["observables"]]
    targets = [entry["name"] for entry in info["transforms"]["targets"]]
    for title, names in (("observables", inputs), ("targets", targets)):
        print(f"{title}:")
        for name in names:
            column = info["columns"][name]
            print(f"  {name:<24}{column['unit'] or '-':<20}{column['meaning']}")


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    from cinn_clusters.errors import CinnError

    try:
        app()
    except CinnError as error:
        _log(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _log("error: interrupted; a training can be resumed with --resume")
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _log(line: str) -> None:
    print(line, file=sys.stderr)


def _set_threads(threads: int) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(threads)


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=total)

        def advance(state: Any, part: str = "", before: int = 0, step: int = 1) -> None:
            if state is None:
                bar.advance(task, step)
                return
            _, train_nll, held_out = state.history[-1]
            told = f"{part or title}  NLL train {train_nll:.3f}  validation {held_out:.3f}"
            bar.update(task, completed=before + state.epoch, description=told)

        yield advance
        bar.update(task, total=bar.tasks[0].completed, completed=bar.tasks[0].completed)


def _print_account(record: dict[str, Any], as_json: bool) -> None:
    rows = {part: len(numbers) for part, numbers in record["rows"].items()}
    if as_json:
        told = {key: record[key] for key in ("protocol", "rows_read", "dropped", "num_clusters", "table_sha256")}
        print(json.dumps({**told, "num_rows": rows}))
        return
    print(f"{record['rows_read']:>6} rows in both files")
    for entry in record["dropped"]:
        clusters = f", of {entry['clusters']} clusters" if entry["clusters"] >= 0 else ""
        print(f"{entry['rows']:>6} dropped: {entry['reason']}{clusters}")
    print(f"{sum(rows.values()):>6} rows used: posteriors are conditional on a recorded collision")
    for part, count in rows.items():
        print(f"{count:>6} {part}, {record['num_clusters'][part]} clusters")


def _print_values(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(values))
        return
    for key, value in values.items():
        print(f"{key:<16}{value:.4f}" if isinstance(value, float) else f"{key:<16}{value}")


def _indented(title: str, value: Any, depth: int = 0) -> str:
    pad = "  " * depth
    if isinstance(value, dict):
        return "\n".join([f"{pad}{title}:", *(_indented(key, inner, depth + 1) for key, inner in value.items())])
    return f"{pad}{title}: {value}"


def _print_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    nll = scores["nll"]
    print(f"{scores['rows']} rows of {scores['clusters']} clusters, {scores['draws']} draws each")
    table = Table(title="Lower is better; +- by bootstrap over clusters", title_justify="left")
    for head in ("", "this model", *scores["skill"]):
        table.add_column(head)
    references = scores["skill"].values()
    for name, title in (("energy_score", "energy score"), ("crps", "CRPS")):
        ours = f"{scores[name]['mean']:.4f} +- {scores[name]['se']:.4f}"
        skill = "energy_skill" if name == "energy_score" else "crps_skill"
        table.add_row(title, ours, *(f"{r[name]:.4f} (skill {r[skill]:+.3f})" for r in references))
    told = f"{nll['mean']:.3f} +- {nll['se']:.3f}" if nll["mean"] is not None else f"{nll['rows_outside']} rows outside"
    table.add_row("NLL, dequantised", told)
    table.add_row("calibration error", f"{scores['calibration_error']:.4f}")
    table.add_row("levels outside 99 % band", f"{scores['coverage_outside_99_band']:.3f}")
    table.add_row("unphysical draws", f"{scores['unphysical']:.4f}")
    console.print(table)
    detail = Table("target", "CRPS", "68 % coverage", "contraction")
    for target, crps in scores["crps_per_target"].items():
        coverage, contraction = scores["coverage_68"][target], scores["contraction"][target]
        detail.add_row(target, f"{crps:.4f}", f"{coverage:.3f}", f"{contraction:.3f}")
    console.print(detail)


if __name__ == "__main__":
    main()
