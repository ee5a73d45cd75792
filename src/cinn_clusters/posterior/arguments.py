"""Arguments of a posterior in the forms people have: tables by name, arrays of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Table

from cinn_clusters.catalogues.by_name import read_by_name, with_time
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.data.checks import problems
from cinn_clusters.data.reading.tables import demand_columns
from cinn_clusters.errors import DataError
from cinn_clusters.schema import ERROR_PREFIX, Schema, is_embedding

_NUMERIC = "iufO"
_ARGUMENT = "the table that was passed"


def is_table(values: Any) -> bool:
    """Whether values stand under names: a table of pandas, astropy, polars, ... or a dictionary."""
    is_named = isinstance(values, (pd.DataFrame, pd.Series, Mapping, Table))
    dtype = getattr(values, "dtype", None)
    fields = getattr(dtype, "names", None)
    is_structured = fields is not None
    return is_named or is_structured or hasattr(values, "to_pandas")


def as_frame(values: Any) -> pd.DataFrame:
    """Return a table of any library but astropy, which has units, as one of pandas.

    Examples:
        >>> as_frame({"x": [1.0, 2.0], "y": [3, 4]}).shape
        (2, 2)
    """
    if isinstance(values, pd.DataFrame):
        return values
    if isinstance(values, pd.Series):  # one object
        row = values.to_frame().T
        return row.infer_objects()
    if isinstance(values, Mapping):
        return _frame_of_columns(values)
    if hasattr(values, "to_pandas"):
        converted = values.to_pandas()
        return pd.DataFrame(converted)
    return pd.DataFrame.from_records(values)


def _frame_of_columns(columns: Mapping[str, Any]) -> pd.DataFrame:
    arrays = {name: np.atleast_1d(columns[name]) for name in columns}
    lengths = set(map(len, arrays.values()))
    if len(lengths) > 1:
        shortest, longest = min(lengths), max(lengths)
        expected = "columns of equal length"
        got = f"{shortest} and {longest}"
        raise DataError("table", expected, got)
    return pd.DataFrame(arrays)


def frame_of_table(table: Table, names: Sequence[str], schema: Schema) -> pd.DataFrame:
    """Return the named columns of a table of astropy in the units of the schema.

    Raises:
        DataError: If a unit does not convert, or a value cannot be right.
    """
    timed = with_time(Table(table), schema)  # columns with units for quantities
    values = [name for name in names if not name.startswith(ERROR_PREFIX)]
    vectors = list(filter(is_embedding, values))
    scalars = [name for name in values if name not in vectors]
    converted = read_by_name(timed, scalars, schema)
    for row, reasons in converted.reasons.items():
        reason = reasons[0]
        raise DataError("table", "values that can be used", reason, f"row {row}")

    columns = {}
    for name in _present(vectors, timed):
        columns[name], *_ = numbers(timed, name)
    columns |= converted.values
    for name, errors in converted.errors.items():
        columns[f"{ERROR_PREFIX}{name}"] = errors
    further = _further_columns(timed, table.colnames, columns)
    return pd.DataFrame({**further, **columns})


def _further_columns(
    timed: Table, names: Sequence[str], columns: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Return the columns that are not among those that were read, such as keys."""
    further = [name for name in names if name not in columns]
    plain = [name for name in further if timed[name].ndim == 1]
    return {name: list(timed[name]) for name in plain}


def _present(names: Sequence[str], table: Table) -> list[str]:
    return [name for name in names if name in table.colnames]


def demand_inputs(
    frame: pd.DataFrame, inputs: Sequence[str], needed: Sequence[str]
) -> None:
    """Refuse a table that lacks an input that is needed, or seems to have one by another spelling.

    Raises:
        DataError: If a column is missing, twice there, or spelled otherwise.
    """
    names = list(map(str, frame.columns))
    _demand_once(inputs, names)
    demand_columns(frame, list(needed), _ARGUMENT)
    demand_spelling(inputs, names)
    common = set(inputs) & set(names)
    if not common:
        listed = ", ".join(names[:6])
        if len(names) > 6:
            listed += ", ..."
        wanted = ", ".join(inputs)
        expected = f"some of the columns {wanted}"
        raise DataError("table", expected, listed, "", "name the columns")


def _demand_once(inputs: Sequence[str], names: list[str]) -> None:
    """Refuse an input of which a table has several columns."""
    for name in inputs:
        count = names.count(name)
        if count > 1:
            got = f"{count} of that name"
            raise DataError(f"column '{name}'", "one column", got)


def demand_spelling(inputs: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a column that is an absent input but for case and blanks.

    Raises:
        DataError: If there is one.
    """
    absent = {_plain(name): name for name in inputs if name not in names}
    for name in names:
        spelling = _plain(name)
        if name in inputs or spelling not in absent:
            continue
        expected = f"'{absent[spelling]}'"
        raise DataError(f"column '{name}'", expected, "another spelling of it")


def _plain(name: str) -> str:
    stripped = name.strip()
    folded = stripped.casefold()
    return folded.replace(" ", "_")


def demand_possible(frame: pd.DataFrame, names: Sequence[str], schema: Schema) -> None:
    """Refuse values that cannot be right in the unit of their column, marks such as -99 included.

    Raises:
        DataError: If one lies outside its bounds or is infinite, or an error is negative.
    """
    for name in names:
        is_negative = column_of(frame, name) < 0.0
        if name.startswith(ERROR_PREFIX) and is_negative.any():
            row = int(is_negative.argmax())
            error = frame[name].iloc[row]
            subject, got = f"column '{name}'", f"{error:g}"
            raise DataError(subject, "errors of 0 or more", got, f"row {row}")
    _demand_bounds(frame, names, schema)


def _demand_bounds(frame: pd.DataFrame, names: Sequence[str], schema: Schema) -> None:
    """Refuse values that the schema says no column has; what is optional may be NaN."""
    present = [name for name in names if name in schema and name in frame]
    values = pd.DataFrame({name: column_of(frame, name) for name in present})
    optional = [name for name in present if name != schema.time]
    for problem in problems(values, present, schema, optional=optional):
        row = int(problem.rows.argmax())
        column = values[problem.column]
        subject = f"column '{problem.column}'"
        got = f"{column[row]:g}"
        hint = "leave out what is missing (NaN), or correct its unit"
        raise DataError(subject, problem.expected, got, f"row {row}", hint)


def column_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as floats (N,), NaN where it is missing; NaN or an error of 0 if absent.

    Raises:
        DataError: If it holds text, logical or complex values, or times.
    """
    if name not in frame:
        return _absent_column(name, len(frame))
    column = frame[name]
    subject = f"column '{name}'"
    kind = getattr(column.dtype, "kind", "O")
    is_string = isinstance(column.dtype, pd.StringDtype)
    if kind not in _NUMERIC and not is_string:
        got = f"values of type {column.dtype}"
        raise DataError(subject, "numbers", got)

    numeric = pd.to_numeric(column, errors="coerce")
    is_text = (numeric.isna() & column.notna()).to_numpy(bool)
    if is_text.any():
        row = int(is_text.argmax())
        got = f"'{column.iloc[row]}'"
        raise DataError(subject, "numbers", got, f"row {row}")
    return numeric.to_numpy(dtype=float, na_value=np.nan)


def _absent_column(name: str, num_rows: int) -> np.ndarray:
    """Return errors of 0, or values that are NaN."""
    if name.startswith(ERROR_PREFIX):
        return np.zeros(num_rows)
    return np.full(num_rows, np.nan)


def columns_of(values: Any, names: Sequence[str]) -> np.ndarray:
    """Return all named columns of a table (N, len(names)).

    Raises:
        DataError: If one is missing or holds no numbers.
    """
    frame = as_frame(values)
    if isinstance(values, Table):
        lists = {name: list(values[name]) for name in values.colnames}
        frame = pd.DataFrame(lists)
    demand_columns(frame, list(names), _ARGUMENT)
    columns = [column_of(frame, name) for name in names]
    return np.stack(columns, 1)


def as_array(values: Any, subject: str) -> np.ndarray:
    """Return numbers of any library as contiguous floats; what is masked or NA is NaN.

    Args:
        values: An array, list or tensor.
        subject: What they are.

    Returns:
        Floats of the same shape.

    Raises:
        DataError: If they are no real numbers, have a unit, or differ in length.

    Examples:
        >>> as_array(np.ma.masked_equal([[1, -99]], -99), "inputs")
        array([[ 1., nan]])
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    unit = getattr(values, "unit", None)
    if unit is not None and str(unit):
        expected, hint = "plain numbers", "pass a QTable, whose units are converted"
        raise DataError(subject, expected, f"a quantity in {unit}", "", hint)
    try:
        mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
        array = _floats(np.asarray(np.ma.getdata(values)), subject)
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        got = f"{type(values).__name__} of other values or of unequal lengths"
        raise DataError(subject, "an array of numbers", got) from error
    if mask is not None:
        array = np.where(mask, np.nan, array)
    return np.ascontiguousarray(array)


def _floats(array: np.ndarray, subject: str) -> np.ndarray:
    if array.dtype.kind not in _NUMERIC:
        raise DataError(subject, "numbers", f"values of type {array.dtype}")
    if array.dtype.kind == "O":
        array = np.where(pd.isna(array), np.nan, array)
    return array.astype(float)


def as_samples(
    samples: Any, num_objects: int, num_targets: int, subject: str = "samples"
) -> np.ndarray:
    """Return posterior samples (S, N, D), S of one or more, in their own precision.

    Raises:
        DataError: If they are of another shape or NaN.
    """
    is_float = isinstance(samples, np.ndarray) and samples.dtype.kind == "f"
    if not is_float or np.ma.isMaskedArray(samples):
        samples = as_array(samples, subject)
    shape = np.shape(samples)
    if len(shape) != 3 or shape[1:] != (num_objects, num_targets) or not shape[0]:
        expected = f"shape (S, {num_objects}, {num_targets})"
        raise DataError(subject, expected, f"shape {shape}")
    demand_no_nan(samples, subject)
    return np.asarray(samples)


def demand_no_nan(values: np.ndarray, subject: str) -> None:
    """Refuse values that are no numbers.

    Raises:
        DataError: If one is NaN.
    """
    num_missing = int(np.isnan(values).sum())
    if num_missing:
        place = np.argwhere(np.isnan(values))[0].tolist()
        got = f"NaN in {num_missing} of {values.size}"
        raise DataError(subject, "numbers", got, f"first at {place}")
