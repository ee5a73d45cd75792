"""A catalogue to posteriors: read, assessed, sampled, and given back with columns appended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.catalogues.table_files import write_table
from cinn_clusters.claims import reserving
from cinn_clusters.errors import OutputError
from cinn_clusters.files import Destination, atomic_file, demand_free, sha256_of
from cinn_clusters.pipeline.inference.analogues import read_analogues
from cinn_clusters.pipeline.inference.answering import (
    InferenceOptions,
    answer_attributes,
    demand_modes,
    plan_answers,
)
from cinn_clusters.pipeline.inference.assessment import (
    Assessment,
    count_reasons,
    demand_answers,
)
from cinn_clusters.pipeline.inference.catalogue_query import (
    CatalogueQuery,
    CatalogueSource,
    read_query,
)
from cinn_clusters.pipeline.inference.map_views import (
    EmbeddingFiles,
    NamedVectors,
    embedding_files,
)
from cinn_clusters.pipeline.inference.result_table import (
    demand_free_columns,
    table_path,
)
from cinn_clusters.pipeline.inference.write_posterior import (
    PosteriorContent,
    write_posterior,
)
from cinn_clusters.posterior.collision import CAUTION, CONDITION
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.posterior_file import library_attributes
from cinn_clusters.storage.provenance import with_provenance

SAMPLE_TEST = ("sample_mmd2", "sample_p")
"""Attributes of the two-sample test."""


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
    slope = options.mass_slope(mapping)
    sampling = sampling.for_job(len(objects.table))
    plan = plan_answers(trained, objects, options, slope, sampling)
    demand_answers(plan.assessment, objects, catalogue, options.strict)
    attributes: dict[str, str | float] = {"catalogue_sha256": sha256_of(catalogue)}
    attributes |= answer_attributes(trained, objects, sampling, options, slope)
    attributes |= _vector_attributes(source)
    attributes |= sample_attributes(plan.assessment)
    content = PosteriorContent(
        attributes, with_map=options.with_map, unconditional=plan.unconditional
    )
    demand_modes(plan.query, options)
    with atomic_file(destination.path) as scratch:
        summary = write_posterior(
            plan.posterior,
            plan.query,
            scratch,
            sampling,
            content=content,
            on_progress=on_progress,
        )
        has_maps = embeddings is not None and not source.each_projection
        result = plan.answers(summary, analogues, has_maps=has_maps)
        header = {**library_attributes(sampling.seed), **attributes}
        result.meta = with_provenance(objects.table.meta, header, objects.converted.log)
        write_table(result, table.path, overwrite=True)
    paths = destination.path, table.path
    return _inferred(paths, objects, plan.assessment, attributes)


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


def _vector_attributes(source: CatalogueSource) -> dict[str, str | float]:
    """What says which vectors of maps were read, where any were."""
    if source.embeddings is None:
        return {}
    vectors_file, _ = embedding_files(source.embeddings.paths)
    return {"embeddings_sha256": sha256_of(vectors_file)}


def sample_attributes(assessment: Assessment) -> dict[str, float]:
    """Attributes of the two-sample test, where there was one."""
    values = dict(zip(SAMPLE_TEST, assessment.sample_test, strict=True))
    return {name: value for name, value in values.items() if np.isfinite(value)}
