"""CSV in, with one clear line when it is not one."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError

# pandas parses floats to the last bit by default from 3.1 on, where the argument is deprecated
EXACT: dict[str, Any] = (
    {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
)
FIRST_LINE = 2
"""Line of the first row in a file: people count the header as line 1."""


def read_csv(path: str | Path, text: Collection[str] = ()) -> pd.DataFrame:
    """Read a CSV file with a header, UTF-8 with or without byte-order mark, text left as it is.

    Args:
        path: The file.
        text: Columns of names: they keep every character that stands in the file (``007``,
            ``1e5``, ``NA``); an empty field is an empty text. Those that it lacks do not matter.

    Returns:
        At least one row; column names without surrounding blanks; floats parsed to the last bit.

    Raises:
        DataError: If the file is missing, empty, not UTF-8, ragged, or names a column twice.
    """
    source = str(path)
    try:
        header = _read_header(Path(path))
        places = [place for place, name in enumerate(header) if name in text]
        frame: pd.DataFrame = _parse(path)
        if places:
            exact = _parse(path, usecols=places, dtype=str, na_filter=False)
            frame[exact.columns] = exact
    except OSError as error:
        got = error.strerror or "an error"
        raise DataError(source, "a readable CSV file", got) from error
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02x}"
        hint = "save it as CSV UTF-8"
        raise DataError(source, "UTF-8 text", got, "", hint) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, csv.Error) as error:
        expected = "a header and rows of equal length"
        got = str(error).strip() or "nothing"
        raise DataError(source, expected, got) from error

    # pandas would tell two columns of one name apart by a suffix.
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        expected = "each name once in the header"
        raise DataError(f"column '{repeated[0]}'", expected, "it twice", source)
    frame.columns = frame.columns.astype(str).str.strip()
    if frame.empty:
        raise DataError(source, "at least one row below the header", "none")
    return frame


def _parse(path: str | Path, **arguments: Any) -> pd.DataFrame:
    """Columns of one type each, not one a block of rows."""
    frame: pd.DataFrame = pd.read_csv(
        path,
        encoding="utf-8-sig",
        skipinitialspace=True,
        low_memory=False,
        **EXACT,
        **arguments,
    )
    return frame


def _read_header(path: Path) -> list[str]:
    """Names of the columns of a file whose rows are as long as its header."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, skipinitialspace=True)
        first = next(filter(None, lines), [])  # the first line that is not blank
        _demand_even(lines, len(first), str(path))
    return [name.strip() for name in first]


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
    first = missing[0]
    got = "no such column"
    if len(missing) > 1:
        got = f"{len(missing)} columns missing: {', '.join(missing)}"
    alike = get_close_matches(first, map(str, frame.columns), 1)
    if alike and not hint:
        hint = f"did you mean '{alike[0]}'?"
    raise DataError(f"column '{first}'", "a column of the table", got, source, hint)


def demand_unique(frame: pd.DataFrame, keys: Sequence[str], source: str) -> None:
    """Refuse a table whose keys do not identify its rows.

    Raises:
        DataError: If two rows share their keys.
    """
    repeated = frame.duplicated(list(keys)).to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        first = frame.iloc[[row]]
        values = ", ".join(f"{key} {first[key].item()}" for key in keys)
        line = f"{source}, line {row + FIRST_LINE} ({values})"
        subject = f"keys {' and '.join(keys)}"
        got = f"{int(repeated.sum())} repeated"
        raise DataError(subject, "each once", got, line, "remove one of them")


def to_numbers(frame: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """Return the table with the named columns as float64.

    Raises:
        DataError: If a value is text.
    """
    result = frame.copy()
    for name in names:
        column = frame[name]
        values = pd.to_numeric(column, errors="coerce").astype(float)
        is_text = values.isna() & column.notna()
        if is_text.any():
            _refuse(column, is_text, "numbers", source)
        result[name] = values
    return result


def _refuse(values: pd.Series, is_wrong: pd.Series, expected: str, source: str) -> None:
    """Name the first of the wrong values and its line."""
    row = int(is_wrong.argmax())
    got = f"'{values.iloc[row]}'"
    num_more = is_wrong.sum() - 1
    if num_more:
        got += f" and {num_more} more"
    line = f"{source}, line {row + FIRST_LINE}"
    raise DataError(f"column '{values.name}'", expected, got, line)
