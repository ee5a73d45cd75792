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
    names = getattr(getattr(values, "dtype", None), "names", None)
    return is_named or names is not None or hasattr(values, "to_pandas")


def as_frame(values: Any) -> pd.DataFrame:
    """Return a table of any library but astropy, which has units, as one of pandas.

    Examples:
        >>> as_frame({"x": [1.0, 2.0], "y": [3, 4]}).shape
        (2, 2)
    """
    if isinstance(values, pd.DataFrame):
        return values
    if isinstance(values, pd.Series):  # one object
        return values.to_frame().T.infer_objects()
    if isinstance(values, Mapping):
        return _frame_of_columns(values)
    if hasattr(values, "to_pandas"):
        return pd.DataFrame(values.to_pandas())
    return pd.DataFrame.from_records(values)


def _frame_of_columns(columns: Mapping[str, Any]) -> pd.DataFrame:
    arrays = {name: np.atleast_1d(columns[name]) for name in columns}
    lengths = sorted({len(array) for array in arrays.values()})
    if len(lengths) > 1:
        expected, got = "columns of equal length", f"{lengths[0]} and {lengths[-1]}"
        raise DataError("table", expected, got)
    return pd.DataFrame(arrays)


def frame_of_table(table: Table, names: Sequence[str], schema: Schema) -> pd.DataFrame:
    """Return the named columns of a table of astropy in the units of the schema.

    Raises:
        DataError: If a unit does not convert, or a value cannot be right.
    """
    timed = with_time(Table(table), schema)  # columns with units for quantities
    scalars = [name for name in names if not name.startswith(ERROR_PREFIX)]
    vectors = [name for name in scalars if is_embedding(name)]
    scalars = [name for name in scalars if name not in vectors]
    converted = read_by_name(timed, scalars, schema)
    for row, reasons in converted.reasons.items():
        raise DataError("table", "values that can be used", reasons[0], f"row {row}")
    columns = {name: numbers(timed, name)[0] for name in _present(vectors, timed)}
    columns |= converted.values
    errors = converted.errors
    columns |= {f"{ERROR_PREFIX}{name}": errors[name] for name in errors}
    keys = [name for name in table.colnames if name not in columns]
    further = {name: list(timed[name]) for name in keys if timed[name].ndim == 1}
    return pd.DataFrame({**further, **columns})


def _present(names: Sequence[str], table: Table) -> list[str]:
    return [name for name in names if name in table.colnames]


def demand_inputs(
    frame: pd.DataFrame, inputs: Sequence[str], needed: Sequence[str]
) -> None:
    """Refuse a table that lacks an input that is needed, or seems to have one by another spelling.

    Raises:
        DataError: If a column is missing, twice there, or spelled otherwise.
    """
    names = [str(name) for name in frame.columns]
    repeated = [name for name in inputs if names.count(name) > 1]
    if repeated:
        got = f"{names.count(repeated[0])} of that name"
        raise DataError(f"column '{repeated[0]}'", "one column", got)
    demand_columns(frame, list(needed), _ARGUMENT)
    absent = {_plain(name): name for name in inputs if name not in names}
    alike = [name for name in names if _plain(name) in absent and name not in inputs]
    if alike:
        name = absent[_plain(alike[0])]
        raise DataError(f"column '{alike[0]}'", f"'{name}'", "another spelling of it")
    if not set(inputs) & set(names):
        listed = ", ".join([*names[:6], *["..."][: len(names) > 6]])
        expected = f"some of the columns {', '.join(inputs)}"
        raise DataError("table", expected, listed, "", "name the columns")


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def demand_possible(frame: pd.DataFrame, names: Sequence[str], schema: Schema) -> None:
    """Refuse values that cannot be right in the unit of their column, marks such as -99 included.

    Raises:
        DataError: If one lies outside its bounds or is infinite, or an error is negative.
    """
    for name in names:
        is_negative = column_of(frame, name) < 0.0
        if name.startswith(ERROR_PREFIX) and is_negative.any():
            row = int(is_negative.argmax())
            got = f"{frame[name].iloc[row]:g}"
            raise DataError(
                f"column '{name}'", "errors of 0 or more", got, f"row {row}"
            )
    present = [name for name in names if name in schema and name in frame]
    values = pd.DataFrame({name: column_of(frame, name) for name in present})
    optional = [name for name in present if name != schema.time]
    for problem in problems(values, present, schema, optional=optional):
        row = int(problem.rows.argmax())
        subject, got = f"column '{problem.column}'", values[problem.column][row]
        hint = "leave out what is missing (NaN), or correct its unit"
        raise DataError(subject, problem.expected, f"{got:g}", f"row {row}", hint)


def column_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as floats (N,), NaN where it is missing; NaN or an error of 0 if absent.

    Raises:
        DataError: If it holds text, logical or complex values, or times.
    """
    if name not in frame:
        is_error = name.startswith(ERROR_PREFIX)
        return np.full(len(frame), 0.0 if is_error else np.nan)
    column = frame[name]
    kind = getattr(column.dtype, "kind", "O")
    if kind not in _NUMERIC and not isinstance(column.dtype, pd.StringDtype):
        raise DataError(f"column '{name}'", "numbers", f"values of type {column.dtype}")
    numeric = pd.to_numeric(column, errors="coerce")
    is_text = (numeric.isna() & column.notna()).to_numpy(bool)
    if is_text.any():
        row = int(is_text.argmax())
        got = f"'{column.iloc[row]}'"
        raise DataError(f"column '{name}'", "numbers", got, f"row {row}")
    return numeric.to_numpy(dtype=float, na_value=np.nan)


def columns_of(values: Any, names: Sequence[str]) -> np.ndarray:
    """Return all named columns of a table (N, len(names)).

    Raises:
        DataError: If one is missing or holds no numbers.
    """
    frame = as_frame(values)
    if isinstance(values, Table):
        frame = pd.DataFrame({name: list(values[name]) for name in values.colnames})
    demand_columns(frame, list(names), _ARGUMENT)
    return np.stack([column_of(frame, name) for name in names], 1)


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
