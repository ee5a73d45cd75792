"""One pure function from a table to a table with answers appended: the unit of any parallel map."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from astropy.table import Table

from cinn_clusters.catalogues.data_frames import table_of_frame
from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.errors import DataError
from cinn_clusters.pipeline.inference.analogues import read_analogues
from cinn_clusters.pipeline.inference.answering import (
    AnswerPlan,
    InferenceOptions,
    answer_attributes,
    plan_answers,
)
from cinn_clusters.pipeline.inference.assessment import demand_answers
from cinn_clusters.pipeline.inference.catalogue_query import (
    CatalogueSource,
    query_of_table,
)
from cinn_clusters.pipeline.inference.result_table import demand_new_columns
from cinn_clusters.pipeline.inference.write_posterior import (
    KeepSamples,
    PosteriorContent,
    ignore_samples,
    summarise_samples,
)
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.posterior_file import library_attributes
from cinn_clusters.storage.provenance import with_provenance

TableT = TypeVar("TableT", pd.DataFrame, Table)
IN_MEMORY = Path("table")
"""What stands in errors for the name of a file."""


@dataclass(frozen=True)
class InferenceRequest:
    """What is asked of every object of a table.

    Args:
        mapping: What the columns mean; None: they have the names of the model's inputs.
        sampling: How samples are drawn.
        options: How the rows are treated.

    Examples:
        >>> InferenceRequest(sampling=Sampling(200)).sampling.num_samples
        200
    """

    mapping: Mapping | None = None
    sampling: Sampling = field(default_factory=Sampling)
    options: InferenceOptions = field(default_factory=InferenceOptions)


def answer(
    table: TableT,
    model: str | Path | TrainedModel | None = None,
    *,
    mapping: Mapping | None = None,
    sampling: Sampling | None = None,
    options: InferenceOptions | None = None,
) -> TableT:
    """Answer every row of a table: the table with the columns that ``infer`` appends.

    The answer to a row depends on the row, the model and the seed only, so that a table may be
    answered in parts, as ``catalog.map_partitions(answer)`` of LSDB and Dask does. Nothing is
    written, and nothing is said of the rows as a sample.

    Args:
        table: DataFrame of pandas (or of a subclass) or Table of astropy; N rows, which may be 0.
        model: Folder of a trained model, or one that is loaded; None: that of the package.
        mapping: What the columns mean; None: they have the names and units of the simulation, with
            errors in ``sigma_<name>``.
        sampling: How samples are drawn.
        options: How the rows are treated; ``table`` and maps have no part here.

    Returns:
        A table of the same kind, index and metadata, with status, reasons, medians, intervals,
        scores and probabilities appended; empty where a row has no answer.

    Raises:
        DataError: If a column or unit is wrong, a column has the name of one of the answer, or
            ``strict`` is asked for and a row cannot be used.
        BundleError: If the model is missing or damaged.

    Examples:
        >>> import cinn_clusters as cc
        >>> table = pd.DataFrame({"Group_M_Crit500": [14.7, 14.9], "lookback_time_Gyr": [2.0, 3.0]})
        >>> answers = cc.answer(table, sampling=cc.Sampling(100))
        >>> answers["cinn_status"].tolist(), len(answers["last_T_coll_median"].dropna())
        (['ok', 'ok'], 2)
    """
    request = InferenceRequest(
        mapping, sampling or Sampling(), options or InferenceOptions()
    )
    if not isinstance(model, TrainedModel):
        model = load_model(model, device=request.sampling.device)
    rows = _as_table(table)
    if len(rows):
        plan = plan_table(rows, model, request)
        if request.options.strict:
            demand_answers(plan.assessment, plan.objects, IN_MEMORY, strict=True)
    else:
        plan = plan_table(_blank_row(rows), model, request)
    result: Any = answer_plan(plan, model, request)[: len(rows)]
    if isinstance(table, pd.DataFrame):
        new = [name for name in result.colnames if name not in rows.colnames]
        columns = {name: _plain(result[name]) for name in new}
        answers = pd.DataFrame(columns, index=table.index)
        return pd.concat([table, answers], axis=1)
    return result


def plan_table(
    table: Table, model: TrainedModel, request: InferenceRequest
) -> AnswerPlan:
    """Assess the rows of a table, of which there is one at least.

    Raises:
        DataError: As ``answer``.
    """
    options, mapping = request.options, request.mapping
    source = CatalogueSource(IN_MEMORY, mapping, allow_atypical=options.allow_atypical)
    demand_new_columns(table, model.posterior.targets, IN_MEMORY)
    objects = query_of_table(table, source, model.posterior)
    slope = options.mass_slope(mapping)
    sampling = request.sampling.for_job(len(table))
    return plan_answers(model, objects, options, slope, sampling, is_sample=False)


def answer_plan(
    plan: AnswerPlan,
    model: TrainedModel,
    request: InferenceRequest,
    keep: KeepSamples = ignore_samples,
) -> Table:
    """Sample the objects of a plan and append their summary to the catalogue.

    Args:
        plan: The objects, assessed.
        model: The trained model.
        request: What is asked.
        keep: Called with slices of the answered objects, their samples and their first views.
    """
    options, sampling = request.options, request.sampling
    content = PosteriorContent(
        with_map=options.with_map, unconditional=plan.unconditional
    )
    summary = summarise_samples(
        plan.posterior, plan.query, sampling, content=content, keep=keep
    )
    analogues = None
    if options.analogues:
        analogues = read_analogues(options.analogues, model.posterior)
    result = plan.answers(summary, analogues, has_maps=False)
    slope = options.mass_slope(request.mapping)
    attributes = answer_attributes(model, plan.objects, sampling, options, slope)
    header = {**library_attributes(sampling.seed), **attributes}
    result.meta = with_provenance(result.meta, header, plan.objects.converted.log)
    return result


def _as_table(table: object) -> Table:
    if isinstance(table, Table):
        return table
    if isinstance(table, pd.DataFrame):
        return table_of_frame(table)
    expected = "a DataFrame of pandas or a Table of astropy"
    hint = "read it, or call infer with its path"
    raise DataError("table", expected, type(table).__name__, "", hint)


def _blank_row(table: Table) -> Table:
    """One row without a value, to learn the columns of an answer from."""
    row = {}
    for name in table.colnames:
        kind = table[name].dtype
        row[name] = np.full(1, np.nan, kind) if kind.kind == "f" else np.zeros(1, kind)
    return Table(row)


def _plain(column: Any) -> Any:
    """Values of an appended column for pandas, NaN where it is masked."""
    if column.dtype.kind == "f":
        return np.asarray(np.ma.filled(column, np.nan))
    return pd.array(np.asarray(column, dtype=object), dtype="str")
