"""VOTables in: the one table of a document, or the one that is chosen, its names once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.io import votable
from astropy.table import Table

from cinn_clusters.catalogues.formats.metadata import with_infos
from cinn_clusters.errors import DataError


def read_votable(path: Path, arguments: Mapping[str, Any]) -> Table:
    """Read the one table of a document, or the one that ``table_id`` chooses.

    Raises:
        DataError: If there is none, several of which none is chosen, or two fields of one name.
    """
    document = votable.parse(path)
    _demand_answer(document, path)
    tables = list(document.iter_tables())
    for part in tables:
        _demand_once([field.name for field in part.fields], path)
    if "table_id" not in arguments:
        _demand_one(tables, path)
    return with_infos(Table.read(document, **arguments), document)


def _demand_one(tables: Sequence[Any], path: Path) -> None:
    """Refuse several tables."""
    if len(tables) == 1:
        return
    names = [f"{at} ({part.name or 'unnamed'})" for at, part in enumerate(tables)]
    hint = "choose one in the mapping, as in: [read] table_id = 0"
    got = f"{len(tables)}: {', '.join(names)}"
    raise DataError(path, "one table", got, "", hint)


def _demand_answer(document: votable.tree.VOTableFile, path: Path) -> None:
    """Refuse a VOTable without a table, which services send with what went wrong."""
    infos = [info for part in document.resources for info in part.infos]
    if any(document.iter_tables()):
        return
    errors = [info for info in infos if info.value == "ERROR"]
    got = "a VOTable without one"
    if errors:
        message = str(errors[0].content or errors[0].value)
        got = f"an error of the service, '{message[:80]}'"
    raise DataError(path, "a table", got, "", "ask the service again")


def _demand_once(names: list[str], path: Path) -> None:
    """Refuse fields of one name."""
    for name, count in Counter(names).items():
        if count > 1:
            expected, hint = "each name once", "rename one of them"
            raise DataError(f"column '{name}'", expected, "it twice", str(path), hint)
