"""A catalogue with columns appended: status, reasons and the summary of each posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Column, MaskedColumn, Table

from cinn_clusters.catalogues.table_files import TABLE_FORMATS, demand_writable
from cinn_clusters.errors import DataError
from cinn_clusters.pipeline.inference.analogues import Analogues
from cinn_clusters.pipeline.inference.assessment import (
    OOD_SCORE,
    RECORD,
    SELECTION,
    WINDOW,
    Assessment,
)
from cinn_clusters.pipeline.inference.mass_used import MASS_USED, MASS_USED_SD
from cinn_clusters.pipeline.inference.write_posterior import (
    DISAGREEMENT,
    EXTRAPOLATED,
    group_views,
)
from cinn_clusters.posterior.collision import (
    P_MAJOR_RECENT,
    UNCONDITIONAL_TIME,
    unconditional_names,
)
from cinn_clusters.posterior.query import Query
from cinn_clusters.posterior.summary import TIME_SINCE_COLLISION, summary_columns
from cinn_clusters.schema import DEFAULT, Schema, fits_unit, is_embedding
from cinn_clusters.schema import Column as SchemaColumn

STATUS, REASONS, ANALOGUES, NUM_VIEWS = (
    "cinn_status",
    "cinn_reasons",
    "analogues",
    "num_views",
)
SINGLE = np.dtype(np.float32)
_DESCRIPTIONS = {
    STATUS: "ok, flagged (a value not used, or the model may not apply), refused, or unusable",
    REASONS: "what was wrong with the row, and why the model may not apply",
    WINDOW: "longest possible time since collision: from the begin of the record to the observation",
    RECORD: "probability that a collision is recorded in that window",
    SELECTION: "probability that one is recorded and measured: the condition of the posterior",
    P_MAJOR_RECENT: "probability of a recent major merger (CINNRAT, CINNGYR), recorded or not",
    OOD_SCORE: "percentile of the robust distance among training clusters",
    ANALOGUES: "snapshot:halo of the most similar simulated clusters",
    NUM_VIEWS: "maps of the object whose posteriors were mixed",
    DISAGREEMENT: "mean divergence between members of the ensemble [nat]",
    MASS_USED: "log10 M500c [Msun] that the answer is conditioned on: mean of the true mass",
    MASS_USED_SD: "standard deviation of the true log10 M500c, given its prior and errors",
    EXTRAPOLATED: "observables beyond the training support, where they are clipped",
}
_UCDS = {
    TIME_SINCE_COLLISION: "time.interval",
    UNCONDITIONAL_TIME: "time.interval",
    WINDOW: "time.interval",
    **dict.fromkeys((RECORD, SELECTION, P_MAJOR_RECENT), "stat.probability"),
    OOD_SCORE: "stat.percentile",
    MASS_USED: "phys.mass;stat.mean",
    MASS_USED_SD: "stat.stdev;phys.mass",
    STATUS: "meta.code.status",
    REASONS: "meta.note",
}
"""What the columns that no schema has are, in the vocabulary of the Virtual Observatory (UCD1+)."""
_DERIVED = {
    TIME_SINCE_COLLISION: SchemaColumn(TIME_SINCE_COLLISION, unit="Gyr"),
    UNCONDITIONAL_TIME: SchemaColumn(
        UNCONDITIONAL_TIME,
        unit="Gyr",
        meaning="time since collision, recorded or not; infinite: longer than the record window",
    ),
    "record_window": SchemaColumn("record_window", unit="Gyr"),
}
_STATISTICS = {
    "median": ";stat.median",
    **dict.fromkeys(("p16", "p84"), ";stat.percentile"),
    **dict.fromkeys(("lower68", "upper68", "lower95", "upper95"), ";stat.interval"),
}


def table_path(out: Path, catalogue: Path) -> Path:
    """Default place of the table: beside the posterior, in the format of the catalogue.

    A compressed catalogue, or one whose ending is unknown, is answered in ECSV.
    """
    suffix = catalogue.suffix
    ending = suffix if suffix.lower() in TABLE_FORMATS else ".ecsv"
    return out.with_name(f"{out.stem}_table{ending}")


def demand_free_columns(
    table: Table, targets: tuple[str, ...], catalogue: Path, path: Path
) -> None:
    """Refuse a catalogue that holds a column of the result, or cannot be written.

    Raises:
        DataError: If a column has the name of one of the result.
        OutputError: If the format of the result cannot hold the catalogue.
    """
    demand_new_columns(table, targets, catalogue)
    demand_writable(table, path)


def demand_new_columns(table: Table, targets: tuple[str, ...], catalogue: Path) -> None:
    """Refuse a catalogue that holds a column of the result.

    Raises:
        DataError: If it does.
    """
    taken = [
        name
        for name in (*_DESCRIPTIONS, *unconditional_names(), *summary_columns(targets))
        if name in table.colnames
    ]
    if taken:
        got, hint = "one of the catalogue", "rename it"
        if STATUS in taken:
            got, hint = "an answer given before", "give the catalogue without it"
        expected = "a name that no result has"
        raise DataError(f"column '{taken[0]}'", expected, got, str(catalogue), hint)


def complete_summary(
    summary: pd.DataFrame,
    query: Query,
    assessment: Assessment,
    analogues: Analogues | None,
) -> pd.DataFrame:
    """The summary of answered objects by their row, with what was assessed of them before."""
    rows = summary.set_index(query.keys.index.unique())
    completed = rows.join(assessment.columns)
    if analogues:
        completed[ANALOGUES] = analogues.nearest(query.inputs[group_views(query)[0]])
    return completed


def num_maps(query: Query, inputs: tuple[str, ...]) -> np.ndarray:
    """Maps of each object; 0 where it was asked without one."""
    first, counts = group_views(query)
    is_vector = [is_embedding(name) for name in inputs]
    has_map = np.isfinite(query.inputs[first][:, is_vector]).all(1)
    return np.asarray(counts * has_map)


def append_columns(
    table: Table,
    assessment: Assessment,
    summary: pd.DataFrame,
    schema: Schema = DEFAULT,
    *,
    dtype: np.dtype = SINGLE,
) -> Table:
    """Append status, reasons and summary; objects without a posterior keep these empty.

    Args:
        table: The catalogue, M rows.
        assessment: Of its M objects.
        summary: Of the answered objects; its index is their row in the table.
        schema: What the targets are.
        dtype: Type of the numbers of the summary, that of the samples.
    """
    answered = summary.reindex(range(len(table)))
    columns = {
        STATUS: Column(assessment.status),
        REASONS: Column(["; ".join(reasons) for reasons in assessment.reasons]),
        **{str(name): _column(answered[name], dtype) for name in answered},
    }
    result = table.copy()
    for name, column in columns.items():
        _describe(column, name, schema)
        result[name] = column
    return result


def _column(values: pd.Series, dtype: np.dtype) -> Column:
    if not pd.api.types.is_numeric_dtype(values):
        return Column([str(value) for value in values.fillna("")])
    numbers = values.to_numpy(dtype=dtype)
    return MaskedColumn(numbers, mask=np.isnan(numbers))


def _describe(column: Any, name: str, schema: Schema) -> None:
    """Give an appended column its unit, meaning and UCD."""
    quantity, _, statistic = name.rpartition("_")
    source = _DERIVED.get(quantity) or schema.column(quantity)
    column.unit = fits_unit(source.unit)
    meaning = source.meaning or quantity
    if source.unit and source.meaning:
        meaning = f"{meaning} [{source.unit}]"  # FITS knows no dex
    column.description = _DESCRIPTIONS.get(name) or f"{meaning}: {statistic}"
    ucd = _UCDS.get(name) or _UCDS.get(quantity) or source.ucd
    if ucd:
        column.meta["ucd"] = ucd + _STATISTICS.get(statistic, "")
