"""Parquet in and out, by pyarrow: columns of the right type, null where a value is masked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table, meta, serialize

from cinn_clusters.errors import DataError

META = b"table_meta_yaml"
"""Where astropy keeps units and metadata of a table."""
_EXACT_DIGITS = 15
"""Decimal digits that a float prints back."""


def read_parquet(path: Path, notes: list[str]) -> Table:
    """Read a table; what has no type of its own here is kept as text, and noted.

    Raises:
        DataError: If two columns have one name.
        ImportError: If pyarrow is not installed.
    """
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    demand_unique_names(file.schema_arrow.names, path)
    return table_of_arrow(file.read(), notes)


def table_of_arrow(content: Any, notes: list[str]) -> Table:
    """Return a table of pyarrow as one of astropy; see ``read_parquet``."""
    schema = content.schema
    columns = {name: _column(content[name], name, notes) for name in schema.names}
    table = Table({name: value for name, value in columns.items() if value is not None})
    if schema.metadata and META in schema.metadata:
        return _with_metadata(table, schema.metadata[META].decode())
    return table


def demand_unique_names(names: list[str], path: Path) -> None:
    """Refuse a name that two columns have.

    Raises:
        DataError: If two do.
    """
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        expected, hint = "each name once", "rename one of them"
        raise DataError(f"column '{name}'", expected, "it twice", str(path), hint)


def _with_metadata(table: Table, text: str) -> Table:
    """Put units, meanings and metadata back, and positions and times together."""
    header = meta.get_header_from_yaml(text.split("\n"))
    table.meta.update(header.get("meta", {}))
    described = {entry["name"]: entry for entry in header["datatype"]}
    for column in table.columns.values():
        entry = described.get(column.info.name, {})
        for key in {"unit", "description", "format", "meta"} & set(entry):
            setattr(column, key, entry[key])
    return serialize._construct_mixins_from_columns(table)


def _column(values: Any, name: str, notes: list[str]) -> Column | None:
    """A column of numbers, logical values or text, masked where it is null."""
    from pyarrow import compute, float64, types

    kind = values.type
    if types.is_dictionary(kind):
        values = compute.cast(values, kind.value_type)
        kind = kind.value_type
    if types.is_null(kind):
        return MaskedColumn(np.zeros(len(values)), mask=np.ones(len(values), bool))
    if types.is_decimal(kind) and kind.precision <= _EXACT_DIGITS:
        values, kind = compute.cast(values, float64()), float64()
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return _numeric(values)
    if types.is_nested(kind):
        return _nested(values, name, notes)
    return _texts(values, name, notes)


def _numeric(values: Any) -> Column:
    import pyarrow

    if pyarrow.types.is_float16(values.type):
        values = values.cast(pyarrow.float32())
    mask = np.asarray(values.is_null())
    zero = pyarrow.scalar(0).cast(values.type)
    return _masked(np.asarray(values.fill_null(zero)), mask)


def _masked(values: np.ndarray, mask: np.ndarray) -> Column:
    if mask.any():
        return MaskedColumn(values, mask=mask)
    return Column(values)


def _nested(values: Any, name: str, notes: list[str]) -> Column:
    """Arrays of one shape as they are, all else as JSON."""
    entries = values.to_pylist()
    are_arrays = all(isinstance(entry, list) for entry in entries)
    if are_arrays and len(set(map(len, entries))) == 1:
        array = np.array(entries)
        if array.ndim == 2 and array.dtype.kind in "biuf":
            return Column(array)
    notes.append(f"{name}: {values.type} kept as text (JSON)")
    texts = [_json(entry) for entry in entries]
    return _as_text(texts)


def _json(entry: Any) -> str | None:
    return None if entry is None else json.dumps(entry, default=str)


def _texts(values: Any, name: str, notes: list[str]) -> Column | None:
    """Text, and text in place of dates, times and long decimals; other bytes are left out."""
    from pyarrow import ArrowException, compute, string, types

    is_text = types.is_string(values.type) or types.is_large_string(values.type)
    try:
        texts = compute.cast(values, string()).to_pylist()
    except (ArrowException, UnicodeDecodeError):
        notes.append(f"{name}: left out, {values.type} is neither text nor a number")
        return None
    if not is_text and not types.is_binary(values.type):
        notes.append(f"{name}: {values.type} kept as text")
    return _as_text(texts)


def _as_text(texts: list[str | None]) -> Column:
    mask = np.array([text is None for text in texts])
    return _masked(np.array([text or "" for text in texts], dtype=str), mask)


def write_parquet(table: Table, path: Path) -> None:
    """Write a table, its units and metadata as astropy keeps them.

    Raises:
        TypeError: If a column holds what Parquet does not.
        ImportError: If pyarrow is not installed.
    """
    from pyarrow import parquet

    parquet.write_table(arrow_of_table(table), path)


def arrow_of_table(table: Table) -> Any:
    """Return a table as one of pyarrow, its units and metadata as astropy keeps them.

    Raises:
        TypeError: If a column holds what Parquet does not.
    """
    import pyarrow

    plain = serialize.represent_mixins_as_columns(table)
    arrays = [_array(plain[name], name) for name in plain.colnames]
    described = "\n".join(meta.get_yaml_from_table(plain))
    content = pyarrow.table(arrays, names=plain.colnames)
    return content.replace_schema_metadata({META: described.encode()})


def _array(column: Column, name: str) -> Any:
    """A column for pyarrow."""
    import pyarrow

    values = np.ma.asarray(column)
    if values.dtype.kind == "c":
        raise TypeError(f"complex numbers in the column '{name}'")
    if values.dtype.kind not in "biuf":
        present = values.astype(object).tolist()
        return pyarrow.array([_decoded(value) for value in present])
    native = values.data.astype(values.dtype.newbyteorder("="))
    if native.ndim == 1:
        return pyarrow.array(native, mask=np.ma.getmaskarray(values))
    return pyarrow.array(native.tolist())


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
