"""The columns of a simulator's own table, declared in a small TOML file.

``[keys]`` names the key columns, ``observables`` and ``targets`` choose, and a table
``[columns.<name>]`` a column says its unit, symbol, bounds and role, as in ``schema.toml``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cinn_clusters.documents import parse_toml, read_text, reason
from cinn_clusters.errors import ConfigError
from cinn_clusters.schema import DEFAULT, INFINITE, Column, Keys, Schema, named_keys

_FIELDS = {entry.name for entry in fields(Column)} - {"name", "is_log"} | {"log"}
_COLUMN = TypeAdapter(Column)
_SECTIONS = ("keys", "observables", "targets", "columns")
_TIME_ROLES = {"time", "redshift"}


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
    source = str(path)
    try:
        return declared_schema(parse_toml(read_text(Path(path))))
    except ConfigError as error:
        raise error.at(source) from error
    except OSError as error:
        raise ConfigError(source, "a readable TOML file", reason(error)) from error
    except ValueError as error:  # of TOML or UTF-8
        raise ConfigError(source, "valid TOML", reason(error)) from error


def declared_schema(document: Mapping[str, Any]) -> Schema:
    """Make the schema that a document of declarations describes; the inverse of ``Schema.to_dict``.

    Raises:
        ConfigError: If an entry is unknown or wrong.

    Examples:
        >>> document = {"columns": {"my_mass": {"unit": "log10 Msun", "role": "mass"}}}
        >>> declared_schema(document).mass
        'my_mass'
    """
    _demand_known("the declaration", document, _SECTIONS)
    declared = _declared_columns(document.get("columns", {}))
    columns = {column.name: column for column in DEFAULT.columns}

    # A role belongs to one column: a declared one takes it from the default.
    roles = {column.role for column in declared if column.role}
    for name, column in columns.items():
        if column.role in roles:
            columns[name] = replace(column, role=None)
    columns |= {column.name: column for column in declared}

    keys = _keys(document.get("keys", {}))
    observables = document.get("observables", DEFAULT.observables)
    targets = document.get("targets", DEFAULT.targets)
    return Schema(
        tuple(columns.values()),
        keys,
        _names(observables, "observables"),
        _names(targets, "targets"),
    )


def _declared_columns(entries: Mapping[str, Any]) -> list[Column]:
    """Columns of the tables ``[columns.<name>]``, each role once among them."""
    for name, entry in entries.items():
        _demand_known(f"column '{name}'", entry, _FIELDS)
    stated_roles = [entry.get("role") for entry in entries.values()]
    has_time = any(role in stated_roles for role in _TIME_ROLES)
    columns = [
        _declared_column(name, entry, has_time) for name, entry in entries.items()
    ]
    counts = Counter(column.role for column in columns if column.role)
    repeated = [role for role, count in counts.items() if count > 1]
    if repeated:
        raise ConfigError(f"role '{repeated[0]}'", "one column", "several")
    if set(counts) >= _TIME_ROLES:
        raise ConfigError("roles", "one of time and redshift", "both")
    return columns


def _declared_column(name: str, entry: Mapping[str, Any], has_time: bool) -> Column:
    subject = f"column '{name}'"
    values = {"name": name, **entry}
    if "log" in values:
        values["is_log"] = values.pop("log")
    for key in ("bounds", "typical"):
        if key in values:
            values[key] = _limits(values[key], subject, key)
    try:
        column = _COLUMN.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        got = f"{first['input']!r} for {field}"
        raise ConfigError(subject, first["msg"].lower(), got) from error

    # A collision cannot be later than the observation, where that time is there.
    if column.role == "collision_time" and has_time:
        column = replace(column, bijection="age")
    return column.mapped()


def _limits(ends: Any, subject: str, key: str) -> tuple[float, float]:
    """Two ends in order; None is an end that is not there."""
    expected = f"{key} = [lower, upper], numbers in order (inf where there is none)"
    refusal = ConfigError(subject, expected, repr(ends))
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise refusal
    limits = list(INFINITE)
    for side, end in enumerate(ends):
        if end is None:
            continue
        if not isinstance(end, int | float):
            raise refusal
        limits[side] = float(end)
    lower, upper = limits
    if not lower < upper:  # NaN, too
        raise refusal
    return lower, upper


def _keys(entry: Mapping[str, Any]) -> Keys:
    """The declared key columns; a document that declares keys has only those it names."""
    _demand_known("[keys]", entry, ("halo", "snapshot", "cluster"))
    if not all(isinstance(name, str | None) for name in entry.values()):
        raise ConfigError("[keys]", "names of columns", repr(dict(entry)))
    if not entry:
        return DEFAULT.keys
    names = dict.fromkeys(("halo", "snapshot", "cluster"))
    return Keys(**(names | named_keys(entry)))


def _names(names: Any, subject: str) -> tuple[str, ...]:
    is_list = isinstance(names, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise ConfigError(subject, "a list of column names", repr(names))
    return tuple(names)


def _demand_known(subject: str, entry: Any, names: Iterable[str]) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError(subject, "a table", repr(entry))
    unknown = set(entry).difference(names)
    if unknown:
        first = min(unknown)
        alike = get_close_matches(first, names, 1)
        hint = "".join(f"did you mean '{name}'?" for name in alike)
        expected = f"one of {', '.join(sorted(names))}"
        raise ConfigError(subject, expected, f"'{first}'", "", hint)
