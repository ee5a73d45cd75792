"""What is done once for a whole catalogue: its rows, its partitions, and what all of them share."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.catalogues.formats.parquet import table_of_arrow
from cinn_clusters.catalogues.partitions.hats import parquet_files
from cinn_clusters.catalogues.partitions.parquet_rows import (
    ParquetRows,
    footers,
    open_rows,
)
from cinn_clusters.catalogues.partitions.pieces import lay_down
from cinn_clusters.data.reading.sniff import sniff
from cinn_clusters.files import JsonObject, sha256_of
from cinn_clusters.pipeline.inference.answer import InferenceRequest
from cinn_clusters.pipeline.inference.answering import answer_attributes, plan_answers
from cinn_clusters.pipeline.inference.catalogue_query import (
    CatalogueSource,
    columns_used,
    name_columns,
    query_of_table,
)
from cinn_clusters.pipeline.inference.infer import sample_attributes
from cinn_clusters.pipeline.inference.result_table import demand_new_columns
from cinn_clusters.pipeline.scale.engines import PartitionOptions
from cinn_clusters.pipeline.scale.exemplars import choose_exemplars
from cinn_clusters.pipeline.scale.partition import PartitionedJob
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.storage.answer_parts import PartFolder
from cinn_clusters.storage.model import packaged_model
from cinn_clusters.storage.posterior_file import library_attributes
from cinn_clusters.storage.provenance import with_provenance


def job_record(
    catalogue: Path,
    request: InferenceRequest,
    model: TrainedModel,
    partitions: PartitionOptions,
) -> JsonObject:
    """All that the bytes of the answers depend on, in plain values."""
    passing = replace(request.options, table=None, strict=False, allow_atypical=False)
    asked = repr(replace(request, options=passing))
    analogues = request.options.analogues
    return {
        **library_attributes(request.sampling.seed),
        "catalogue_sha256": _digest(catalogue),
        "model_sha256": sha256_of(_manifest(model)),
        "analogues_sha256": analogues and sha256_of(Path(analogues)),
        "request_sha256": sha256(asked.encode()).hexdigest(),
        "rows_a_partition": partitions.rows_a_partition,
        "with_pdfs": partitions.with_pdfs,
    }


def _manifest(model: TrainedModel) -> Path:
    return (model.path or packaged_model()) / "manifest.json"


def _digest(catalogue: Path) -> str:
    """Hash of a file, or of the names and footers of Parquet files."""
    if not _is_parquet(catalogue):
        return sha256_of(catalogue)
    digest = sha256()
    files = parquet_files(catalogue)
    for path, footer in zip(files, footers(files), strict=True):
        digest.update(path.name.encode() + footer)
    return digest.hexdigest()


def _is_parquet(catalogue: Path) -> bool:
    return catalogue.is_dir() or sniff(catalogue).kind == "parquet"


def plan_job(
    catalogue: Path,
    folder: PartFolder,
    request: InferenceRequest,
    model: TrainedModel,
    partitions: PartitionOptions,
) -> tuple[PartitionedJob, dict[str, Any]]:
    """Judge the catalogue as a whole, by its exemplars, before anything is answered.

    Returns:
        The job, and the attributes of its result.

    Raises:
        DataError: If the catalogue cannot be read, or a column or unit is wrong.
    """
    posterior, mapping, options = model.posterior, request.mapping, request.options
    rows = _open(
        catalogue, folder, request, name_columns(mapping, posterior), partitions
    )
    request = replace(request, sampling=request.sampling.for_job(len(rows)))
    bounds = _bounds(len(rows), partitions.rows_a_partition)
    exemplars = choose_exemplars(rows, columns_used(mapping, posterior), bounds)
    source = CatalogueSource(catalogue, mapping, allow_atypical=options.allow_atypical)
    notes: list[str] = []
    table = table_of_arrow(exemplars.content, notes)
    demand_new_columns(table, posterior.targets, catalogue)
    objects = query_of_table(table, source, posterior, notes=notes)
    slope, seed = options.mass_slope(mapping), request.sampling.seed

    # a random sample tells whether the whole is drawn like the training clusters
    random = query_of_table(table[: exemplars.num_random], source, posterior)
    num_lines = len(random.converted.log)
    sampling = request.sampling
    sample = plan_answers(model, random, options, slope, sampling).assessment
    log = objects.converted.log
    log += random.converted.log[num_lines:]
    if log:
        log.insert(
            0, f"counts are those of {len(table)} rows that stand for {len(rows)}"
        )

    attributes = answer_attributes(model, objects, request.sampling, options, slope)
    attributes |= sample_attributes(sample)
    header = {**library_attributes(seed), **attributes}
    checked = replace(request, options=replace(options, allow_atypical=True))
    path = None if model.path is None else model.path.resolve()
    meta = with_provenance(table.meta, header, log)
    job = PartitionedJob(
        rows, bounds, exemplars, checked, path, folder, meta, partitions.with_pdfs
    )
    return job, attributes


def _open(
    catalogue: Path,
    folder: PartFolder,
    request: InferenceRequest,
    names: set[str],
    partitions: PartitionOptions,
) -> ParquetRows:
    """Rows of a catalogue, which is laid down as Parquet first if it is none."""
    if _is_parquet(catalogue):
        return open_rows([file.resolve() for file in parquet_files(catalogue)])
    read = (request.mapping and request.mapping.read) or {}
    staged = folder.staged
    if not staged.is_dir():
        scratch = folder.fresh("staging")
        lay_down(catalogue, read, partitions.rows_a_partition, names, scratch)
        scratch.rename(staged)
    return open_rows(sorted(staged.iterdir()))


def _bounds(num_rows: int, rows_a_partition: int) -> np.ndarray:
    """First row of each partition, all of about equal length, and the number of rows."""
    num_partitions = -(-num_rows // rows_a_partition)
    return np.arange(num_partitions + 1) * num_rows // num_partitions
