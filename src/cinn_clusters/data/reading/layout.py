"""How a table of text is laid out: delimiter, quotes, comments, header and units."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
        delimiter, quote = self.delimiter, self.quote
        return csv.reader(
            lines, delimiter=delimiter, quotechar=quote, skipinitialspace=True
        )

    def is_comment(self, line: str) -> bool:
        """Whether a line is none of the table."""
        text = line.lstrip()
        return bool(self.comment) and text.startswith(self.comment)

    def row(self, line: str) -> list[str]:
        """Return the fields of one line."""
        reader = self.rows([line])
        fields: list[str] = next(reader, [])
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
    if len(head) > HEAD // 4 and len(lines) > 1:
        del lines[-1]  # it may be cut short
    layout = _stated_layout(encoding, read)

    # Excel may name the delimiter in a line of its own
    start = 0
    stated = read.get("delimiter")
    first_line = lines[0].lstrip("\ufeff")
    excel = _EXCEL.match(first_line)
    if excel:
        start = 1
        stated = stated or excel[1]
    body = _body(lines, start, layout)
    if not body:
        raise DataError(source, "a header and rows of equal length", "no line")

    header_start = int(read.get("header_start", 0))
    body = body[header_start:]
    quote = _quote(lines[body[0]], read)
    layout = replace(layout, quote=quote)
    body_lines = [lines[place] for place in body]
    delimiter = str(stated or _delimiter(body_lines, layout))
    layout = replace(layout, delimiter=delimiter)
    layout = _with_header(layout, lines, body, source)
    if "data_start" in read:
        return _with_start(layout, lines, body, read)
    return layout


def _stated_layout(encoding: str, read: Mapping[str, Any]) -> Layout:
    """What is stated of a layout, before a line is looked at."""
    encoding = str(read.get("encoding", encoding))
    comment = str(read.get("comment", "#"))
    decimal = str(read.get("decimal", ""))
    return Layout(encoding, comment=comment, decimal=decimal)


def _with_start(
    layout: Layout, lines: list[str], body: list[int], read: Mapping[str, Any]
) -> Layout:
    """Skip the lines above the row at which the table is said to begin."""
    header_start = int(read.get("header_start", 0))
    number = int(read["data_start"]) - header_start
    rows = body
    if read.get("format") == "ascii.csv":  # which counts comments, as astropy does
        without_comments = replace(layout, comment="")
        rows = _body(lines, body[0], without_comments)
    last = len(rows) - 1
    skipped = rows[min(number, last)]
    return replace(layout, skipped=skipped, units=())


def _body(lines: list[str], start: int, layout: Layout) -> list[int]:
    """Places of the first lines that are neither blank nor comments."""
    places = []
    for place in range(start, len(lines)):
        line = lines[place]
        text = line.strip("\ufeff \t")
        if text and not layout.is_comment(line):
            places.append(place)
        if len(places) == _SAMPLE:
            break
    return places


def _quote(line: str, read: Mapping[str, Any]) -> str:
    """Single quotes, where they stand around every name."""
    is_single = re.fullmatch(r"\s*('[^']*'\s*[,;\t| ]?\s*)+", line)
    if "quotechar" in read:
        return str(read["quotechar"])
    return "'" if is_single else '"'


def _delimiter(lines: list[str], layout: Layout) -> str:
    """The delimiter that gives most lines as many fields as the first; blanks where none is."""
    shares = {}
    for delimiter in DELIMITERS:
        attempt = replace(layout, delimiter=delimiter)
        shares[delimiter] = _evenness(lines, attempt)
    share_of_blanks, width_of_blanks = shares.pop(" ")
    best = max(shares, key=lambda delimiter: shares[delimiter])
    if shares[best] > (0.0, 0):
        return best
    if share_of_blanks == 1.0 or width_of_blanks > 2:
        return " "
    return ","


def _evenness(lines: list[str], layout: Layout) -> tuple[float, int]:
    """Share of the lines with as many fields as the first, and how many these are; 0 for one."""
    counts = list(map(len, layout.rows(lines)))
    width = counts[0]
    if width < 2:
        return 0.0, 0
    num_alike = counts.count(width)
    return num_alike / len(counts), width


def _with_header(
    layout: Layout, lines: list[str], body: list[int], source: str
) -> Layout:
    """Find the names above the rows: a line of their own, or the last comment."""
    first = body[0]
    first_line = lines[first].lstrip("\ufeff")
    fields = layout.row(first_line)
    comments = [place for place in range(first) if layout.is_comment(lines[place])]
    has_numbers = any(map(is_number, fields))
    if comments and has_numbers:
        last = comments[-1]
        names = _names_in_comment(layout, lines[last])
        if len(names) == len(fields):
            layout = replace(layout, header=names, header_line=last + 1)
            return replace(layout, skipped=first)

    _demand_names(fields, source, first + 1)
    layout = replace(layout, header=tuple(fields), header_line=first + 1)
    layout = replace(layout, skipped=first + 1)
    layout = _without_rule(layout, lines, body)
    rows = filter(None, lines[layout.skipped :])
    is_marked = list(map(layout.is_comment, rows))
    if is_marked and all(is_marked):  # names of objects that begin with the mark
        layout = replace(layout, comment="")
    return layout


def _names_in_comment(layout: Layout, line: str) -> tuple[str, ...]:
    text = line.lstrip().lstrip("#")
    names = layout.row(text.strip())
    return tuple(names)


def _without_rule(layout: Layout, lines: list[str], body: list[int]) -> Layout:
    """Step over a line of dashes below the names, and over the units above it."""
    below = [lines[place] for place in body[1:3]]
    for number, line in enumerate(below):
        is_rule = _RULE.fullmatch(line) and "--" in line
        if not is_rule:
            continue
        units: list[str] = []
        if number == 1:
            units = layout.row(below[0])
        place = body[number + 1]
        return replace(layout, units=tuple(units), skipped=place + 1)
    return layout


def _demand_names(fields: list[str], source: str, line: int) -> None:
    """Refuse a first line of numbers; names may be whole numbers that count."""
    numbers = list(filter(is_number, fields))
    if not numbers or _is_count(numbers):
        return
    is_fraction = any(set(number) & set(".,eE") for number in numbers)
    if is_fraction or len(numbers) == len(fields):
        first = numbers[0]
        got = f"numbers ('{first}')"
        hint = "write the names above the rows"
        expected = "a line of column names"
        raise DataError(source, expected, got, f"line {line}", hint)


def _is_count(numbers: list[str]) -> bool:
    expected = map(str, range(len(numbers)))
    return numbers == list(expected)


def unmarked(lines: Iterator[str], layout: Layout) -> Iterator[str]:
    """Leave comments out of the lines of a table, an empty line in place of each."""
    for line in lines:
        yield "\n" if line.startswith(layout.comment) else line
