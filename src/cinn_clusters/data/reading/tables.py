"""Tables of text in: sniffed once, read by one parser, with one clear line where one is none."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.data.reading.encoding import decoded
from cinn_clusters.data.reading.layout import lay_out
from cinn_clusters.data.reading.numbers import as_numbers
from cinn_clusters.data.reading.sniff import (
    HEAD,
    PLAIN_TEXT,
    Content,
    demand_table,
    sniff,
)
from cinn_clusters.data.reading.table import HEADER_LINE, NOTES, SKIPPED, TextTable
from cinn_clusters.errors import DataError

_COMMENTS = re.compile(r"(?:\ufeff?[ \t]*#[^\r\n]*[\r\n]+)+")
_ECSV_DELIMITER = re.compile(r"^# delimiter: '?([^'\n])'?", re.MULTILINE)


def read_csv(
    path: str | Path, text: Collection[str] = (), read: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Read a table of text, whatever its delimiter, encoding, comments and mark of decimals.

    Args:
        path: The file, which may be compressed.
        text: Columns of names: they keep every character that stands in the file (``007``,
            ``1e5``, ``NA``); an empty field is an empty text. Those that it lacks do not matter.
        read: Keys of ``[read]`` that decide about the layout.

    Returns:
        At least one row; column names without surrounding blanks. A column is of numbers where
        nothing is lost by it (``numbers.typed``). What had to be decided stands in
        ``attrs["notes"]``.

    Raises:
        DataError: If the file is missing, empty, no text, ragged, or names a column twice.
    """
    path = Path(path)
    content = sniff(path)
    demand_table(path, content)
    if content.kind != PLAIN_TEXT:
        got, hint = f"one in the format {content.kind}", "save the table as CSV UTF-8"
        raise DataError(path, "a table of plain text", got, "", hint)
    return read_text_table(path, content, text, read)


def read_text_table(
    path: Path,
    content: Content,
    text: Collection[str] = (),
    read: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Read a table of text that was sniffed; see ``read_csv``.

    Raises:
        DataError: As ``read_csv``.
    """
    stated = str((read or {}).get("encoding", ""))
    body, encoding = decoded(path, content.encoding, stated)
    layout = lay_out(_head(body), encoding, str(path), read)
    _demand_once(layout.header, str(path))
    try:
        table = TextTable(path, body, layout)
        columns = table.columns(text)
    except csv.Error as error:
        expected, hint = "fields of a table", "is a closing quote missing?"
        raise DataError(path, expected, str(error), "", hint) from error
    frame = table.frame(columns, text)
    frame.attrs[NOTES] = [f"{path.name}: {note}" for note in frame.attrs[NOTES]]
    return frame


def demand_even(path: Path, content: Content) -> None:
    """Refuse a table of text whose rows are not as long as its header, or a name in it twice.

    Raises:
        DataError: If they are not.
    """
    body, encoding = decoded(path, content.encoding)
    layout = lay_out(_head(body), encoding, str(path), _stated_delimiter(body))
    _demand_once(layout.header, str(path))
    deque(TextTable(path, body, layout).rows(), maxlen=0)


def _head(body: str) -> str:
    """The first lines of a text, with all of the comments above them."""
    comments = _COMMENTS.match(body)
    end = comments.end() if comments else 0
    return body[: end + HEAD]


def _stated_delimiter(body: str) -> dict[str, str]:
    """The delimiter that the header of ECSV states, blanks by default."""
    stated = _ECSV_DELIMITER.search(body[:HEAD])
    return {"delimiter": stated[1] if stated else " "}


def _demand_once(header: Sequence[str], source: str) -> None:
    """Refuse a name that stands twice in a header."""
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        name, expected = repeated[0], "each name once in the header"
        numbers = [str(i) for i, other in enumerate(header, 1) if other == name]
        got, hint = (
            f"it twice, as columns {' and '.join(numbers)}",
            "rename one of them",
        )
        raise DataError(f"column '{name}'", expected, got, source, hint)


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
    columns, folded = list(map(str, frame.columns)), first.casefold()
    alike = [name for name in columns if name.casefold().strip().startswith(folded)]
    alike = alike or get_close_matches(first, columns, 1)
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
        line = f"{source}, line {file_line(frame, row)} ({values})"
        subject = f"keys {' and '.join(keys)}"
        got = f"{int(repeated.sum())} repeated"
        raise DataError(subject, "each once", got, line, "remove one of them")


def file_line(table: pd.DataFrame | pd.Series, row: int) -> int:
    """Line of a row in the file of a table; people count the first line as 1."""
    line = int(table.attrs.get(HEADER_LINE, 1)) + 1 + row
    for skipped in table.attrs.get(SKIPPED, ()):
        line += skipped <= line
    return line


def to_numbers(frame: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """Return the table with the named columns as float64.

    Raises:
        DataError: If a value is text, logical or complex, or reads two ways.
    """
    result, notes = frame.copy(), list(frame.attrs.get(NOTES, ()))
    for name in names:
        column = as_numbers(frame[name], name)
        notes += column.notes
        if column.is_text.any():
            _refuse(frame[name], column.is_text, "numbers", source)
        result[name] = column.values
    result.attrs[NOTES] = notes
    return result


def _refuse(
    values: pd.Series, is_wrong: np.ndarray, expected: str, source: str
) -> None:
    """Name the first of the wrong values and its line."""
    row = int(is_wrong.argmax())
    got = f"'{values.iloc[row]}'"
    num_more = is_wrong.sum() - 1
    if num_more:
        got += f" and {num_more} more"
    line = f"{source}, line {file_line(values, row)}"
    raise DataError(f"column '{values.name}'", expected, got, line)
