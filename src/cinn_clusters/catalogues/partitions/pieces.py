"""Tables of FITS and of text in pieces of some rows, each read by the one reader of tables.

A piece of a FITS table is its header over some of its rows; a piece of a text is its first lines
down to the names over some of the others. Formats that cannot be cut are read whole.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
    text = set(text)
    pieces = table_pieces(path, read, num_rows, text)
    files, texts = _write_pieces(pieces, set(), folder)
    common = set.union(*texts)
    if any(of_piece != common for of_piece in texts):
        pieces = table_pieces(path, read, num_rows, common | text)
        files, _ = _write_pieces(pieces, common, folder)
    return files


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


def table_pieces(
    path: Path, read: Mapping[str, Any], num_rows: int, text: Collection[str] = ()
) -> Iterator[Table]:
    """Yield a table in pieces of ``num_rows`` rows, in order.

    Raises:
        DataError: If the table cannot be read.
    """
    content = sniff(path)
    if content.kind == "fits" and not _is_packed(path):
        yield from _fits_pieces(path, read, num_rows)
    elif content.kind == PLAIN_TEXT and _begins_with_names(path, content, read):
        yield from _text_pieces(path, read, num_rows, text)
    else:
        yield read_table(path, read, text)


def _is_packed(path: Path) -> bool:
    with open_unpacked(path) as stream:
        return not isinstance(stream, BufferedReader)


def _begins_with_names(path: Path, content: Content, read: Mapping[str, Any]) -> bool:
    """Whether the first line of a text that is no comment holds the names, and all is plain."""
    if content.encoding not in _UTF8 or not set(read) <= {"format", "delimiter"}:
        return False
    with open_unpacked(path) as stream:
        line = _head(stream).splitlines()[-1:]
    return bool(line) and not any(map(_HAS_NUMBER, line))


def _fits_pieces(path: Path, read: Mapping[str, Any], num_rows: int) -> Iterator[Table]:
    with readable_table(path, "fits"), fits.open(path) as units:
        unit = units[table_unit(units, path, read.get("hdu"))]
        header, begin = unit.header.copy(), unit.fileinfo()["datLoc"]
    if header.get("PCOUNT", 0):
        got, hint = "columns of arrays of any length", "save the table as Parquet"
        raise DataError(path, "columns of a fixed width", got, "", hint)
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    width, count = header["NAXIS1"], header["NAXIS2"]
    arguments = {**read, "hdu": 1}
    with path.open("rb") as stream, tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / path.name
        stream.seek(begin)
        for start in range(0, count, num_rows):
            header["NAXIS2"] = min(num_rows, count - start)
            rows = stream.read(width * header["NAXIS2"])
            padding = bytes(-len(rows) % _BLOCK)
            parts = fits.PrimaryHDU().header, header
            heads = "".join(part.tostring() for part in parts)
            scratch.write_bytes(heads.encode("ascii") + rows + padding)
            yield read_table(scratch, arguments)


def _text_pieces(
    path: Path, read: Mapping[str, Any], num_rows: int, text: Collection[str]
) -> Iterator[Table]:
    with open_unpacked(path) as stream, tempfile.TemporaryDirectory() as folder:
        scratch, begin = Path(folder) / path.name, 1
        head = _head(stream)
        while lines := _rows(stream, num_rows):
            scratch.write_bytes(head + b"".join(lines))
            end = begin + len(lines)
            with _of_rows(scratch, path, f"rows {begin} to {end - 1}"):
                yield read_table(scratch, read, text)
            begin = end


@contextmanager
def _of_rows(scratch: Path, path: Path, rows: str) -> Iterator[None]:
    """Turn errors about a piece into errors about some rows of its file."""
    try:
        yield
    except DataError as error:
        subject = error.subject.replace(str(scratch), str(path))
        facts = error.expected, error.got, rows, error.hint
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


def _rows(stream: BinaryIO, num_rows: int) -> list[bytes]:
    """Lines of the next rows; a line that ends within quotes goes on in the next."""
    lines = [line for line in islice(stream, num_rows) if line.strip()]
    num_quotes = sum(line.count(b'"') for line in lines)
    while num_quotes % 2 and (line := stream.readline()):
        lines.append(line)
        num_quotes += line.count(b'"')
    return lines
