"""A catalogue to posteriors: read, assessed, sampled, and given back with columns appended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.catalogues.table_files import write_table
from cinn_clusters.claims import reserving
from cinn_clusters.data.embeddings import KNOWN_NAMING
from cinn_clusters.data.error_models.mass_prior import name_of, slope_of
from cinn_clusters.data.reading.map_names import MapNaming
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import Destination, atomic_file, demand_free, sha256_of
from cinn_clusters.pipeline.inference.analogues import read_analogues
from cinn_clusters.pipeline.inference.assessment import (
    RECORD,
    Assessment,
    Ood,
    answered_views,
    assess,
    count_reasons,
    demand_answers,
)
from cinn_clusters.pipeline.inference.catalogue_query import (
    CatalogueQuery,
    CatalogueSource,
    read_query,
)
from cinn_clusters.pipeline.inference.error_models import (
    ErrorRule,
    with_error_model,
    with_mass_prior,
)
from cinn_clusters.pipeline.inference.map_views import (
    EmbeddingFiles,
    NamedVectors,
    embedding_files,
)
from cinn_clusters.pipeline.inference.mass_used import masses_used
from cinn_clusters.pipeline.inference.result_table import (
    NUM_VIEWS,
    append_columns,
    complete_summary,
    demand_free_columns,
    num_maps,
    table_path,
)
from cinn_clusters.pipeline.inference.write_posterior import (
    PosteriorContent,
    group_views,
    write_posterior,
)
from cinn_clusters.posterior.collision import (
    CAUTION,
    CONDITION,
    MAJOR_MERGER,
    MajorMerger,
    Unconditional,
    notes,
)
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.model import load_model, packaged_model
from cinn_clusters.storage.posterior_file import library_attributes
from cinn_clusters.storage.provenance import with_provenance


@dataclass(frozen=True)
class InferenceOptions:
    """How the rows of a catalogue are treated.

    Args:
        table: Where the catalogue with columns appended goes, in the format of its ending; None:
            beside the posterior, in the catalogue's own.
        ood: ``keep`` answers without looking, ``flag`` answers and says why the model may not
            apply, ``refuse`` does not answer where it may not.
        errors: ``network``: the network is conditioned on the errors; ``monte-carlo``: posteriors
            of realisations of the true observables are mixed.
        mass_prior: Prior of the true masses: ``sample`` (the training clusters'), ``flat`` in log M,
            or a slope d ln N / d ln M; None: what the mapping says.
        projections: ``average`` mixes the posteriors of all maps of a row, ``each`` makes every map
            an object of its own.
        analogues: Table of the simulation, whose most similar rows are listed for each object.
        with_map: Find the maximum a posteriori (MAP) of each posterior, too.
        strict: Refuse the catalogue if a row cannot be used.
        allow_atypical: Accept medians that suggest another unit (columns by name, 20 rows or more).
        major: What counts as a recent major merger, for ``p_major_recent``.
        naming: How the names of maps say whose they are.

    Examples:
        >>> InferenceOptions(ood="refuse").errors
        'network'
    """

    table: str | Path | None = None
    ood: Ood = "flag"
    errors: ErrorRule = "network"
    mass_prior: str | float | None = None
    projections: Literal["average", "each"] = "average"
    analogues: str | Path | None = None
    with_map: bool = False
    strict: bool = False
    allow_atypical: bool = False
    naming: MapNaming = KNOWN_NAMING
    major: MajorMerger = MAJOR_MERGER


@dataclass(frozen=True)
class Inferred:
    """Result of an inference.

    Args:
        posterior: netCDF file of the samples.
        table: The catalogue with columns appended.
        num_objects: Rows of the table.
        num_answered: Those with a posterior.
        num_flagged: Those to which the model may not apply, or with a value that was not used.
        conversions: Log of conversions.
        reasons: How often each reason was given, the values of single rows left out.
        sample_test: MMD^2 of the sample and the training clusters, and its p-value.
        condition: What every posterior is conditional on; empty where the simulation does not say
            what a missing history means.
        caution: What a reader of the collision time has to know.

    Examples:
        >>> import cinn_clusters as cc
        >>> catalogue = "mock/observables1.csv"
        >>> inferred = cc.infer(catalogue, "inferred.nc", sampling=cc.Sampling(20))
        >>> inferred.table.name
        'inferred_table.csv'
    """

    posterior: Path
    table: Path
    num_objects: int
    num_answered: int
    num_flagged: int
    conversions: tuple[str, ...]
    reasons: Counter[str] = field(default_factory=Counter)
    sample_test: tuple[float, float] = (float("nan"), float("nan"))
    condition: str = ""
    caution: str = ""


@reserving()
def infer(
    catalogue: str | Path,
    out: str | Path | Destination,
    *,
    model: str | Path | None = None,
    mapping: Mapping | None = None,
    embeddings: EmbeddingFiles | None = None,
    sampling: Sampling | None = None,
    options: InferenceOptions | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Inferred:
    """Infer the merger history of every object of a catalogue, simulated or observed.

    Args:
        catalogue: CSV, ECSV, FITS, VOTable or Parquet.
        out: netCDF file for the posterior samples of the objects that are answered.
        model: A trained model; None: the one that comes with the package.
        mapping: What the columns mean; None: they have the names and units of the simulation, with
            errors in ``sigma_<name>``.
        embeddings: Vectors of the maps of the rows: a folder of ``embed encode``, or the files of
            vectors and names.
        sampling: How samples are drawn; those of an object depend on the seed and its row only.
        options: How the rows are treated.
        on_progress: Called with the number of objects done.

    Returns:
        The two files that were written, and what became of the rows.

    Raises:
        DataError: If the catalogue cannot be read, a column or unit is wrong, or no row can be
            answered.
        BundleError: If the model is missing or damaged.
        OutputError: If a file is taken or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> catalogue = "mock/observables1.csv"
        >>> inferred = cc.infer(catalogue, "posterior.nc", sampling=cc.Sampling(20))
        >>> inferred.num_objects
        192
    """
    sampling, options = sampling or Sampling(), options or InferenceOptions()
    destination = out if isinstance(out, Destination) else Destination(Path(out))
    catalogue = Path(catalogue)
    table = _place_of_table(destination, catalogue, options)
    _demand_places(destination, table, catalogue)
    trained = load_model(model, device=sampling.device)
    analogues = None
    if options.analogues:
        analogues = read_analogues(options.analogues, trained.posterior)
    vectors = embeddings and NamedVectors(embeddings, options.naming)
    source = CatalogueSource(
        catalogue,
        mapping,
        vectors or None,
        options.projections == "each",
        options.allow_atypical,
    )
    objects = read_query(source, trained.posterior, trained.provenance)
    demand_free_columns(objects.table, trained.posterior.targets, catalogue, table.path)
    asked = with_mass_prior(trained.posterior, _slope(source, options))
    posterior = with_error_model(asked, objects, options.errors, sampling.seed)
    masses = masses_used(posterior, objects)
    assessment = assess(trained, objects, options.ood, sampling.seed)
    demand_answers(assessment, objects, catalogue, options.strict)
    query = answered_views(objects, assessment)
    attributes = _attributes(trained, source, objects, sampling, options)
    attributes |= _sample_test(assessment)
    unconditional = _unconditional(assessment, query, options)
    content = PosteriorContent(
        attributes, with_map=options.with_map, unconditional=unconditional
    )
    _demand_modes(query, options)
    with atomic_file(destination.path) as scratch:
        summary = write_posterior(
            posterior,
            query,
            scratch,
            sampling,
            content=content,
            on_progress=on_progress,
        )
        summary = complete_summary(summary, query, assessment, analogues)
        summary = summary.join(masses[~masses.index.duplicated()])
        if embeddings is not None and not source.each_projection:
            summary[NUM_VIEWS] = num_maps(query, posterior.inputs)
        maps = posterior.transforms
        result = append_columns(
            objects.table, assessment, summary, maps.schema, dtype=maps.sample_dtype
        )
        header = {**library_attributes(sampling.seed), **attributes}
        result.meta = with_provenance(objects.table.meta, header, objects.converted.log)
        write_table(result, table.path, overwrite=True)
    paths = destination.path, table.path
    return _inferred(paths, objects, assessment, attributes)


def _inferred(
    paths: tuple[Path, Path],
    objects: CatalogueQuery,
    assessment: Assessment,
    attributes: dict[str, str | float],
) -> Inferred:
    is_flagged = np.isin(assessment.status, ("flagged", "refused"))
    return Inferred(
        *paths,
        num_objects=len(objects.table),
        num_answered=int(assessment.is_answered.sum()),
        num_flagged=int(is_flagged.sum()),
        conversions=tuple(objects.converted.log),
        reasons=count_reasons(assessment.reasons),
        sample_test=assessment.sample_test,
        condition=str(attributes.get(CONDITION, "")),
        caution=str(attributes.get(CAUTION, "")),
    )


def _unconditional(
    assessment: Assessment, query: Query, options: InferenceOptions
) -> Unconditional | None:
    """Probability of a record of the answered objects, where the model knows it."""
    if RECORD not in assessment.columns:
        return None
    answered = query.keys.index.unique()
    probability = assessment.columns.loc[answered, RECORD]
    return Unconditional(probability.to_numpy(), options.major)


def _place_of_table(
    out: Destination, catalogue: Path, options: InferenceOptions
) -> Destination:
    """Where the catalogue with columns appended goes."""
    path = options.table or table_path(out.path, catalogue)
    return Destination(Path(path), out.overwrite)


def _demand_places(out: Destination, table: Destination, catalogue: Path) -> None:
    """Refuse places of results that are taken, or one that is the catalogue."""
    demand_free(out.path, out.overwrite, table.path)
    paths = {path.resolve() for path in (out.path, table.path, catalogue)}
    if len(paths) < 3:
        expected = "three files: catalogue, posterior and table"
        raise OutputError(out.path, expected, "one name twice")


def _slope(source: CatalogueSource, options: InferenceOptions) -> float | None:
    """Slope of the prior of the masses; None: that of the training clusters."""
    if options.mass_prior is not None:
        return slope_of(options.mass_prior)
    if source.mapping is None:
        return None
    return source.mapping.mass_prior


def _demand_modes(query: Query, options: InferenceOptions) -> None:
    if options.with_map and len(query) > len(group_views(query)[0]):
        expected, hint = (
            "one map of each object",
            "leave out --map, or ask for --projections each",
        )
        raise DataError("modes", expected, "mixtures over several maps", "", hint)


def _attributes(
    model: TrainedModel,
    source: CatalogueSource,
    objects: CatalogueQuery,
    sampling: Sampling,
    options: InferenceOptions,
) -> dict[str, str | float]:
    transforms = model.posterior.transforms
    columns = [transforms.schema.column(name) for name in transforms.target_names]
    attributes: dict[str, str | float] = {
        "catalogue_sha256": sha256_of(source.path),
        "model_sha256": sha256_of((model.path or packaged_model()) / "manifest.json"),
        "mapping": objects.mapping_name,
        "num_samples": sampling.num_samples,
        "errors": options.errors,
        **objects.converted.choices,
        "conversions": "\n".join(objects.converted.log),
        "mass_prior": name_of(_slope(source, options)),
        "major_ratio": options.major.ratio,
        "recent_gyr": options.major.recent_gyr,
        **notes(columns),
    }
    if source.embeddings is not None:
        vectors_file, _ = embedding_files(source.embeddings.paths)
        attributes["embeddings_sha256"] = sha256_of(vectors_file)
    return attributes


def _sample_test(assessment: Assessment) -> dict[str, float]:
    """Attributes of the two-sample test, where there was one."""
    names = ("sample_mmd2", "sample_p")
    values = dict(zip(names, assessment.sample_test, strict=True))
    return {name: value for name, value in values.items() if np.isfinite(value)}
