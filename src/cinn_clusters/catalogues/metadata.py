"""Metadata of observers' tables in and out: what each format can hold, where it can hold it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from astropy.io import fits, votable
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import Table
from astropy.table.serialize import represent_mixins_as_columns

COMMENTS, HISTORY = "comments", "HISTORY"
OF_TABLE = ("ID", "name", "ref", "ucd", "utype", "description")
"""Metadata that VOTable has as attributes of a table; all else is an INFO."""

COLUMN_KEY = re.compile(r"T(UCD|COMM)[1-9]\d*")


def write_fits(table: Table, path: Path) -> None:
    """Write FITS: comments and history as such, UCDs as TUCDn, meanings as TCOMMn, logarithmic
    units as ``log()``.
    """
    plain = table.copy(copy_data=False)
    plain.meta = _cards(table.meta)
    plain.write(path, format="fits", overwrite=True)
    with fits.open(path, mode="update") as units:
        header = units[1].header
        for number in range(1, header["TFIELDS"] + 1):
            name = header[f"TTYPE{number}"]
            if name not in table.colnames:
                continue
            info = table[name].info
            if ucd := (info.meta or {}).get("ucd"):
                header[f"TUCD{number}"] = _ascii(ucd)
            if info.description:
                header[f"TCOMM{number}"] = _ascii(info.description)
            if str(info.unit).startswith(
                "dex("
            ):  # FITS 4.0, section 4.3: log() is the common logarithm
                header[f"TUNIT{number}"] = f"log{str(info.unit)[3:]}"


def _cards(meta: dict[str, Any]) -> dict[str, Any]:
    """Metadata that a FITS header holds; what no card can hold is a comment."""
    cards: dict[str, Any] = {COMMENTS: [_ascii(line) for line in lines_of(meta, COMMENTS)]}
    cards[HISTORY] = [_ascii(line) for line in lines_of(meta, HISTORY)]
    for key, value in meta.items():
        if key in (COMMENTS, HISTORY):
            continue
        try:
            fits.Header([(str(key), value)]).tostring()
            cards[str(key)] = value
        except (ValueError, fits.VerifyError):
            cards[COMMENTS].append(_ascii(f"{key} = {value}"))
    return cards


def lines_of(meta: dict[str, Any], key: str) -> list[str]:
    """Return lines of text that metadata hold under a key: none, one, or a list.

    Examples:
        >>> lines_of({"comments": "one"}, "comments"), lines_of({}, "comments")
        (['one'], [])
    """
    value = meta.get(key, [])
    return [str(line) for line in ([value] if isinstance(value, str) else value)]


def _ascii(text: Any) -> str:
    return " ".join(str(text).split()).encode("ascii", "backslashreplace").decode()


def with_fits_columns(table: Table) -> Table:
    """Move TUCDn and TCOMMn from the metadata of a FITS table to its columns.

    Where astropy joined columns to a position, numbers no longer fit, and it has restored what is
    known of them.
    """
    is_flat = all(hasattr(table[name], "dtype") for name in table.colnames)
    for key in [key for key in table.meta if COLUMN_KEY.fullmatch(key)]:
        told, number = table.meta.pop(key), int(key.lstrip("TUCDOM"))
        if not is_flat or number > len(table.colnames):
            continue
        info = table[table.colnames[number - 1]].info
        if key.startswith("TUCD"):
            info.meta = {**(info.meta or {}), "ucd": told}
        else:
            info.description = info.description or told
    return table


def write_votable(table: Table, path: Path) -> None:
    """Write VOTable, metadata as INFO; positions and times as plain columns: ``sky.ra``,
    ``sky.dec``, ``time.jd1``.
    """
    plain = represent_mixins_as_columns(table)
    plain.meta.pop("__serialized_columns__", None)
    whole = votable.from_table(plain)
    pairs = [("comment", line) for line in lines_of(table.meta, COMMENTS)]
    pairs += [("history", line) for line in lines_of(table.meta, HISTORY)]
    known = (COMMENTS, HISTORY, *OF_TABLE)
    pairs += [(str(key), str(value)) for key, value in plain.meta.items() if key not in known]
    for name, value in pairs:
        info = Info(name=name, value=value)
        info.ID = None  # astropy makes one of the name, but an ID stands once in a file
        whole.resources[0].infos.append(info)
    whole.to_xml(str(path))


def with_infos(table: Table, whole: VOTableFile) -> Table:
    """Put INFO and PARAM of a VOTable into the metadata of its table."""
    parts = [whole, *whole.resources, *whole.iter_tables()]
    for info in (one for part in parts for one in part.infos):
        if info.name in ("comment", "history"):
            table.meta.setdefault(COMMENTS if info.name == "comment" else HISTORY, []).append(
                str(info.value)
            )
        else:
            table.meta.setdefault(str(info.name), info.value)
    for param in (one for part in parts[1:] for one in part.params):
        table.meta.setdefault(str(param.name), param.value)
    return table
