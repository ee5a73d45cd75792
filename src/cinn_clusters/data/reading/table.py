"""The rows of a table of text under its layout, and its columns typed where nothing is lost."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.data.reading.layout import DELIMITERS, Layout
from cinn_clusters.data.reading.numbers import (
    NO_VALUE,
    decimal_mark,
    floats,
    typed,
    with_decimal_mark,
)
from cinn_clusters.data.reading.sniff import HEAD
from cinn_clusters.errors import DataError

# pandas parses floats to the last bit by default from 3.1 on, where the argument is deprecated
EXACT: dict[str, Any] = (
    {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
)
NOTES, UNITS = "notes", "units"
"""What a table of text says of itself in its ``attrs``: decisions of the reader, and units."""
HEADER_LINE, SKIPPED = "header_line", "skipped_lines"
"""Where its rows stand in the file, in its ``attrs``."""
_Columns = dict[int, Any]
"""Columns by their place: floats, or texts."""


def _present_floats(texts: Sequence[str]) -> np.ndarray | None:
    """Floats, NaN where a value is missing; None for anything else."""
    values = floats(texts)
    if values is None:
        filled = ["nan" if _is_missing(text) else text for text in texts]
        values = floats(filled)
    return values


def _is_missing(text: str) -> bool:
    return text.strip() in NO_VALUE


class TextTable:
    """The rows of a file under its layout."""

    def __init__(self, path: Path, text: str, layout: Layout) -> None:
        self.path, self.text, self.layout = path, text, layout
        self.width = len(layout.header)
        self.skipped: list[int] = []
        self.num_blank = 0
        self.comments: list[str] = []
        self.is_regular = True

    def columns(self, text: Collection[str] = ()) -> _Columns:
        """All columns: arrays of floats where they are of fractions, else lists of text.

        The length of every row is checked first, then pandas parses the fractions. Where it counts
        other rows, all columns are taken as text; where it finds another type, that column is.
        """
        every = list(range(self.width))
        fractions = self._fractions(text)
        textual = [at for at in every if at not in fractions]
        texts = {} if self._is_even() else self._texts(textual)
        missing = [at for at in every if at not in texts]
        try:
            parsed = self._parsed(missing, textual)
        except pd.errors.ParserError as error:  # rows that Python's reader told apart
            raise DataError(self.path, "a closing quote", "none") from error
        num_rows = len(next(iter(texts.values()), parsed))
        if not (num_rows and self.is_regular and len(parsed) == num_rows):
            return self._texts(every)
        texts |= {at: _values(parsed[at]) for at in missing}
        mistaken = [at for at in fractions if isinstance(texts[at], list)]
        return texts | self._texts(mistaken)

    def _fractions(self, text: Collection[str]) -> set[int]:
        """Places of columns that begin with fractions, which need no second look."""
        lines = io.StringIO(self.text[:HEAD], newline="")
        sample = list(islice(lines, self.layout.skipped, self.layout.skipped + 50))
        rows = [row for row in self.layout.rows(sample) if len(row) == self.width]
        names = self.layout.header
        return {
            place
            for place, column in enumerate(zip(*rows, strict=True))
            if names[place] not in text and _present_floats(column) is not None
        }

    def _is_even(self) -> bool:
        """Whether each line below the header is a row: no quotes, comments or other lengths."""
        delimiter, comment = self.layout.delimiter, self.layout.comment
        is_macintosh = "\r" in self.text and "\n" not in self.text
        if delimiter == " " or is_macintosh or self.layout.quote in self.text:
            return False
        lines = self.text.rstrip("\r\n").split("\n")[self.layout.skipped :]
        counts = {line.count(delimiter) for line in lines}
        starts = {line[:1] for line in lines}
        return counts == {self.width - 1} and starts.isdisjoint(
            {*comment[:1], delimiter, " "}
        )

    def _lines(self) -> Iterator[str]:
        """Lines below the header."""
        stream = io.StringIO(self.text, newline="")
        return islice(stream, self.layout.skipped, None)

    def _empty(self) -> DataError:
        return DataError(self.path, "at least one row below the header", "none")

    def _texts(self, indices: list[int]) -> _Columns:
        """Text of some columns."""
        if not indices:
            return {}
        self.skipped, self.num_blank, self.comments = [], 0, []
        self.is_regular = True
        columns: _Columns = {at: [] for at in indices}
        takers = [(columns[at].append, at) for at in indices]
        for row in self.rows():
            for take, at in takers:
                take(row[at])
        if not columns[indices[0]]:
            raise self._empty()
        return columns

    def _parsed(self, indices: list[int], textual: list[int]) -> pd.DataFrame:
        """Some columns as pandas parses them, the text of others as it stands."""
        delimiter = self.layout.delimiter
        separator = r"\s+" if delimiter == " " else delimiter
        stream = io.StringIO(self.text, newline="")
        deque(islice(stream, self.layout.skipped), maxlen=0)
        marks: Any = {at: sorted(NO_VALUE) for at in indices if at not in textual}
        if not indices:
            return pd.DataFrame()
        frame: pd.DataFrame = pd.read_csv(
            stream,
            sep=separator,
            header=None,
            names=range(self.width),
            usecols=indices,
            dtype=dict.fromkeys(textual, object),
            quotechar=self.layout.quote,
            skipinitialspace=True,
            na_values=marks,
            keep_default_na=False,
            low_memory=False,
            **EXACT,
        )
        return frame

    def rows(self) -> Iterator[list[str]]:
        """Rows of the width of the header; blank lines and comments are left out."""
        reader = self.layout.rows(self._lines())
        width, starts = self.width, {"", " ", self.layout.comment[:1]}
        row: list[str] = []
        for row in reader:
            if len(row) == width and row[0][:1] not in starts:
                yield row
            elif self._is_row(row):
                yield self._mended(row, reader)
            else:
                self.skipped.append(self._line(reader))
                self.is_regular &= not row
        self._demand_closed(row, reader)

    def _is_row(self, row: list[str]) -> bool:
        """Whether a row that begins with a blank field or a comment holds values."""
        is_comment = bool(row) and self.layout.is_comment(row[0])
        is_blank = not any(map(str.strip, row))
        self.num_blank += is_blank and len(row) > 1
        if is_comment and len(row) == self.width > 1:
            self.comments.append(self.layout.delimiter.join(row))
        return not (is_comment or is_blank)

    def _line(self, reader: Any) -> int:
        line: int = self.layout.skipped + reader.line_num
        return line

    def _mended(self, row: list[str], reader: Any) -> list[str]:
        """A row without the delimiter behind its last value; another length is refused."""
        if len(row) == self.width + 1 and not row[-1].strip():
            self.is_regular = False
            return row[:-1]
        if len(row) == self.width:
            return row
        expected = f"rows of equal length, {self.width} values a row as in the header"
        text = self.layout.delimiter.join(row)[:60]
        got, where = str(len(row)), f"line {self._line(reader)}, '{text}'"
        raise DataError(self.path, expected, got, where, self._hint(len(row)))

    def _hint(self, num_fields: int) -> str:
        """What to do about a row of another length."""
        delimiter = DELIMITERS.get(self.layout.delimiter, "the delimiter")
        cause = "is one missing, or was the file cut short?"
        if num_fields > self.width:
            cause = "put values that hold one in quotes"
            if num_fields == self.width + 1:
                cause = f"is a name missing in the header? Otherwise {cause}"
            if self.layout.delimiter == ",":
                cause += ", or numbers with decimal commas between semicolons"
        return f"fields stand between {delimiter}: {cause}"

    def _demand_closed(self, row: list[str], reader: Any) -> None:
        """Refuse a last row that a missing quote made swallow others."""
        if not row or "\n" not in row[-1].rstrip("\r\n"):
            return
        ending = self.text.rstrip()[-1:]
        if ending != self.layout.quote:
            start = self._line(reader) - row[-1].count("\n")
            got, where = "none", f"the field that begins in line {start}"
            raise DataError(self.path, "a closing quote", got, where)

    def frame(self, columns: _Columns, text: Collection[str]) -> pd.DataFrame:
        """The table, its columns typed where nothing is lost by it."""
        layout, notes = self.layout, self._notes()
        mark = layout.decimal or _common_mark(columns, layout)
        if mark == "," and not layout.decimal:
            notes.append("commas read as decimal marks")
        series = {}
        for index, name in enumerate(layout.header):
            is_name = name in text
            column = _series(columns[index], "" if is_name else mark, is_name)
            if name or column.notna().any():
                series[name or f"Unnamed: {index}"] = column
        frame = pd.DataFrame(series)
        units = dict(zip(layout.header, layout.units, strict=False))
        frame.attrs |= {HEADER_LINE: layout.skipped, NOTES: notes}
        frame.attrs |= {SKIPPED: self.skipped, UNITS: units}
        return frame

    def _notes(self) -> list[str]:
        """What was decided about the file."""
        layout, notes = self.layout, []
        if layout.delimiter not in ",":
            notes.append(f"fields stand between {DELIMITERS[layout.delimiter]}")
        if layout.encoding not in ("utf-8", "utf-8-sig"):
            notes.append(f"read as {layout.encoding}, which is not UTF-8")
        if layout.units:
            notes.append("units taken from the line below the names")
        if self.num_blank:
            notes.append(f"rows without any value left out: {self.num_blank}")
        if self.comments:
            rows = f"rows behind a {layout.comment} left out: {len(self.comments)}"
            notes.append(f"{rows}, as '{self.comments[0][:40]}'")
        return notes


def _series(column: Any, mark: str, is_name: bool) -> pd.Series:
    """A column with its type, or the text of names as it stands."""
    if not isinstance(column, list):
        return pd.Series(column)
    if is_name:
        return pd.Series(column, dtype=object)
    if mark:
        column = with_decimal_mark(column, mark)
    return typed(column)


def _values(column: pd.Series) -> Any:
    """Floats as an array, all else as a list."""
    if column.dtype == float:
        return column.to_numpy()
    return column.tolist()


def _common_mark(columns: _Columns, layout: Layout) -> str:
    """A comma where numbers have it as decimal mark, in a file whose fields do not stand between commas."""
    if layout.delimiter == ",":
        return ""
    texts = filter(lambda column: isinstance(column, list), columns.values())
    marks = set(map(decimal_mark, texts))
    return "," if "," in marks and "." not in marks else ""
