"""Data frames of pandas, of any of its types, as tables of astropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Column, MaskedColumn, Table
from pandas.api import types


def table_of_frame(frame: pd.DataFrame) -> Table:
    """Return the columns of numbers, logical values and text, masked where a value is missing.

    Columns of other types (lists, times, nested frames) are left out.

    Examples:
        >>> frame = pd.DataFrame({"z": [0.3, None], "name": ["A", "B"], "when": pd.NaT})
        >>> table_of_frame(frame).colnames
        ['z', 'name']
    """
    columns = {str(name): _column(frame[name]) for name in frame}
    return Table({name: value for name, value in columns.items() if value is not None})


def _column(values: pd.Series) -> Column | None:
    if types.is_bool_dtype(values.dtype):
        return _masked(values, False, bool)
    if types.is_integer_dtype(values.dtype):
        return _masked(values, 0, np.uint64 if values.dtype.kind == "u" else np.int64)
    if types.is_float_dtype(values.dtype):
        return _masked(values, np.nan, float)
    if types.is_string_dtype(values.astype(object)):
        return _masked(values.astype(object), "", str)
    return None


def _masked(values: pd.Series, blank: Any, dtype: Any) -> Column:
    is_missing = values.isna().to_numpy()
    present = values.where(~is_missing, blank).to_numpy(dtype=dtype)
    if is_missing.any():
        return MaskedColumn(present, mask=is_missing)
    return Column(present)
