"""The columns of a simulator's own table, declared in a small TOML file.

``[keys]`` names the key columns, ``observables`` and ``targets`` choose, and a table
``[columns.<name>]`` a column says its unit, symbol, bounds and role, as in ``schema.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cinn_clusters.errors import ConfigError
from cinn_clusters.schema import DEFAULT, INFINITE, Column, Keys, Schema, named_keys

_FIELDS = {entry.name for entry in fields(Column)} - {"name", "is_log"} | {"log"}
_COLUMN = TypeAdapter(Column)


def read_schema(path: str | Path) -> Schema:
    """Read the schema that a simulator's TOML file declares.

    Args:
        path: TOML file with ``[keys]``, ``observables``, ``targets`` and ``[columns.<name>]``, each
            of which may be absent.

    Returns:
        The default schema with the declared columns in it, or in place of those of the same name.

    Raises:
        ConfigError: If the file cannot be read, or an entry is unknown or wrong.

    Examples:
        >>> import cinn_clusters as cc
        >>> path = getfixture("tmp_path") / "columns.toml"
        >>> _ = path.write_text('columns.my_mass.unit = "log10 Msun"')
        >>> cc.read_schema(path).column("my_mass").unit
        'log10 Msun'
    """
    try:
        return declared_schema(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except ConfigError as error:
        raise error.at(str(path)) from error
    except OSError as error:
        raise ConfigError(
            str(path), "a readable TOML file", error.strerror or "none"
        ) from error
    except ValueError as error:  # of TOML or UTF-8
        raise ConfigError(str(path), "valid TOML", str(error)) from error


def declared_schema(document: Mapping[str, Any]) -> Schema:
    """Make the schema that a document of declarations describes; the inverse of ``Schema.to_dict``.

    Raises:
        ConfigError: If an entry is unknown or wrong.

    Examples:
        >>> document = {"columns": {"my_mass": {"unit": "log10 Msun", "role": "mass"}}}
        >>> declared_schema(document).mass
        'my_mass'
    """
    _demand_known(
        "the declaration", document, ("keys", "observables", "targets", "columns")
    )
    entries = document.get("columns", {})
    for name, entry in entries.items():
        _demand_known(f"column '{name}'", entry, _FIELDS)
    has_time = any(
        entry.get("role") in ("time", "redshift") for entry in entries.values()
    )
    declared = [
        _declared_column(name, entry, has_time) for name, entry in entries.items()
    ]
    roles = [column.role for column in declared if column.role]
    if len(set(roles)) < len(roles):
        repeated = next(role for role in roles if roles.count(role) > 1)
        raise ConfigError(f"role '{repeated}'", "one column", "several")
    if {"time", "redshift"} <= set(roles):
        raise ConfigError("roles", "one of time and redshift", "both")
    columns = {
        column.name: replace(column, role=None) if column.role in roles else column
        for column in DEFAULT.columns
    }
    columns |= {column.name: column for column in declared}
    return Schema(
        tuple(columns.values()),
        _keys(document.get("keys", {})),
        _names(document.get("observables", DEFAULT.observables), "observables"),
        _names(document.get("targets", DEFAULT.targets), "targets"),
    )


def _declared_column(name: str, entry: Mapping[str, Any], has_time: bool) -> Column:
    values = {{"log": "is_log"}.get(key, key): value for key, value in entry.items()}
    for limits in {"bounds", "typical"} & set(values):
        values[limits] = _limits(values[limits], f"column '{name}'", limits)
    try:
        column = _COLUMN.validate_python({"name": name, **values})
    except ValidationError as error:
        first = error.errors()[0]
        got = f"{first['input']!r} for {'.'.join(map(str, first['loc']))}"
        raise ConfigError(f"column '{name}'", first["msg"].lower(), got) from error
    if column.role == "collision_time" and has_time:
        column = replace(column, bijection="age")
    return column.mapped()


def _limits(ends: Any, subject: str, key: str) -> tuple[float, float]:
    """Two ends in order; None is an end that is not there."""
    expected = f"{key} = [lower, upper], numbers in order (inf where there is none)"
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ConfigError(subject, expected, repr(ends))
    lower, upper = (
        default if end is None else end
        for end, default in zip(ends, INFINITE, strict=True)
    )
    if (
        not all(isinstance(end, int | float) for end in (lower, upper))
        or not lower < upper
    ):
        raise ConfigError(subject, expected, repr(ends))
    return float(lower), float(upper)


def _keys(entry: Mapping[str, Any]) -> Keys:
    """The declared key columns; a document that declares keys has only those it names."""
    _demand_known("[keys]", entry, ("halo", "snapshot", "cluster"))
    if not all(name is None or isinstance(name, str) for name in entry.values()):
        raise ConfigError("[keys]", "names of columns", repr(dict(entry)))
    if not entry:
        return DEFAULT.keys
    return Keys(
        **{"halo": None, "snapshot": None, "cluster": None, **named_keys(entry)}
    )


def _names(names: Any, subject: str) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) for name in names
    ):
        raise ConfigError(subject, "a list of column names", repr(names))
    return tuple(names)


def _demand_known(subject: str, entry: Any, names: Iterable[str]) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError(subject, "a table", repr(entry))
    unknown = sorted(set(entry) - set(names))
    if unknown:
        alike = get_close_matches(unknown[0], list(names), 1)
        hint = "".join(f"did you mean '{name}'?" for name in alike)
        raise ConfigError(
            subject, f"one of {', '.join(sorted(names))}", f"'{unknown[0]}'", "", hint
        )
