"""The command that answers for a catalogue."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cinn_clusters.cli import console
from cinn_clusters.cli.options import (
    AllowAtypical,
    AsJson,
    Device,
    Draws,
    Overwrite,
    Seed,
    Threads,
    app,
    both,
    set_threads,
)


class Ood(StrEnum):
    """What to do with objects to which the model may not apply."""

    keep = "keep"
    flag = "flag"
    refuse = "refuse"


class Projections(StrEnum):
    """What to make of several maps of one object."""

    average = "average"
    each = "each"


class ErrorsBy(StrEnum):
    """How errors of observables enter."""

    network = "network"
    monte_carlo = "monte-carlo"


WARNING = 0.01
"""p of the sample test below which it warns."""
EXAMPLES = """Examples:  cinn-clusters infer --catalogue my.fits --preset erass1 --out posterior.nc  |
cinn-clusters infer --catalogue my.ecsv --mapping my.toml --ood refuse --table answer.fits --out posterior.nc  |
cinn-clusters infer --model run/model --catalogue simulated.csv --out posterior.nc  |
cinn-clusters infer --model all/combined/model --catalogue simulated.csv --embeddings vectors --out posterior.nc"""


OF_EXACT, OF_ANY = ("summary", "strict", "allow_atypical"), ("table", "ood", "errors", "analogues")
"""Options of models of exact, complete tables only, and of models for observers only."""


@app.command(epilog=EXAMPLES)
def infer(
    context: typer.Context,
    catalogue: Annotated[
        Path, typer.Option(help="CSV, ECSV, FITS, VOTable or Parquet; CSV for exact models.")
    ],
    out: Annotated[Path, typer.Option(help="netCDF file for the samples (ArviZ layout).")],
    model: Annotated[
        Path | None, typer.Option(help="A bundle, e.g. run/model; default: the packaged one.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Published catalogue: erass1, mcxc2, psz2, act_dr5, ...")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="TOML file that says what your columns are.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Your table with columns appended; default: beside --out.")
    ] = None,
    ood: Annotated[
        Ood, typer.Option(help="Where the model may not apply: answer, say so, or refuse.")
    ] = Ood.flag,
    errors: Annotated[
        ErrorsBy, typer.Option(help="Errors told to the network, or drawn.")
    ] = ErrorsBy.network,
    analogues: Annotated[
        Path | None, typer.Option(help="observables1.csv: list each object's nearest.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="CSV or ECSV; default: beside --out. With --model only.")
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help=".npy or a folder of embed encode: vectors of the maps of the catalogue's rows."
        ),
    ] = None,
    filenames: Annotated[
        Path | None, typer.Option(help="Names of the maps, with --embeddings.")
    ] = None,
    projections: Annotated[
        Projections,
        typer.Option(
            help="average: one posterior an object, mixed over its maps; each: one a map."
        ),
    ] = Projections.average,
    draws: Draws = 1000,
    seed: Seed = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse the catalogue if a row cannot be used.")
    ] = False,
    map_: Annotated[
        bool, typer.Option("--map/--no-map", help="Find the joint mode of each posterior.")
    ] = True,
    allow_atypical: AllowAtypical = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Posterior of the merger history of every object of a catalogue: a simulation's, or an
    observer's.
    """
    set_threads(threads)
    if preset and mapping:
        raise typer.BadParameter("--preset and --mapping exclude each other")
    shared: dict[str, Any] = {
        "num_draws": draws,
        "seed": seed,
        "with_mode": map_,
        "device": device,
        "overwrite": overwrite,
    }
    if embeddings is not None:
        if model is None or preset or mapping:
            raise typer.BadParameter(
                "--embeddings needs --model, and neither --preset nor --mapping"
            )
        _demand_none(context, (*OF_ANY, "strict", "map_"), "catalogues without --embeddings")
        del shared["with_mode"]  # a mixture over projections has no mode that is quick to find
        shared |= {
            "summary": summary,
            "average": projections is Projections.average,
            "allow_atypical": allow_atypical,
        }
        _with_maps(model, catalogue, both(embeddings, filenames), out, shared, as_json)
        return
    _demand_none(context, ("filenames", "projections"), "--embeddings")
    if model is None or preset or mapping or _takes_any(model):
        _demand_none(
            context, OF_EXACT, "models of exact, complete tables (trained with train.augment=false)"
        )
        chosen = {"table": table, "ood": ood.value, "errors": errors.value, "analogues": analogues}
        _observe(catalogue, out, model, preset, mapping, {**shared, **chosen}, as_json)
        return
    _demand_none(
        context, OF_ANY, "models for observers (the packaged one, or trained with train.augment)"
    )
    from cinn_clusters.pipeline.inference.infer import infer as stage

    more: dict[str, Any] = {"summary": summary, "strict": strict, "allow_atypical": allow_atypical}
    with console.progress("infer") as on_progress:
        advance = console.counter(on_progress, "infer")
        done = stage(
            model,
            catalogue,
            out,
            on_objects=lambda count: advance(count, "objects"),
            **shared,
            **more,
        )
    _tell(done, catalogue, as_json)


def _with_maps(
    model: Path, catalogue: Path, vectors: Any, out: Path, options: dict[str, Any], as_json: bool
) -> None:
    from cinn_clusters.pipeline.inference.projections import infer_projections

    with console.progress("infer") as on_progress:
        advance = console.counter(on_progress, "infer")
        done = infer_projections(
            model,
            catalogue,
            vectors,
            out,
            on_objects=lambda count: advance(count, "objects"),
            **options,
        )
    _tell(done, catalogue, as_json)


def _tell(done: Any, catalogue: Path, as_json: bool) -> None:
    """Print what became of the rows of a catalogue."""
    for row in done.rejected:
        console.log(f"{catalogue}, line {row.line}: not answered: {row.reason}")
    result = {"posterior": str(done.posterior), "summary": str(done.summary)}
    if done.num_extrapolated:
        log = "objects lie beyond all that was trained on in some observable (num_extrapolated in the summary)"
        console.log(f"note: {done.num_extrapolated} of {done.num_objects} {log}")
    counts = {"objects": done.num_objects, "rejected": len(done.rejected)}
    console.print_values({**result, **counts}, as_json)


def _demand_none(context: typer.Context, names: tuple[str, ...], where: str) -> None:
    """Refuse options that this kind of model would ignore."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"--{name.strip('_').replace('_', '-')} goes with {where}; leave it out here"
            )


def _takes_any(model: Path) -> bool:
    """Whether a model takes any subset of its observables."""
    from cinn_clusters.storage.model import describe_bundle

    return "domain" in describe_bundle(model)


def _observe(
    catalogue: Path,
    out: Path,
    model: Path | None,
    preset: str | None,
    mapping: Path | None,
    options: dict[str, Any],
    as_json: bool,
) -> None:
    from cinn_clusters.catalogues.mapping import read_mapping, read_preset
    from cinn_clusters.pipeline.inference.observe import CONDITIONAL, observe

    meaning = read_preset(preset) if preset else read_mapping(mapping) if mapping else None
    with console.progress("infer") as on_progress:
        advance = console.counter(on_progress, "infer")
        done = observe(
            catalogue,
            out,
            mapping=meaning,
            model=model,
            on_objects=lambda count: advance(count, "objects"),
            **options,
        )
    for line in done.account:
        console.log(f"converted: {line}")
    for reason, count in done.reasons.most_common():
        console.log(f"{count} of {done.num_objects}: {reason}")
    distance, chance = done.discrepancy
    if chance == chance:  # not NaN
        kind = (
            "warning: this sample is not drawn like"
            if chance < WARNING
            else "note: this sample is not told from"
        )
        console.log(f"{kind} the training clusters (MMD^2 {distance:.3f}, p {chance:.3f})")
    console.log(f"note: {CONDITIONAL} (column p_recorded)")
    result: dict[str, Any] = {
        "posterior": str(done.posterior),
        "table": str(done.table),
        "objects": done.num_objects,
    }
    result |= {"answered": done.num_answered, "flagged": done.num_flagged}
    told = zip(("sample_mmd2", "sample_p"), done.discrepancy, strict=True)
    result |= {name: None if value != value else round(value, 6) for name, value in told}
    console.print_values(result, as_json)
