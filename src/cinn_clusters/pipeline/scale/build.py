"""The folder of a result from the parts of all partitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cinn_clusters.catalogues.partitions.hats import (
    COMMON_METADATA,
    copy_descriptions,
    primary_catalogue,
)
from cinn_clusters.catalogues.partitions.parquet_rows import ParquetRows, open_rows
from cinn_clusters.pipeline.scale.partition import ROW, PartitionedJob, quantities
from cinn_clusters.storage.answer_parts import write_rows, write_schema
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.quantile_pdfs import write_quantile_pdfs

HATS = ".hats"
"""Ending of a HATS catalogue of answers."""
_PDFS = "_pdfs"
"""Folder of the PDFs in a result; readers of Parquet pass over it."""
_ROWS_A_BATCH = 50_000


def build_result(job: PartitionedJob, catalogue: Path, out: Path) -> Path:
    """Folder of the result from the parts, which stay if another one is made."""
    parts = [job.folder.part(number) for number in range(len(job))]
    built = job.folder.finished
    if out.suffix == HATS:
        built = _build_hats(open_rows(parts), primary_catalogue(catalogue), job)
    if job.with_pdfs:
        (built / _PDFS).mkdir(exist_ok=True)
        for name in quantities(load_model(job.model).posterior):
            _write_pdfs(job, name, built / _PDFS / f"{name}.hdf5")
    return built


def _build_hats(answers: ParquetRows, catalogue: Path, job: PartitionedJob) -> Path:
    """A HATS catalogue of the answers, in the pixels of the one that was answered."""
    built = job.folder.fresh("hats")
    copy_descriptions(catalogue, built)
    begin = 0
    for path, count in zip(job.rows.files, job.rows.counts, strict=True):
        place = built / path.relative_to(catalogue.resolve())
        write_rows(place, answers, begin, begin + count)
        begin += count
    write_schema(built / COMMON_METADATA, answers)
    return built


def _write_pdfs(job: PartitionedJob, name: str, path: Path) -> None:
    """PDFs of one quantity, of all answered rows."""
    parts = [job.folder.quantiles(number) for number in range(len(job))]
    rows = open_rows(parts)

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(rows), _ROWS_A_BATCH):
            content = rows.read(
                begin, min(begin + _ROWS_A_BATCH, len(rows)), (ROW, name)
            )
            quantiles = content[name].combine_chunks().flatten().to_numpy()
            yield content[ROW].to_numpy(), quantiles.reshape(len(content), -1)

    write_quantile_pdfs(path, len(rows), pieces())
