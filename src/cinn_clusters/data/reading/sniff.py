"""What a file is, told by its first bytes before any library touches it."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cinn_clusters.errors import DataError

HEAD = 65536
"""Bytes that are looked at."""
PLAIN_TEXT = "text"
"""Kind of a table of delimited text."""
_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; those of UTF-32 begin like those of UTF-16 and come first."""
_TABLES = {b"SIMPLE  =": "fits", b"PAR1": "parquet"}
_CSV = "save the table as CSV UTF-8"
_FOREIGN = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", "save its table as Parquet, FITS or CSV"),
    b"SQLite format 3\x00": ("an SQLite database", "export its table as CSV"),
    b"%PDF": ("a PDF document", _CSV),
    b"\x93NUMPY": ("a NumPy array (.npy)", _CSV),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook (.xls)", _CSV),
    b"ARROW1": ("a Feather file", "save the table as Parquet"),
    b"\x89PNG": ("a PNG picture", _CSV),
    b"\xff\xd8\xff": ("a JPEG picture", _CSV),
    b"CDF": ("a netCDF file", _CSV),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"#ASDF": ("an ASDF file", "save the table as FITS or ECSV"),
}
_PICKLE = re.compile(rb"\x80[\x02-\x05](?=[\x95c}\]\x8c(])")
_HTML = re.compile(r"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_JSON = re.compile(r'\{\s*"|\[\s*[\[{"\d-]')
_LATEX = re.compile(r"\\(documentclass|begin)\b")
_IPAC_TYPES = re.compile(
    r"\|[ |]*(char|c|double|d|float|f|real|r|int|i|long|l|date)\b", re.IGNORECASE
)
_SEXTRACTOR = re.compile(r"#\s+1\s+[A-Z]\w*\s")
_ARTICLE = re.compile(r"^Title:", re.MULTILINE)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Args:
        kind: ``text``, or astropy's name of a format, or what stands there in place of a table.
        is_table: Whether it can be read.
        hint: What to do where it cannot.
        encoding: Of text.
    """

    kind: str
    is_table: bool = True
    hint: str = ""
    encoding: str = ""


def sniff(path: Path) -> Content:
    """Tell what a file is by its first bytes, those below a compression.

    Raises:
        DataError: If the file cannot be read.
    """
    head = read_head(path)
    for magic, kind in _TABLES.items():
        if head.startswith(magic):
            return Content(kind)
    for magic, (kind, hint) in _FOREIGN.items():
        if head.startswith(magic):
            return Content(kind, False, hint)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if _PICKLE.match(head):
        return Content("a pickle, which may hold code", False, _CSV)
    encoding = _encoding(head)
    text = head.decode(encoding, errors="replace")
    return _text(text, encoding)


def demand_table(path: Path, content: Content) -> None:
    """Refuse a file that holds something else than a table.

    Raises:
        DataError: If it does.
    """
    if not content.is_table:
        raise DataError(path, "a table", content.kind, "", content.hint)


def open_unpacked(path: Path) -> BinaryIO:
    """Open the bytes of a file, those below its compression."""
    with path.open("rb") as stream:
        start = stream.read(6)
    for magic, unpack in _PACKED.items():
        if start.startswith(magic):
            unpacked: BinaryIO = unpack(path)
            return unpacked
    return path.open("rb")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, those below its compression.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        with open_unpacked(path) as stream:
            return stream.read(HEAD)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError) as error:
        got, hint = "a damaged compressed one", "copy it again"
        raise DataError(path, "a whole file", got, "", hint) from error
    except OSError as error:
        got = error.strerror or "an error"
        raise DataError(path, "a readable CSV file", got) from error


def _archive(path: Path) -> Content:
    """Tell a workbook and arrays of NumPy from other ZIP archives."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return Content("an Excel workbook (.xlsx)", False, _CSV)
    if "content.xml" in names:
        return Content("an OpenDocument spreadsheet", False, _CSV)
    if names and all(name.endswith(".npy") for name in names):
        return Content("arrays of NumPy (.npz)", False, _CSV)
    first = ", ".join(names[:1])
    return Content(f"a ZIP archive of {first or 'nothing'}", False, "unpack it")


def _encoding(head: bytes) -> str:
    """Return the encoding by the byte-order mark, or by the zeros of UTF-16 without one."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    start = head[:256]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd > len(start) // 4 and not even:
        return "utf-16-le"
    if even > len(start) // 4 and not odd:
        return "utf-16-be"
    return "utf-8"


def _text(text: str, encoding: str) -> Content:
    """Tell what a text is."""
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        return _markup(start)
    if _JSON.match(start):
        return Content("JSON", False, _CSV)
    if _LATEX.search(start[:1000]):
        return Content("LaTeX", False, '[read] format = "ascii.latex" reads its table')
    kind = _described(start)
    return Content(kind, encoding=encoding)


def _markup(start: str) -> Content:
    if "VOTABLE" in start[:4096]:
        return Content("votable")
    if not _HTML.match(start) and not _HTML.search(start[:1000]):
        return Content("XML other than VOTable", False, _CSV)
    title = _TITLE.search(start)
    kind = "a page of the web (HTML)"
    if title:
        kind += f", '{title[1].strip()[:60]}'"
    hint = "download the table itself, at VizieR as FITS, VOTable or CSV"
    return Content(kind, False, hint)


def _described(start: str) -> str:
    """Return astropy's name of a text that describes its columns, or ``text``."""
    if start.startswith("# %ECSV"):
        return "ascii.ecsv"
    if "Byte-by-byte Description of file" in start:
        return "ascii.mrt" if _ARTICLE.match(start) else "ascii.cds"
    if _SEXTRACTOR.match(start):
        return "ascii.sextractor"
    lines = [line for line in start[:8192].splitlines() if not line.startswith("\\")]
    bars = [line for line in lines[:2] if line.startswith("|")]
    if len(bars) == 2 and _IPAC_TYPES.match(bars[1]):
        return "ascii.ipac"
    return PLAIN_TEXT
