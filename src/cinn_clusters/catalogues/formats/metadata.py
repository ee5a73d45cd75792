"""Metadata of tables in and out: what each format can hold, where it can hold it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits, votable
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import MaskedColumn, Table
from astropy.table.serialize import represent_mixins_as_columns

COMMENTS, HISTORY = "comments", "HISTORY"
_INFO_KEYS = {"comment": COMMENTS, "history": HISTORY}
"""Lines of text under the names that VOTable has for them."""
_TABLE_ATTRIBUTES = ("ID", "name", "ref", "ucd", "utype", "description")
"""Metadata that VOTable has as attributes of a table; all else is an INFO."""
_COLUMN_KEY = re.compile(r"T(UCD|COMM)([1-9]\d*)")


def write_fits(table: Table, path: Path) -> None:
    """Write FITS: comments and history as such, UCDs as TUCDn, meanings as TCOMMn.

    Logarithmic units become ``log()``; masked whole numbers have a TNULLn that is none of the
    others, and masked logical values are undefined (a zero byte).
    """
    plain = table.copy(copy_data=False)
    plain.meta = _cards(table.meta)
    masked = {
        name: np.ma.getmaskarray(table[name])
        for name in table.colnames
        if isinstance(table[name], MaskedColumn) and table[name].mask.any()
    }
    for name in masked:
        _choose_null(plain[name])
    content = (
        io.BytesIO()
    )  # a file that is updated leaves another beside it when killed
    plain.write(content, format="fits")
    content.seek(0)
    with fits.open(content) as units:
        _undefine(units[1], masked)
        header = units[1].header
        for number in range(1, header["TFIELDS"] + 1):
            name = header[f"TTYPE{number}"]
            if name in table.colnames:
                _describe_field(header, number, table[name].info)
        path.write_bytes(fits_content(units))


def fits_content(units: fits.HDUList) -> bytes:
    """Return the bytes of a FITS file; written to a path, astropy would try a file in TMPDIR."""
    content = io.BytesIO()
    units.writeto(content)
    return content.getvalue()


def _choose_null(column: MaskedColumn) -> None:
    """Let a masked whole number stand for itself in no row."""
    if column.dtype.kind in "iu":
        largest = np.iinfo(column.dtype).max
        candidates = set(range(largest - len(column), largest + 1))
        values = column.compressed().tolist()
        column.fill_value = max(candidates.difference(values))


def _undefine(unit: Any, masked: Mapping[str, np.ndarray]) -> None:
    """Write a zero byte where a logical value is masked; astropy writes one of the two values."""
    raw = unit.data.view(np.ndarray)
    for column in unit.columns:
        if column.format in ("L", "1L") and column.name in masked:
            raw[column.name].view(np.int8)[masked[column.name]] = 0


def _describe_field(header: fits.Header, number: int, info: Any) -> None:
    ucd = (info.meta or {}).get("ucd")
    if ucd:
        header[f"TUCD{number}"] = _ascii(ucd)
    if info.description:
        header[f"TCOMM{number}"] = _ascii(info.description)
    unit = str(info.unit)
    if unit.startswith("dex("):  # FITS 4.0, section 4.3: log() is the common logarithm
        header[f"TUNIT{number}"] = unit.replace("dex", "log", 1)


def _cards(meta: Mapping[str, Any]) -> dict[str, object]:
    """Metadata that a FITS header holds; what no card can hold is a comment."""
    comments, cards = lines_of(meta, COMMENTS), {}
    for key, value in meta.items():
        if key in (COMMENTS, HISTORY):
            continue
        try:
            fits.Header([(str(key), value)]).tostring()
            cards[str(key)] = value
        except (ValueError, fits.VerifyError):
            comments.append(f"{key} = {value}")
    lines = {COMMENTS: comments, HISTORY: lines_of(meta, HISTORY)}
    return {**cards, **{key: list(map(_ascii, text)) for key, text in lines.items()}}


def lines_of(meta: Mapping[str, Any], key: str) -> list[str]:
    """Return lines of text that metadata hold under a key: none, one, or a list.

    Examples:
        >>> lines_of({"comments": "one"}, "comments"), lines_of({}, "comments")
        (['one'], [])
    """
    value = meta.get(key, [])
    if isinstance(value, str):
        return [value]
    return list(map(str, value))


def _ascii(text: Any) -> str:
    words = str(text).split()
    line = " ".join(words)
    return line.encode("ascii", "backslashreplace").decode()


def with_fits_columns(table: Table) -> Table:
    """Move TUCDn and TCOMMn from the metadata of a FITS table to its columns.

    Where astropy joined columns to a position, numbers no longer fit, and it has restored what is
    known of them.
    """
    names = table.colnames
    is_flat = all(hasattr(table[name], "dtype") for name in names)
    matches = map(_COLUMN_KEY.fullmatch, map(str, list(table.meta)))
    for match in filter(None, matches):
        key, kind, digits = match[0], match[1], match[2]
        value, number = table.meta.pop(key), int(digits)
        if not is_flat or number > len(names):
            continue
        column = table[names[number - 1]]
        info = column.info
        if kind == "UCD":
            info.meta = {**(info.meta or {}), "ucd": value}
        else:
            info.description = info.description or value
    return table


def write_votable(table: Table, path: Path) -> None:
    """Write VOTable, metadata as INFO.

    Positions and times become plain columns: ``sky.ra``, ``sky.dec``, ``time.jd1``.
    """
    plain = represent_mixins_as_columns(table)
    plain.meta.pop("__serialized_columns__", None)
    document = votable.from_table(plain)
    entries = [
        (name, line)
        for name, key in _INFO_KEYS.items()
        for line in lines_of(table.meta, key)
    ]
    written = (*_INFO_KEYS.values(), *_TABLE_ATTRIBUTES)
    entries += [
        (str(key), str(plain.meta[key])) for key in plain.meta if key not in written
    ]
    for name, value in entries:
        info = Info(name=name, value=value)
        info.ID = None  # astropy makes one of the name, but an ID stands once in a file
        document.resources[0].infos.append(info)
    document.to_xml(str(path))


def with_infos(table: Table, document: VOTableFile) -> Table:
    """Put INFO and PARAM of a VOTable into the metadata of its table."""
    parts = [*document.resources, *document.iter_tables()]
    meta = table.meta
    for part in (document, *parts):
        for info in part.infos:
            if info.name in _INFO_KEYS:
                key = _INFO_KEYS[info.name]
                meta.setdefault(key, []).append(str(info.value))
            else:
                meta.setdefault(str(info.name), info.value)
    for part in parts:
        for param in part.params:
            meta.setdefault(str(param.name), param.value)
    return table
