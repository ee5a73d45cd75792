"""The two files of a simulation, read under fixed names of their keys and joined by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.cosmology import time_of_redshift
from cinn_clusters.data.reading.keys import alike, demand_named, key_values
from cinn_clusters.data.reading.tables import (
    demand_columns,
    demand_unique,
    read_csv,
    to_numbers,
)
from cinn_clusters.errors import DataError
from cinn_clusters.schema import CLUSTER_COLUMN, KEYS, Keys, Schema

_HALO, _SNAPSHOT = KEYS
_NUMBER = r"_?(id|num|nr|number|no|index|idx)"
_KEY_NAMES = {
    "halo": re.compile(f"(sub)?(halo|group|grp|fof)({_NUMBER})?|id", re.IGNORECASE),
    "snapshot": re.compile(f"snap(shot)?({_NUMBER})?", re.IGNORECASE),
}
"""What people call their key columns."""


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
    frame = read_csv(path, text=schema.keys.names)
    time, redshift = schema.time, schema.having("redshift")
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
    keys = schema.keys
    frame = read_csv(path, text=keys.names)
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
    keys = schema.keys
    demand_columns(frame, keys.row_keys, path, _hint_of_keys(frame, keys))
    demand_columns(frame, needed, path)
    names = list(dict.fromkeys([*needed, *context]))
    table = _typed(frame, names, keys, path)
    if keys.halo is not None:
        demand_unique(table, keys.row_keys, path)
    used = {*names, *keys.names}
    unknown = [str(name) for name in frame if name not in used and name not in schema]
    return with_keys(table, keys), unknown


def _typed(
    frame: pd.DataFrame, names: list[str], keys: Keys, path: str
) -> pd.DataFrame:
    """Columns as they are used: keys as integers or text, all others as numbers."""
    numeric = [name for name in names if name not in keys.names]
    table = to_numbers(frame[names], numeric, path)
    for name in (name for name in keys.names if name in names):
        table[name] = key_values(frame[name], name, path)
        demand_named(table[name].to_numpy(), name, path)
    return table


def _hint_of_keys(frame: pd.DataFrame, keys: Keys) -> str:
    """Name the options for key columns that are called otherwise, with the likely names."""
    options = []
    named = {"halo": keys.halo, "snapshot": keys.snapshot}
    for kind, key in named.items():
        alike = [str(name) for name in frame if _KEY_NAMES[kind].fullmatch(str(name))]
        if key is not None and key not in frame and alike:
            options.append(f"--{kind}-column {alike[0]}")
    if options:
        return f"pass {' '.join(options)} (none: there is none)"
    return "name it with --halo-column or --snapshot-column (none: there is none)"


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
    observed, histories = observed.copy(), histories.copy()
    for key in KEYS:
        observed[key], histories[key] = alike(observed[key], histories[key])
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
        cluster_names, others = alike(joined[cluster], joined[cluster + twin])
        differs = cluster_names != others
        if differs.any():
            first = ", ".join(
                f"{key} {joined.loc[differs, key].iloc[0]}" for key in KEYS
            )
            raise DataError(
                f"column '{cluster}'", "one cluster in both files", "two", first
            )
        joined = joined.drop(columns=cluster + twin)
    if joined.empty:
        expected, hint = (
            "common pairs of HaloID and Snapshot",
            "are they one simulation, and are the ids written alike?",
        )
        first = " and ".join(map(_first_key, (observed, histories)))
        raise DataError("the two files", expected, "none", f"first {first}", hint)
    return joined, dropped


def _first_key(table: pd.DataFrame) -> str:
    """The keys of the first row as they were read."""
    return ":".join(str(table[key].iloc[0]) for key in reversed(KEYS))
