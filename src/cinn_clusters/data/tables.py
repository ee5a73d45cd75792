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

# pandas parses floats to the last bit by default from 3.1 on, where the argument is deprecated
EXACT: dict[str, Any] = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
FIRST_LINE = 2
"""Line of the first row in a file: people count the header as line 1."""


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with a header, UTF-8 with or without byte-order mark, values unconverted where not numeric.

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
        raise DataError(str(path), "a readable CSV file", error.strerror or "an error") from error
    except UnicodeDecodeError as error:
        hint = "save it as CSV UTF-8"
        raise DataError(
            str(path), "UTF-8 text", f"byte 0x{error.object[error.start]:02x}", "", hint
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, csv.Error) as error:
        raise DataError(
            str(path), "a header and rows of equal length", str(error).strip() or "nothing"
        ) from error
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise DataError(
            f"column '{twice[0]}'", "each name once in the header", "it twice", str(path)
        )
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    if frame.empty:
        raise DataError(str(path), "at least one row below the header", "none")
    return frame


def _demand_even(lines: Any, width: int, where: str) -> None:
    """Refuse what pandas takes for missing values (a file cut short) or for an index (rows
    longer than the header).
    """
    for row in lines:
        if len(row) != width and any(value.strip() for value in row):
            expected = f"rows of equal length, {width} values a row as in the header"
            raise DataError(
                where, expected, str(len(row)), f"line {lines.line_num}", "is the file complete?"
            )


def demand_columns(frame: pd.DataFrame, names: Sequence[str], where: str, hint: str = "") -> None:
    """Refuse a table that lacks a column, naming one that looks alike.

    Raises:
        DataError: If a column is missing.
    """
    missing = [name for name in names if name not in frame]
    if not missing:
        return
    alike = get_close_matches(missing[0], [str(name) for name in frame.columns], 1)
    hint = hint or (f"did you mean '{alike[0]}'?" if alike else "")
    got = (
        "no such column"
        if len(missing) == 1
        else f"{len(missing)} columns missing: {', '.join(missing)}"
    )
    raise DataError(f"column '{missing[0]}'", "a column of the table", got, where, hint)


def demand_unique(frame: pd.DataFrame, keys: list[str], where: str) -> None:
    """Refuse a table whose keys do not identify its rows.

    Raises:
        DataError: If two rows share their keys.
    """
    repeated = frame.duplicated(keys)
    if repeated.any():
        row = int(np.argmax(repeated.to_numpy()))
        what = ", ".join(f"{key} {frame[key].iloc[row]}" for key in keys)
        raise DataError(
            "keys " + " and ".join(keys),
            "each pair once",
            f"{int(repeated.sum())} repeated",
            f"{where}, line {row + FIRST_LINE} ({what})",
            "remove one of them",
        )


def to_numbers(frame: pd.DataFrame, names: Sequence[str], where: str) -> pd.DataFrame:
    """Return the table with the named columns as float64 (keys as int64).

    Raises:
        DataError: If a value is text, or a key is not a whole number.
    """
    result = frame.copy()
    for name in names:
        values = pd.to_numeric(frame[name], errors="coerce").astype(float)
        text = (values.isna() & frame[name].notna()).to_numpy()
        if text.any():
            row = int(np.argmax(text))
            got = f"'{frame[name].iloc[row]}'" + (
                f" and {text.sum() - 1} more" if text.sum() > 1 else ""
            )
            raise DataError(f"column '{name}'", "numbers", got, f"{where}, line {row + FIRST_LINE}")
        result[name] = values
    for key in {"HaloID", "Snapshot"} & set(names):
        result[key] = _whole(result[key], where)
    return result


def _whole(values: pd.Series, where: str) -> pd.Series:
    wrong = ~(np.isfinite(values) & (values == values.round())).to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"column '{values.name}'",
            "whole numbers",
            str(values.iloc[row]),
            f"{where}, line {row + FIRST_LINE}",
        )
    return values.astype("int64")
