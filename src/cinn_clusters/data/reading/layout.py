"""How a table of text is laid out: delimiter, quotes, comments, header and units."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from cinn_clusters.data.reading.numbers import is_number
from cinn_clusters.data.reading.sniff import HEAD
from cinn_clusters.errors import DataError

DELIMITERS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    " ": "blanks",
}
KEYS_OF_READ = {"format", "delimiter", "encoding", "decimal", "header_start"}
KEYS_OF_READ |= {"data_start", "comment", "quotechar"}
"""Keys of ``[read]`` that say how a table of text is laid out."""
_SAMPLE = 60
_LINE_END = re.compile(r"\r\n|\r|\n")
_RULE = re.compile(r"[-=+|:;,\s]*-[-=+|:;,\s]*")
"""A line of dashes below the names, as VizieR, psql and Markdown draw it."""
_EXCEL = re.compile(r"sep=(.)$")


@dataclass(frozen=True)
class Layout:
    """How a table of text is laid out.

    Args:
        encoding: Of its text.
        delimiter: Between fields.
        quote: Around fields.
        comment: What a line begins with that is none of the table; empty: nothing.
        decimal: Mark of decimals that was stated, or none.
        header: Names of the columns.
        header_line: Line of the names, counted from 1.
        skipped: Lines above the first row.
        units: Units of the columns from a line of their own, or none.
    """

    encoding: str
    delimiter: str = ","
    quote: str = '"'
    comment: str = "#"
    decimal: str = ""
    header: tuple[str, ...] = ()
    header_line: int = 1
    skipped: int = 1
    units: tuple[str, ...] = ()

    def rows(self, lines: Iterable[str]) -> Any:
        """Return a reader of the fields of some lines."""
        if self.delimiter == " ":
            lines = map(str.strip, lines)
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=True
        )

    def is_comment(self, line: str) -> bool:
        """Whether a line is none of the table."""
        return bool(self.comment) and line.lstrip().startswith(self.comment)

    def row(self, line: str) -> list[str]:
        """Return the fields of one line."""
        fields: list[str] = next(self.rows([line]), [])
        return [field.strip() for field in fields]


def lay_out(
    head: str, encoding: str, source: str, read: Mapping[str, Any] | None = None
) -> Layout:
    """Tell the layout of a text by its first lines.

    Args:
        head: The first characters.
        encoding: Of the text.
        source: For the error.
        read: Keys of ``[read]`` that decide.

    Raises:
        DataError: If no names of columns stand above the rows.
    """
    read = dict(read or {})
    lines = _LINE_END.split(head)
    if len(head) > HEAD // 4:
        del lines[-1]  # it may be cut short
    layout = Layout(
        str(read.get("encoding", encoding)),
        comment=str(read.get("comment", "#")),
        decimal=str(read.get("decimal", "")),
    )
    start, stated = 0, read.get("delimiter")
    excel = _EXCEL.match(lines[0].lstrip("\ufeff"))
    if excel:
        start, stated = 1, stated or excel[1]
    body = _body(lines, start, layout)
    if not body:
        raise DataError(source, "a header and rows of equal length", "no line")
    body = body[int(read.get("header_start", 0)) :]
    layout = replace(layout, quote=_quote(lines[body[0]], read))
    delimiter = str(stated or _delimiter([lines[i] for i in body], layout))
    layout = replace(layout, delimiter=delimiter)
    layout = _with_header(layout, lines, body, source)
    if "data_start" in read:
        number = int(read["data_start"]) - int(read.get("header_start", 0))
        rows = body
        if read.get("format") == "ascii.csv":  # which counts comments, as astropy does
            rows = _body(lines, body[0], replace(layout, comment=""))
        layout = replace(layout, skipped=rows[min(number, len(rows) - 1)], units=())
    return layout


def _body(lines: list[str], start: int, layout: Layout) -> list[int]:
    """Places of the first lines that are neither blank nor comments."""
    places = (
        place
        for place in range(start, len(lines))
        if lines[place].strip("\ufeff \t") and not layout.is_comment(lines[place])
    )
    return list(islice(places, _SAMPLE))


def _quote(line: str, read: Mapping[str, Any]) -> str:
    """Single quotes, where they stand around every name."""
    is_single = re.fullmatch(r"\s*('[^']*'\s*[,;\t| ]?\s*)+", line)
    if "quotechar" in read:
        return str(read["quotechar"])
    return "'" if is_single else '"'


def _delimiter(lines: list[str], layout: Layout) -> str:
    """The delimiter that gives most lines as many fields as the first; blanks where none is."""
    shares = {
        delimiter: _evenness(lines, replace(layout, delimiter=delimiter))
        for delimiter in DELIMITERS
    }
    blanks = shares.pop(" ")
    best = max(shares, key=lambda delimiter: shares[delimiter])
    if shares[best] > (0.0, 0):
        return best
    return " " if blanks[0] == 1.0 or blanks[1] > 2 else ","


def _evenness(lines: list[str], layout: Layout) -> tuple[float, int]:
    """Share of the lines with as many fields as the first, and how many these are; 0 for one."""
    counts = [len(row) for row in layout.rows(lines)]
    width = counts[0]
    if width < 2:
        return 0.0, 0
    return counts.count(width) / len(counts), width


def _with_header(
    layout: Layout, lines: list[str], body: list[int], source: str
) -> Layout:
    """Find the names above the rows: a line of their own, or the last comment."""
    first = body[0]
    fields = layout.row(lines[first].lstrip("\ufeff"))
    comments = [place for place in range(first) if layout.is_comment(lines[place])]
    if any(map(is_number, fields)) and comments:
        marked = comments[-1]
        names = layout.row(lines[marked].lstrip().lstrip("#").strip())
        if len(names) == len(fields):
            return replace(
                layout, header=tuple(names), header_line=marked + 1, skipped=first
            )
    _demand_names(fields, source, first + 1)
    layout = replace(
        layout, header=tuple(fields), header_line=first + 1, skipped=first + 1
    )
    layout = _without_rule(layout, lines, body)
    is_marked = [layout.is_comment(line) for line in lines[layout.skipped :] if line]
    if is_marked and all(is_marked):  # names of objects that begin with the mark
        layout = replace(layout, comment="")
    return layout


def _without_rule(layout: Layout, lines: list[str], body: list[int]) -> Layout:
    """Step over a line of dashes below the names, and over the units above it."""
    below = [lines[place] for place in body[1:3]]
    for number, line in enumerate(below):
        if _RULE.fullmatch(line) and "--" in line:
            units: list[str] = []
            if number == 1:
                units = layout.row(below[0])
            skipped = body[number + 1] + 1
            return replace(layout, units=tuple(units), skipped=skipped)
    return layout


def _demand_names(fields: list[str], source: str, line: int) -> None:
    """Refuse a first line of numbers; names may be whole numbers that count."""
    numbers = [field for field in fields if is_number(field)]
    is_count = numbers == list(map(str, range(len(numbers))))
    is_fraction = any(set(number) & set(".,eE") for number in numbers)
    if numbers and (is_fraction or len(numbers) == len(fields)) and not is_count:
        got = f"numbers ('{numbers[0]}')"
        hint = "write the names above the rows"
        where = f"line {line}"
        raise DataError(source, "a line of column names", got, where, hint)


def unmarked(lines: Iterator[str], layout: Layout) -> Iterator[str]:
    """Leave comments out of the lines of a table, an empty line in place of each."""
    for line in lines:
        yield "\n" if line.startswith(layout.comment) else line
