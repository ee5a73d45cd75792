"""A catalogue, and what a model is asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Column, Table

from cinn_clusters.catalogues.by_name import add_by_name, read_by_name, with_time
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.catalogues.published import convert_published
from cinn_clusters.catalogues.table_files import names_of, notation_notes, read_table
from cinn_clusters.data.checks import demand_typical
from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.data.reading.tables import demand_columns
from cinn_clusters.errors import DataError
from cinn_clusters.files import JsonObject
from cinn_clusters.pipeline.inference.map_views import (
    NO_MAP,
    NamedVectors,
    Views,
    join_views,
)
from cinn_clusters.posterior.arguments import demand_spelling
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import OBJECT, Query
from cinn_clusters.schema import ERROR_PREFIX, PROJECTION, Schema, is_embedding

BY_NAME = "columns of the simulation, by name"


@dataclass(frozen=True, eq=False)
class CatalogueQuery:
    """Objects of a catalogue.

    Args:
        table: What is given back with columns appended, M rows, one an object.
        converted: The catalogue in the columns of the simulation, N rows.
        query: V views of the objects; their places are rows of the catalogue, and the index of
            their keys is the object.
        mapping_name: Where the meaning of the columns comes from.
    """

    table: Table
    converted: ConvertedCatalogue
    query: Query
    mapping_name: str = BY_NAME

    @property
    def objects(self) -> np.ndarray:
        """Object of each view, ascending, (V,)."""
        return self.query.keys.index.to_numpy()

    @property
    def rows(self) -> np.ndarray:
        """Row of the catalogue of each object, (M,)."""
        return self.query.places[np.unique(self.objects, return_index=True)[1]]


@dataclass(frozen=True)
class CatalogueSource:
    """Where a catalogue comes from and how its columns are read.

    Args:
        path: CSV, ECSV, FITS, VOTable or Parquet.
        mapping: What the columns mean; None: they have the names of the model's inputs.
        embeddings: Vectors of maps, or None.
        each_projection: Every map is an object of its own.
        allow_atypical: Accept medians that suggest another unit (columns by name, 20 rows or more).
    """

    path: Path
    mapping: Mapping | None = None
    embeddings: NamedVectors | None = None
    each_projection: bool = False
    allow_atypical: bool = False


def read_query(
    source: CatalogueSource, posterior: Posterior, provenance: JsonObject | None = None
) -> CatalogueQuery:
    """Read a catalogue and make a query of it.

    Args:
        source: The catalogue, and how its columns are read.
        posterior: Its inputs are looked for.
        provenance: Of its training: its encoder of maps and features it left out, where known.

    Raises:
        DataError: If the catalogue or the vectors of its maps cannot be read, a column that the
            model needs is missing, or a unit is wrong.
    """
    table, notes = _read(source, posterior)
    return query_of_table(table, source, posterior, provenance, notes=notes)


def query_of_table(
    table: Table,
    source: CatalogueSource,
    posterior: Posterior,
    provenance: JsonObject | None = None,
    *,
    notes: Sequence[str] = (),
) -> CatalogueQuery:
    """Make a query of a table.

    Args:
        table: The catalogue.
        source: How its columns are read; its path stands in errors.
        posterior: Its inputs are looked for.
        provenance: As for ``read_query``.
        notes: What the reader of the table had to decide.

    Raises:
        DataError: As ``read_query``.
    """
    mapping, path = source.mapping, source.path
    schema = posterior.transforms.schema
    scalars = _scalars(posterior)
    if mapping is None:
        timed = with_time(table, schema)
        demand_spelling(_with_errors(scalars), timed.colnames)
        _demand_inputs(timed.colnames, scalars, posterior, path)
        converted = read_by_name(timed, scalars, schema)
        if not source.allow_atypical:
            _demand_typical(converted, schema)
    else:
        converted = convert_published(table, mapping)
        further = [name for name in scalars if name not in converted.values]
        add_by_name(converted, table, further, schema)
        _demand_inputs(list(converted.values), scalars, posterior, path)
    used = _used_columns(mapping) or scalars
    converted.log[:0] = [*notes, *notation_notes(table, used)]
    _note_unused_errors(converted, posterior)
    keys = _keys(table, mapping, posterior)
    views = Views.without_maps(len(table))
    if source.embeddings is not None:
        views = join_views(keys, source.embeddings, posterior, provenance)
        converted.log.extend(views.summary(len(table)))
    is_named = _is_named(table, mapping, posterior)
    query = _query(converted, keys, views, posterior, is_named=is_named)
    if source.each_projection:
        table, query = _split_views(table, query, views, path)
    return CatalogueQuery(table, converted, query, mapping.name if mapping else BY_NAME)


def _read(source: CatalogueSource, posterior: Posterior) -> tuple[Table, list[str]]:
    """The table, and what its reader had to decide."""
    notes: list[str] = []
    mapping = source.mapping or Mapping()
    names = name_columns(source.mapping, posterior)
    return read_table(source.path, mapping.read, names, notes), notes


def _scalars(posterior: Posterior) -> list[str]:
    """Observables that a model reads from a catalogue."""
    return [
        name
        for name in posterior.inputs
        if not name.startswith(ERROR_PREFIX) and not is_embedding(name)
    ]


def columns_used(mapping: Mapping | None, posterior: Posterior) -> set[str]:
    """Columns of numbers that may be read, of which a catalogue may lack some."""
    return {*_used_columns(mapping), *_with_errors(_scalars(posterior))}


def _with_errors(scalars: list[str]) -> list[str]:
    """Observables, and the columns of their errors."""
    return [*scalars, *(f"{ERROR_PREFIX}{name}" for name in scalars)]


def _used_columns(mapping: Mapping | None) -> list[str]:
    """Columns that a mapping names."""
    quantities = mapping.quantities.values() if mapping else ()
    return [name for quantity in quantities for name in quantity.columns]


def name_columns(mapping: Mapping | None, posterior: Posterior) -> set[str]:
    """Columns that name an object."""
    names = {*posterior.key_columns}
    if mapping and mapping.object_name:
        names.add(mapping.object_name)
    return names


def _demand_inputs(
    columns: list[str], scalars: list[str], posterior: Posterior, path: Path
) -> None:
    """Refuse a table that lacks a column which the model cannot do without."""
    transforms = posterior.transforms
    needed = [name for name in scalars if name == transforms.time]
    hint = ""
    if not transforms.accepts_missing:
        needed = scalars
        if not set(needed) & set(columns):
            hint = "this model takes exact, complete observables; the packaged one any of them"
    demand_columns(pd.DataFrame(columns=columns), needed, str(path), hint)


def _demand_typical(converted: ConvertedCatalogue, schema: Schema) -> None:
    frame = pd.DataFrame(converted.values).dropna(axis=1, how="all").dropna()
    demand_typical(frame, list(map(str, frame)), schema)


def _note_unused_errors(converted: ConvertedCatalogue, posterior: Posterior) -> None:
    stated = [
        name for name, errors in converted.two_sided.items() if np.any(errors > 0.0)
    ]
    if stated and not posterior.transforms.accepts_missing:
        note = "not used, the model takes exact values"
        converted.log.append(f"errors of {', '.join(stated)}: {note}")


def _keys(table: Table, mapping: Mapping | None, posterior: Posterior) -> pd.DataFrame:
    """Key columns of the rows, integers or text."""
    columns = [name for name in posterior.key_columns if name in table.colnames]
    keys = pd.DataFrame({name: key_values(table[name], name) for name in columns})
    object_name = mapping.object_name if mapping else None
    if object_name or not columns:
        keys[OBJECT] = names_of(table, object_name)
    return keys


def _is_named(table: Table, mapping: Mapping | None, posterior: Posterior) -> bool:
    """Whether the rows have names of their own, not the numbers that they got here."""
    if mapping and mapping.object_name:
        return True
    return bool(set(posterior.key_columns) & set(table.colnames))


def _query(
    converted: ConvertedCatalogue,
    keys: pd.DataFrame,
    views: Views,
    posterior: Posterior,
    *,
    is_named: bool,
) -> Query:
    """Make a query of the views; the index of their keys is their object."""
    inputs = converted.inputs(posterior.inputs)[views.rows]
    for number, name in enumerate(posterior.inputs):
        if name in views.embeddings:
            inputs[:, number] = views.embeddings[name]
    keys_of_views = keys.iloc[views.rows].set_axis(views.rows)
    query = Query(inputs, views.rows, keys_of_views, is_named)
    is_before = posterior.transforms.is_before_record(query.inputs).numpy()
    early_rows = np.isin(np.arange(len(keys)), query.places[is_before])
    converted.note(early_rows, "observed before the record of collisions begins")
    if not posterior.transforms.accepts_missing:
        _note_missing(converted, posterior, query)
    return query


def _note_missing(
    converted: ConvertedCatalogue, posterior: Posterior, query: Query
) -> None:
    """Say of each row what a model of complete rows lacks."""
    missing = pd.DataFrame(np.isnan(query.inputs), columns=list(posterior.inputs))
    missing = missing.groupby(query.places).any()
    vectors = [name for name in posterior.inputs if is_embedding(name)]
    lacks_map = missing[vectors].any(axis=1)
    converted.note(lacks_map.to_numpy(), NO_MAP)
    scalars = [name for name in posterior.inputs if name not in vectors]
    for name in scalars:
        explained = _rows_with_reason(converted, f"{name}:")
        is_explained = missing.index.isin(explained)
        unexplained = missing[name] & ~is_explained
        reason = f"{name}: missing, the model takes complete rows only"
        converted.note(unexplained.to_numpy(), reason)


def _rows_with_reason(converted: ConvertedCatalogue, beginning: str) -> list[int]:
    """Rows that have a reason of a certain beginning."""
    return [
        row
        for row, reasons in converted.reasons.items()
        if any(reason.startswith(beginning) for reason in reasons)
    ]


def _split_views(
    table: Table, query: Query, views: Views, path: Path
) -> tuple[Table, Query]:
    """Make every view an object of its own, with its projection among the keys."""
    if PROJECTION in table.colnames:
        got = f"'{PROJECTION}'"
        raise DataError(path, "no column that maps bring", got, "", "rename it")
    split: Any = table[views.rows]
    split[PROJECTION] = Column(views.projections)
    keys = query.keys.assign(**{PROJECTION: views.projections})
    return split, replace(query, keys=keys.reset_index(drop=True))
