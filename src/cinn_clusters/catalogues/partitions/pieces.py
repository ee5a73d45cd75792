"""Tables of FITS and of text in pieces of some rows, each read by the one reader of tables.

A piece of a FITS table is its header over some of its rows; a piece of a text is its first lines
down to the names over some of the others. Formats that cannot be cut are read whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits
from astropy.table import Table

from cinn_clusters.catalogues.formats.fits_tables import table_unit
from cinn_clusters.catalogues.formats.parquet import arrow_of_table
from cinn_clusters.catalogues.table_files import read_table, readable_table
from cinn_clusters.data.reading.sniff import PLAIN_TEXT, Content, open_unpacked, sniff
from cinn_clusters.errors import DataError

_BLOCK = 2880
"""Bytes of which FITS is made."""
_UTF8 = ("utf-8", "utf-8-sig")
_HAS_NUMBER = re.compile(rb"(^|[\s,;|])[-+]?[.\d]+(e[-+]?\d+)?([\s,;|]|$)", re.I).search
"""A field that is a number: a line of names has none."""
_RULE = re.compile(rb"[-=+|,\s]{3,}").fullmatch
"""A line of dashes, which tells names and units from rows."""


def lay_down(
    path: Path,
    read: Mapping[str, Any],
    num_rows: int,
    text: Collection[str],
    folder: Path,
) -> list[Path]:
    """Write a table as Parquet files of some rows, in bounded memory where its format can be cut.

    A column that is text in one piece is text in all of them.

    Args:
        path: The table.
        read: Keys of ``[read]``.
        num_rows: Rows of a piece.
        text: Columns of names.
        folder: Where the files go.

    Raises:
        DataError: If the table cannot be read.
    """
    piece = folder / path.name
    cut = Cut(path, dict(read), num_rows, piece)
    files, texts = _write_pieces(table_pieces(cut, text), set(), folder)
    common = set.union(*texts)
    if any(of_piece != common for of_piece in texts):
        pieces = table_pieces(cut, common.union(text))
        files, _ = _write_pieces(pieces, common, folder)
    piece.unlink(missing_ok=True)
    return files


@dataclass(frozen=True)
class Cut:
    """A table that is cut into pieces.

    Args:
        path: The table.
        read: Keys of ``[read]``.
        num_rows: Rows of a piece.
        piece: File for one piece at a time, of the same name as the table.
    """

    path: Path
    read: dict[str, Any]
    num_rows: int
    piece: Path


def _write_pieces(
    pieces: Iterable[Table], text: set[str], folder: Path
) -> tuple[list[Path], list[set[str]]]:
    """Write pieces of which some columns are text; return the files, and those of each."""
    from pyarrow import parquet

    files: list[Path] = []
    texts: list[set[str]] = []
    for number, piece in enumerate(pieces):
        texts.append({name for name in piece.colnames if _is_text(piece[name])})
        for name in text - texts[-1]:
            piece[name] = piece[name].astype(str)  # whole numbers, which print back
        files.append(folder / f"piece-{number:06d}.parquet")
        parquet.write_table(arrow_of_table(piece), files[-1])
    return files, texts


def _is_text(column: Any) -> bool:
    return getattr(getattr(column, "dtype", None), "kind", "") in "UOS"


def table_pieces(cut: Cut, text: Collection[str] = ()) -> Iterator[Table]:
    """Yield a table in pieces, in order; columns of ``text`` keep every character.

    Raises:
        DataError: If the table cannot be read.
    """
    content = sniff(cut.path)
    if content.kind == "fits" and not _is_packed(cut.path):
        yield from _fits_pieces(cut)
    elif content.kind == PLAIN_TEXT and _is_plain(cut, content):
        yield from _text_pieces(cut, text)
    else:
        yield read_table(cut.path, cut.read, text)


def _is_packed(path: Path) -> bool:
    with open_unpacked(path) as stream:
        return not isinstance(stream, BufferedReader)


def _is_plain(cut: Cut, content: Content) -> bool:
    """Whether the first line of a text that is no comment holds the names, and rows follow."""
    if content.encoding not in _UTF8 or not set(cut.read) <= {"format", "delimiter"}:
        return False
    with open_unpacked(cut.path) as stream:
        names = _head(stream).splitlines()[-1:]
        below = list(islice(stream, 2))
    has_rule = any(_RULE(line.strip()) for line in below)
    return bool(names) and not has_rule and not any(map(_HAS_NUMBER, names))


def _fits_pieces(cut: Cut) -> Iterator[Table]:
    header, begin = _table_header(cut)
    width, count = header["NAXIS1"], header["NAXIS2"]
    with cut.path.open("rb") as stream:
        stream.seek(begin)
        for start in range(0, count, cut.num_rows):
            header["NAXIS2"] = min(cut.num_rows, count - start)
            rows = stream.read(width * header["NAXIS2"])
            padding = bytes(-len(rows) % _BLOCK)
            headers = fits.PrimaryHDU().header, header
            heads = "".join(part.tostring() for part in headers)
            cut.piece.write_bytes(heads.encode("ascii") + rows + padding)
            yield read_table(cut.piece, {**cut.read, "hdu": 1})


def _table_header(cut: Cut) -> tuple[fits.Header, int]:
    """Header of a table in FITS, and the byte where its rows begin."""
    path = cut.path
    with readable_table(path, "fits"), fits.open(path) as units:
        unit = units[table_unit(units, path, cut.read.get("hdu"))]
        header, begin = unit.header.copy(), unit.fileinfo()["datLoc"]
    if header.get("PCOUNT", 0):
        got, hint = "columns of arrays of any length", "save the table as Parquet"
        raise DataError(path, "columns of a fixed width", got, "", hint)
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    return header, begin


def _text_pieces(cut: Cut, text: Collection[str]) -> Iterator[Table]:
    with open_unpacked(cut.path) as stream:
        head = _head(stream)
        begin = len(head.splitlines()) + 1
        while lines := _lines(stream, cut.num_rows):
            body, end = b"".join(lines), begin + len(lines)
            if body.strip():
                cut.piece.write_bytes(head + body)
                with _of_lines(cut, f"lines {begin} to {end - 1}"):
                    yield read_table(cut.piece, cut.read, text)
            begin = end


@contextmanager
def _of_lines(cut: Cut, lines: str) -> Iterator[None]:
    """Turn errors about a piece into errors about some lines of its file."""
    try:
        yield
    except DataError as error:
        subject = error.subject.replace(str(cut.piece), str(cut.path))
        facts = error.expected, error.got, lines, error.hint
        raise DataError(subject, *facts) from error


def _head(stream: BinaryIO) -> bytes:
    """Comments and empty lines, and the line of names after them."""
    head = b""
    for line in stream:
        head += line
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip()
        if stripped and not stripped.startswith(b"#"):
            break
    return head


def _lines(stream: BinaryIO, num_rows: int) -> list[bytes]:
    """Lines of the next rows; a line that ends within quotes goes on in the next."""
    lines = list(islice(stream, num_rows))
    num_quotes = sum(line.count(b'"') for line in lines)
    while num_quotes % 2 and (line := stream.readline()):
        lines.append(line)
        num_quotes += line.count(b'"')
    return lines
