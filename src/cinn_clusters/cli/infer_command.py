"""The command that infers merger histories for a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cinn_clusters.cli import console
from cinn_clusters.cli.options import (
    app,
    existing,
    existing_bundle,
    free_file,
    map_naming,
    set_threads,
)
from cinn_clusters.files import Destination

if TYPE_CHECKING:
    from cinn_clusters.pipeline.inference.infer import Inferred


OodRule = Literal["keep", "flag", "refuse"]
ProjectionRule = Literal["average", "each"]
_ErrorRule = Literal["network", "monte-carlo"]
_SIGNIFICANT = 0.01
"""p of the sample test below which it warns."""
_EXAMPLES = """Examples:

cinn-clusters infer --catalogue my.fits --preset erass1 --out p.nc

cinn-clusters infer --catalogue my.ecsv --mapping my.toml --out p.nc

cinn-clusters infer --catalogue simulated.csv --out p.nc

cinn-clusters infer --catalogue simulated.csv --embeddings vectors --model run/model --out p.nc"""


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def _hidden(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, hidden=True, **more)


@app.command("infer", epilog=_EXAMPLES)
def infer_command(
    context: typer.Context,
    catalogue: Annotated[
        Path,
        _option("Catalogue", "CSV, ECSV, FITS, VOTable or Parquet.", callback=existing),
    ],
    out: Annotated[
        Path,
        _option(
            "Answer",
            "netCDF file for the posterior samples (ArviZ).",
            callback=free_file,
        ),
    ],
    model: Annotated[
        Path | None,
        _option(
            "Catalogue",
            "A trained model, e.g. run/model; default: the packaged.",
            callback=existing_bundle,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        _option("Catalogue", "Published catalogue: erass1, mcxc2, psz2, act_dr5, ..."),
    ] = None,
    mapping: Annotated[
        Path | None,
        _option(
            "Catalogue", "TOML file that says what your columns are.", callback=existing
        ),
    ] = None,
    mass_offset: Annotated[
        float | None,
        _option(
            "Catalogue",
            "log10 of true over published M500, for that of the preset or mapping.",
            min=-1.0,
            max=1.0,
        ),
    ] = None,
    mass_scatter: Annotated[
        float | None,
        _option("Catalogue", "Scatter about it, in dex.", min=0.0, max=1.0),
    ] = None,
    embeddings: Annotated[
        Path | None,
        _option(
            "Catalogue",
            "Vectors of maps: folder of embed encode, or .npy.",
            callback=existing,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        _option(
            "Answer",
            "Your table, columns appended; default: beside --out.",
            callback=free_file,
        ),
    ] = None,
    ood: Annotated[
        OodRule,
        _option("Answer", "Where the model may not apply: answer, say so, or refuse."),
    ] = "flag",
    analogues: Annotated[
        Path | None,
        _option(
            "Answer",
            "Simulated table: list the most similar rows of it.",
            callback=existing,
        ),
    ] = None,
    map_: Annotated[
        bool, _option("Answer", "Find the maximum a posteriori, too.", "--map/--no-map")
    ] = False,
    major_ratio: Annotated[
        float,
        _option(
            "Answer",
            "p_major_recent: the mass ratio is larger than this.",
            min=0.0,
            max=1.0,
            metavar="RATIO",
        ),
    ] = 0.25,
    recent_gyr: Annotated[
        float,
        _option(
            "Answer",
            "p_major_recent: the collision was within these Gyr.",
            min=0.0,
            metavar="GYR",
        ),
    ] = 2.0,
    num_samples: Annotated[
        int,
        _option(
            "Sampling",
            "Posterior samples of each object.",
            "--samples",
            "--draws",
            min=2,
            max=1_000_000,
            metavar="S",
        ),
    ] = 1000,
    seed: Annotated[
        int, _option("Sampling", "Seed.", min=0, max=2**32 - 1, metavar="N")
    ] = 0,
    errors: Annotated[
        _ErrorRule,
        _option("Sampling", "Condition on errors, or average over realisations."),
    ] = "network",
    mass_prior: Annotated[
        str | None,
        _option(
            "Sampling",
            "True masses: sample, flat or d ln N/d ln M; default: the mapping's.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        _option(
            "Running", "Replace results that stand there.", "--overwrite", is_eager=True
        ),
    ] = False,
    as_json: Annotated[
        bool, _option("Running", "Print the result as JSON.", "--json")
    ] = False,
    filenames: Annotated[
        Path | None, _hidden("Names of the maps, with --embeddings.", callback=existing)
    ] = None,
    name_pattern: Annotated[
        str | None,
        _hidden("Such as 'snap{snapshot}_halo{halo}_{projection}'.", "--name-pattern"),
    ] = None,
    map_snapshot: Annotated[
        str | None, _hidden("Of maps whose names say no snapshot.", "--map-snapshot")
    ] = None,
    projections: Annotated[
        ProjectionRule,
        _hidden("average: mix the maps of an object; each: one answer a map."),
    ] = "average",
    strict: Annotated[
        bool, _hidden("Refuse the catalogue if a row cannot be used.", "--strict")
    ] = False,
    allow_atypical: Annotated[
        bool, _hidden("Accept medians that suggest another unit.", "--allow-atypical")
    ] = False,
    device: Annotated[
        str, _hidden("auto (CUDA when present), cpu, cuda, ...")
    ] = "auto",
    threads: Annotated[int, _hidden("CPU threads of torch.", min=1, max=1024)] = 1,
    kernels: Annotated[
        Literal["auto", "compiled", "reference"],
        _hidden("What draws samples; auto: compiled kernels for 500,000 or more."),
    ] = "auto",
) -> None:
    """Posterior of the merger history of every object of a catalogue, simulated or observed.

    Further options: --filenames --name-pattern --map-snapshot --projections --strict --allow-atypical --device --threads --kernels;
    see docs/catalogues.md.
    """
    _demand_acting(context, preset, mapping, embeddings)
    from cinn_clusters.catalogues.mapping import read_mapping, read_preset

    meaning = None
    if preset is not None:
        meaning = read_preset(preset)
    elif mapping is not None:
        meaning = read_mapping(mapping)
    if meaning is not None and (mass_offset, mass_scatter) != (None, None):
        meaning = meaning.with_mass(mass_offset, mass_scatter)
    set_threads(threads)
    from cinn_clusters.pipeline.inference.answering import InferenceOptions
    from cinn_clusters.pipeline.inference.infer import infer
    from cinn_clusters.posterior.collision import MajorMerger
    from cinn_clusters.posterior.query import Sampling

    options = InferenceOptions(
        table=table,
        ood=ood,
        errors=errors,
        mass_prior=mass_prior,
        projections=projections,
        analogues=analogues,
        with_map=map_,
        strict=strict,
        allow_atypical=allow_atypical,
        naming=map_naming(name_pattern, map_snapshot),
        major=MajorMerger(major_ratio, recent_gyr),
    )
    vectors = (
        embeddings
        if embeddings is None or filenames is None
        else (embeddings, filenames)
    )
    with console.progress("infer") as on_progress:
        inferred = infer(
            catalogue,
            Destination(out, overwrite),
            model=model,
            mapping=meaning,
            embeddings=vectors,
            sampling=Sampling(num_samples, seed, device, kernels),
            options=options,
            on_progress=on_progress,
        )
    _print_result(inferred, as_json)


def _demand_acting(
    context: typer.Context,
    preset: str | None,
    mapping: Path | None,
    embeddings: Path | None,
) -> None:
    """Refuse options that would be ignored."""
    if preset and mapping:
        raise typer.BadParameter("--preset and --mapping exclude each other")
    if preset or mapping:
        _demand_absent(
            context, "allow_atypical", "columns by name: no --preset, no --mapping"
        )
    else:
        for name in ("mass_offset", "mass_scatter"):
            _demand_absent(context, name, "--preset or --mapping")
    if embeddings is None:
        for name in ("filenames", "name_pattern", "map_snapshot", "projections"):
            _demand_absent(context, name, "--embeddings")


def _demand_absent(context: typer.Context, name: str, companion: str) -> None:
    source = context.get_parameter_source(name)
    if source is not None and source.name == "COMMANDLINE":
        option = name.replace("_", "-")
        raise typer.BadParameter(f"--{option} goes with {companion}; leave it out here")


def _print_result(inferred: Inferred, as_json: bool) -> None:
    for line in inferred.conversions:
        console.log(f"converted: {line}")
    for reason, count in inferred.reasons.most_common():
        console.log(f"{count} of {inferred.num_objects}: {reason}")
    distance, p_value = inferred.sample_test
    has_test = p_value == p_value  # not NaN
    if has_test:
        verdict = "note: this sample is compatible with"
        if p_value < _SIGNIFICANT:
            verdict = "warning: this sample is not drawn like"
        console.log(
            f"{verdict} the training clusters (MMD^2 {distance:.3f}, p {p_value:.3f})"
        )
    if inferred.condition:
        columns = "columns selection_probability, record_window_Gyr"
        console.log(f"note: {inferred.condition} ({columns})")
    if inferred.caution:
        console.log(f"note: {inferred.caution} (column p_major_recent)")
    result = {
        "posterior": str(inferred.posterior),
        "table": str(inferred.table),
        "objects": inferred.num_objects,
        "answered": inferred.num_answered,
        "flagged": inferred.num_flagged,
        "sample_mmd2": round(distance, 6) if has_test else None,
        "sample_p": round(p_value, 6) if has_test else None,
    }
    console.print_values(result, as_json)
