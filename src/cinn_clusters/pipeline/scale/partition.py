"""The work on one partition of a catalogue: read, answered, written as a part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from cinn_clusters.catalogues.formats.parquet import (
    META,
    arrow_of_table,
    table_of_arrow,
)
from cinn_clusters.catalogues.partitions.parquet_rows import ParquetRows
from cinn_clusters.errors import DataError
from cinn_clusters.parallel import one_thread
from cinn_clusters.pipeline.inference.answer import (
    InferenceRequest,
    answer_plan,
    plan_table,
)
from cinn_clusters.pipeline.inference.answering import AnswerPlan
from cinn_clusters.pipeline.inference.assessment import count_reasons
from cinn_clusters.pipeline.scale.exemplars import Exemplars
from cinn_clusters.posterior.collision import time_since_collision
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query
from cinn_clusters.posterior.summary import TIME_SINCE_COLLISION
from cinn_clusters.storage.answer_parts import (
    PartCounts,
    PartFolder,
    read_counts,
    write_part,
)
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.quantile_pdfs import QUANTILE_LEVELS

ROW = "row"
"""Column of the quantiles of a part: row of the catalogue."""


@dataclass(frozen=True, eq=False)
class PartitionedJob:
    """A catalogue, and what every worker has to know to answer a partition of it.

    Args:
        rows: The catalogue.
        bounds: First row of each partition, and N.
        exemplars: Rows that stand for the catalogue.
        request: What is asked of every row.
        model: Folder of the model; None: that of the package.
        folder: Where the parts go.
        meta: Metadata of the result, where its format has a place for them.
        with_pdfs: Whether quantiles of all posteriors are kept, too.
    """

    rows: ParquetRows
    bounds: np.ndarray
    exemplars: Exemplars
    request: InferenceRequest
    model: Path | None
    folder: PartFolder
    meta: dict[str, Any] = field(default_factory=dict)
    with_pdfs: bool = False

    def __len__(self) -> int:
        """Number of partitions."""
        return len(self.bounds) - 1

    def __call__(self, number: int) -> PartCounts:
        """Answer a partition, unless its part is there."""
        part = self.folder.part(number)
        if part.is_file():
            return read_counts(part)
        start, stop = self.bounds[number : number + 2]
        with one_thread():
            return _answer_rows(self, number, self.rows.read(start, stop))


def _answer_rows(job: PartitionedJob, number: int, content: Any) -> PartCounts:
    """Answer rows and write them; the part comes last, so that it says that all is done."""
    import pyarrow

    model = load_model(job.model, device=job.request.sampling.device)
    together = pyarrow.concat_tables([job.exemplars.content, content])
    plan = plan_table(table_of_arrow(together, []), model, job.request)
    num_exemplars = len(job.exemplars)
    plan = plan.since(num_exemplars)
    start = int(job.bounds[number]) - num_exemplars
    if job.request.options.strict:
        _demand_usable(plan.assessment.status[num_exemplars:], job.bounds[number])
    quantiles = Quantiles(plan.posterior, plan.query.places + start)
    keep = {"keep": quantiles.add} if job.with_pdfs else {}
    answers = answer_plan(plan, model, job.request, **keep)[num_exemplars:]
    if job.with_pdfs:
        write_part(job.folder.quantiles(number), quantiles.table())
    answers.meta = job.meta
    counts = _counts(plan, num_exemplars)
    write_part(job.folder.part(number), _appended(content, answers), counts)
    return counts


def _demand_usable(status: np.ndarray, start: int) -> None:
    unusable = np.flatnonzero(status == "unusable")
    if len(unusable):
        first = f"first: row {start + unusable[0]}"
        expected, got = (
            "every row to be usable (--strict)",
            f"{len(unusable)} that are not",
        )
        raise DataError("a partition", expected, got, first)


def _counts(plan: AnswerPlan, num_exemplars: int) -> PartCounts:
    assessment = plan.assessment
    status = assessment.status[num_exemplars:]
    return PartCounts(
        len(status),
        int(assessment.is_answered[num_exemplars:].sum()),
        int(np.isin(status, ("flagged", "refused")).sum()),
        count_reasons(assessment.reasons[num_exemplars:]),
    )


def _appended(content: Any, answers: Table) -> Any:
    """Rows of a catalogue (pyarrow) with the new columns of its answers, their units and meanings."""
    import pyarrow

    new = [name for name in answers.colnames if name not in content.schema.names]
    arrays = arrow_of_table(answers[new])
    metadata = content.schema.metadata
    for name in new:
        described = pyarrow.field(
            name, arrays[name].type, metadata=_description(answers[name])
        )
        content = content.append_column(described, arrays[name])
    if metadata and META in metadata:
        metadata = arrow_of_table(answers).schema.metadata
    return content.replace_schema_metadata(metadata)


def _description(column: Any) -> dict[str, str]:
    ucd = (column.info.meta or {}).get("ucd")
    entries = {"unit": column.unit, "description": column.description, "ucd": ucd}
    return {key: str(value) for key, value in entries.items() if value}


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Quantiles of the posteriors of some rows, as they are sampled.

    Args:
        posterior: What is sampled.
        rows: Row of the catalogue of each answered object.
        pieces: Quantiles (n, Q, L) of the time since collision, where there is one, and targets.
    """

    posterior: Posterior
    rows: np.ndarray
    pieces: list[np.ndarray] = field(default_factory=list)

    def add(self, objects: slice, samples: np.ndarray, views: Query) -> None:
        """Take up the samples (S, n, D) of some objects."""
        since = time_since_collision(self.posterior, views.inputs, samples)
        if since is not None:
            samples = np.concatenate([since[..., None], samples], -1)
        quantiles = np.quantile(samples, QUANTILE_LEVELS, axis=0)  # (L, n, Q)
        self.pieces.append(np.moveaxis(quantiles, 0, -1).astype(np.float32))

    def table(self) -> Any:
        """Rows, and a column of lists for each quantity, as a table of pyarrow."""
        import pyarrow

        names = quantities(self.posterior)
        shape = (0, len(names), len(QUANTILE_LEVELS))
        stacked = np.concatenate([np.empty(shape, np.float32), *self.pieces])
        columns = {ROW: pyarrow.array(self.rows)}
        for number, name in enumerate(names):
            values = pyarrow.array(stacked[:, number].ravel())
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(
                values, len(QUANTILE_LEVELS)
            )
        return pyarrow.table(columns)


def quantities(posterior: Posterior) -> list[str]:
    """Names of what quantiles are kept of."""
    schema, targets = posterior.transforms.schema, posterior.targets
    return [TIME_SINCE_COLLISION] * (schema.bounded_time in targets) + list(targets)
