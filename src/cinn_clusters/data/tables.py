"""CSV in, with one clear line when it is not one."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError
from cinn_clusters.schema import KEYS

# pandas parses floats to the last bit by default from 3.1 on, where the argument is deprecated
EXACT: dict[str, Any] = (
    {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
)
FIRST_LINE = 2
"""Line of the first row in a file: people count the header as line 1."""


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with a header, UTF-8 with or without byte-order mark, text left as it is.

    Args:
        path: The file.

    Returns:
        At least one row; column names without surrounding blanks; floats parsed to the last bit.

    Raises:
        DataError: If the file is missing, empty, not UTF-8, ragged, or names a column twice.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, skipinitialspace=True)
            header = [name.strip() for name in next(filter(None, lines), [])]
            _demand_even(lines, len(header), str(path))
        frame: pd.DataFrame = pd.read_csv(
            path, encoding="utf-8-sig", skipinitialspace=True, **EXACT
        )
    except OSError as error:
        raise DataError(
            str(path), "a readable CSV file", error.strerror or "an error"
        ) from error
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02x}"
        raise DataError(
            str(path), "UTF-8 text", got, "", "save it as CSV UTF-8"
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, csv.Error) as error:
        expected, got = (
            "a header and rows of equal length",
            str(error).strip() or "nothing",
        )
        raise DataError(str(path), expected, got) from error
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        expected = "each name once in the header"
        raise DataError(f"column '{repeated[0]}'", expected, "it twice", str(path))
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    if frame.empty:
        raise DataError(str(path), "at least one row below the header", "none")
    return frame


def _demand_even(lines: Any, width: int, source: str) -> None:
    """Refuse rows that pandas would fill up (a file cut short) or take for an index (too long)."""
    for row in lines:
        if len(row) != width and any(value.strip() for value in row):
            expected = f"rows of equal length, {width} values a row as in the header"
            line, hint = f"line {lines.line_num}", "is the file complete?"
            raise DataError(source, expected, str(len(row)), line, hint)


def demand_columns(
    frame: pd.DataFrame, names: Sequence[str], source: str, hint: str = ""
) -> None:
    """Refuse a table that lacks a column, naming one that looks alike.

    Raises:
        DataError: If a column is missing.
    """
    missing = [name for name in names if name not in frame]
    if not missing:
        return
    alike = get_close_matches(missing[0], [str(name) for name in frame.columns], 1)
    if alike and not hint:
        hint = f"did you mean '{alike[0]}'?"
    got = "no such column"
    if len(missing) > 1:
        got = f"{len(missing)} columns missing: {', '.join(missing)}"
    raise DataError(
        f"column '{missing[0]}'", "a column of the table", got, source, hint
    )


def demand_unique(frame: pd.DataFrame, keys: Sequence[str], source: str) -> None:
    """Refuse a table whose keys do not identify its rows.

    Raises:
        DataError: If two rows share their keys.
    """
    repeated = frame.duplicated(list(keys)).to_numpy()
    if repeated.any():
        row, got = int(np.argmax(repeated)), f"{int(repeated.sum())} repeated"
        values = ", ".join(f"{key} {frame[key].iloc[row]}" for key in keys)
        line = f"{source}, line {row + FIRST_LINE} ({values})"
        expected, subject = "each once", f"keys {' and '.join(keys)}"
        raise DataError(subject, expected, got, line, "remove one of them")


def to_numbers(
    frame: pd.DataFrame,
    names: Sequence[str],
    source: str,
    integers: Sequence[str] = KEYS,
) -> pd.DataFrame:
    """Return the table with the named columns as float64, and ``integers`` among them as int64.

    Raises:
        DataError: If a value is text, or one of ``integers`` is not a whole number.
    """
    result = frame.copy()
    for name in names:
        values = pd.to_numeric(frame[name], errors="coerce").astype(float)
        is_text = (values.isna() & frame[name].notna()).to_numpy()
        if is_text.any():
            _refuse(frame[name], is_text, "numbers", source)
        result[name] = values
    for name in set(integers) & set(names):
        values = result[name]
        is_fraction = ~np.asarray(np.isfinite(values) & (values == values.round()))
        if is_fraction.any():
            _refuse(values, is_fraction, "whole numbers", source)
        result[name] = values.astype("int64")
    return result


def _refuse(
    values: pd.Series, is_wrong: np.ndarray, expected: str, source: str
) -> None:
    """Name the first of the wrong values and its line."""
    row = int(np.argmax(is_wrong))
    got = f"'{values.iloc[row]}'"
    if is_wrong.sum() > 1:
        got += f" and {is_wrong.sum() - 1} more"
    raise DataError(
        f"column '{values.name}'", expected, got, f"{source}, line {row + FIRST_LINE}"
    )
