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
    free,
    free_file,
    map_naming,
    set_threads,
)
from cinn_clusters.cli.results import log_notes, log_sample_test, rounded_test
from cinn_clusters.files import Destination

if TYPE_CHECKING:
    from cinn_clusters.pipeline.inference.answer import InferenceRequest
    from cinn_clusters.pipeline.scale.engines import PartitionOptions


_FOLDERS = (".parquet", ".hats")
"""Endings of results that are answered partition by partition."""
_SCALED = ("engine", "workers", "partition_rows", "pdfs")
_WHOLE = ("table", "embeddings", "filenames", "name_pattern", "map_snapshot")
"""Options of results of either kind."""
EngineName = Literal["local", "dask"]
OodRule = Literal["keep", "flag", "refuse"]
ProjectionRule = Literal["average", "each"]
_ErrorRule = Literal["network", "monte-carlo"]
_EXAMPLES = """Examples:

cinn-clusters infer --catalogue my.fits --preset erass1 --out p.nc

cinn-clusters infer --catalogue my.ecsv --mapping my.toml --out p.nc

cinn-clusters infer --catalogue simulated.csv --out p.nc

cinn-clusters infer --catalogue big.parquet --out answers.parquet --workers 4

cinn-clusters infer --catalogue simulated.csv --embeddings vectors --model run/model --out p.nc"""


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def _free_result(context: typer.Context, path: Path) -> Path:
    if path.suffix in _FOLDERS:
        free(context, path)
    else:
        free_file(context, path)
    return path


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
            "netCDF file for the samples (ArviZ), or NAME.parquet (NAME.hats): a folder of "
            "summaries of a catalogue of any size.",
            callback=_free_result,
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
    engine: Annotated[
        EngineName,
        _option(
            "Scale", "What runs the partitions: this machine, or Dask (docs/scale.md)."
        ),
    ] = "local",
    workers: Annotated[
        int, _option("Scale", "Partitions at once.", min=1, max=4096, metavar="N")
    ] = 1,
    partition_rows: Annotated[
        int, _option("Scale", "Most rows of a partition.", min=1, metavar="N")
    ] = 20_000,
    pdfs: Annotated[
        bool, _option("Scale", "Keep PDFs as quantiles that qp reads, too.", "--pdfs")
    ] = False,
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
    _demand_kind(context, out, catalogue)
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
    from cinn_clusters.posterior.collision import MajorMerger
    from cinn_clusters.posterior.query import Sampling

    sampling = Sampling(num_samples, seed, device, kernels)
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
    destination = Destination(out, overwrite)
    if out.suffix in _FOLDERS:
        from cinn_clusters.pipeline.inference.answer import InferenceRequest
        from cinn_clusters.pipeline.scale.engines import PartitionOptions

        request = InferenceRequest(meaning, sampling, options)
        partitions = PartitionOptions(engine, workers, partition_rows, pdfs)
        result = _infer_folder(catalogue, destination, request, model, partitions)
    else:
        vectors: Any = embeddings
        if embeddings is not None and filenames is not None:
            vectors = embeddings, filenames
        asked: dict[str, Any] = {
            "mapping": meaning,
            "sampling": sampling,
            "options": options,
        }
        asked |= {"model": model, "embeddings": vectors}
        result = _infer_file(catalogue, destination, **asked)
    console.print_values(result, as_json)


def _infer_file(
    catalogue: Path, out: Destination, **asked: Any
) -> dict[str, str | float | None]:
    """Infer samples and a table, say what there is to say, and return the result."""
    from cinn_clusters.pipeline.inference.infer import infer

    with console.progress("infer") as on_progress:
        inferred = infer(catalogue, out, on_progress=on_progress, **asked)
    log_notes(inferred.conversions, inferred.reasons, inferred.num_objects)
    log_sample_test(*inferred.sample_test)
    if inferred.condition:
        columns = "columns selection_probability, record_window_Gyr"
        console.log(f"note: {inferred.condition} ({columns})")
    if inferred.caution:
        console.log(f"note: {inferred.caution} (column p_major_recent)")
    return {
        "posterior": str(inferred.posterior),
        "table": str(inferred.table),
        "objects": inferred.num_objects,
        "answered": inferred.num_answered,
        "flagged": inferred.num_flagged,
        **rounded_test(*inferred.sample_test),
    }


def _infer_folder(
    catalogue: Path,
    out: Destination,
    request: InferenceRequest,
    model: Path | None,
    partitions: PartitionOptions,
) -> dict[str, str | float | None]:
    """Infer summaries partition by partition, say what there is to say, and return the result."""
    from cinn_clusters.pipeline.scale.infer_partitions import infer_partitions

    with console.progress("infer") as on_progress:
        answers = infer_partitions(
            catalogue,
            out,
            request,
            model=model,
            partitions=partitions,
            on_progress=on_progress,
        )
    counts = answers.counts
    log_notes(answers.conversions, counts.reasons, counts.rows)
    log_sample_test(*answers.sample_test)
    return {
        "answers": str(answers.path),
        "objects": counts.rows,
        "answered": counts.answered,
        "flagged": counts.flagged,
        **rounded_test(*answers.sample_test),
    }


def _demand_kind(context: typer.Context, out: Path, catalogue: Path) -> None:
    """Refuse options of the other kind of result, and folders of files where samples are wanted."""
    if out.suffix in _FOLDERS:
        for name in _WHOLE:
            _demand_absent(context, name, "--out NAME.nc")
        return
    for name in _SCALED:
        _demand_absent(context, name, "--out NAME.parquet")
    if catalogue.is_dir():
        raise typer.BadParameter("a folder is answered into --out NAME.parquet")


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
