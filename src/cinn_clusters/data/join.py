"""The two files of a simulation, read under fixed names of their keys and joined by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.cosmology import time_of_redshift
from cinn_clusters.data.tables import (
    demand_columns,
    demand_unique,
    read_csv,
    to_numbers,
)
from cinn_clusters.errors import DataError
from cinn_clusters.schema import CLUSTER_COLUMN, KEYS, Keys, Schema

_HALO, _SNAPSHOT = KEYS


@dataclass(frozen=True)
class Dropped:
    """Rows left out for one reason; the number of clusters is -1 where it is not known."""

    reason: str
    rows: int
    clusters: int


def read_observables(
    path: str | Path, schema: Schema
) -> tuple[pd.DataFrame, list[str]]:
    """The observables, the time (made from the redshift where there is none) and the mass."""
    frame, time, redshift = read_csv(path), schema.time, schema.having("redshift")
    cluster = schema.keys.cluster
    if cluster is not None and cluster not in frame:
        raise DataError(
            f"column '{cluster}'",
            "the column that tells which rows are one cluster",
            "none of that name",
            str(path),
            f"pass --cluster-column with one of: {', '.join(list(frame.columns)[:6])}, ... "
            "(HaloID is not a cluster: it changes between snapshots)",
        )
    is_made = time is not None and time not in frame and redshift in frame
    names = [name for name in schema.observables if not (is_made and name == time)]
    context = [name for name in (time, schema.mass, redshift) if name in frame and name]
    table, unknown = _read_columns(
        frame, [*schema.keys.names, *names], context, schema, str(path)
    )
    if is_made:
        table[time] = time_of_redshift(table[redshift].to_numpy())
    return table, unknown


def read_targets(path: str | Path, schema: Schema) -> tuple[pd.DataFrame, list[str]]:
    """The targets, and the names of columns that nobody knows."""
    frame, keys = read_csv(path), schema.keys
    names = [*keys.row_keys, *schema.targets]
    context = [name for name in (keys.cluster,) if name in frame and name]
    return _read_columns(frame, names, context, schema, str(path))


def _read_columns(
    frame: pd.DataFrame,
    needed: list[str],
    context: list[str],
    schema: Schema,
    path: str,
) -> tuple[pd.DataFrame, list[str]]:
    """The columns that are used, and the names of those that nobody knows."""
    keys, row_keys = schema.keys, schema.keys.row_keys
    hint = "name it with --halo-column or --snapshot-column (none: there is none)"
    demand_columns(frame, row_keys, path, hint)
    demand_columns(frame, needed, path)
    if keys.halo is not None:
        demand_unique(frame, row_keys, path)
    names = list(dict.fromkeys([*needed, *context]))
    numeric = [name for name in names if name != keys.cluster]
    table = to_numbers(frame[names], numeric, path, integers=row_keys)
    used = {*names, *keys.names}
    unknown = [str(name) for name in frame if name not in used and name not in schema]
    return with_keys(table, keys), unknown


def with_keys(table: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    """Return a table with the keys under their fixed names, rows numbered where it has none.

    Examples:
        >>> with_keys(pd.DataFrame({"group": [7, 3]}), Keys("group", None, None))
           HaloID  Snapshot  HaloOrigID
        0       7         0           7
        1       3         0           3
    """
    renamed = table.rename(
        columns={
            name: key
            for name, key in zip((keys.halo, keys.snapshot), KEYS, strict=True)
            if name
        }
    )
    if keys.halo is None:
        renamed.insert(0, _HALO, np.arange(len(table)))
    if keys.snapshot is None:
        renamed.insert(1, _SNAPSHOT, 0)
    if keys.cluster is None:
        renamed[CLUSTER_COLUMN] = renamed[_HALO]
    return renamed


def join_tables(
    observed: pd.DataFrame, histories: pd.DataFrame, keys: Keys
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Join the rows that both files have, and log the others."""
    if keys.halo is None and len(observed) != len(histories):
        got, hint = f"{len(observed)} and {len(histories)}", "or name a --halo-column"
        raise DataError("the two files", "as many rows in both", got, "", hint)
    twin, cluster = "_of_targets", keys.cluster or CLUSTER_COLUMN
    joined = observed.merge(
        histories,
        on=list(KEYS),
        how="inner",
        suffixes=("", twin),
        validate="one_to_one",
    )
    dropped = [
        Dropped(f"only in the {name} file", len(frame) - len(joined), -1)
        for name, frame in (("observables", observed), ("targets", histories))
        if len(frame) > len(joined)
    ]
    if cluster + twin in joined:
        differs = joined[cluster] != joined[cluster + twin]
        if differs.any():
            row = joined[differs].iloc[0]
            first = f"HaloID {row.HaloID:.0f}, Snapshot {row.Snapshot:.0f}"
            raise DataError(
                f"column '{cluster}'", "one cluster in both files", "two", first
            )
        joined = joined.drop(columns=cluster + twin)
    if joined.empty:
        expected, hint = (
            "common pairs of HaloID and Snapshot",
            "are they one simulation?",
        )
        raise DataError("the two files", expected, "none", "", hint)
    return joined, dropped
