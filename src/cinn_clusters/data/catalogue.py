"""A validated table: two files joined, checked against the schema, every dropped row accounted
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.checks import demand_no_problem, demand_typical, problems
from cinn_clusters.data.tables import demand_columns, demand_unique, read_csv, to_numbers
from cinn_clusters.errors import DataError

KEYS = list(schema.KEYS)


@dataclass(frozen=True)
class Dropped:
    """Rows left out for one reason."""

    reason: str
    rows: int
    clusters: int


@dataclass(frozen=True)
class Catalogue:
    """Rows with known observables and histories.

    Args:
        table: One row a cluster and snapshot: keys, cluster column, context, observables and
            targets.
        observables: Columns of x.
        targets: Columns of theta.
        cluster_column: Column that tells which rows are one cluster.
        rows_read: Rows of the joined files before any was dropped.
        dropped: The account of the others.
        unknown: Columns of the files that the schema does not know and nobody asked for; they are
            left out.
        left_out: Rows with observables but without a usable history: keys, observables, and
            ``is_recorded``, whether a collision was recorded at all.
    """

    table: pd.DataFrame
    observables: tuple[str, ...]
    targets: tuple[str, ...]
    cluster_column: str = schema.CLUSTER_COLUMN
    rows_read: int = 0
    dropped: tuple[Dropped, ...] = ()
    unknown: tuple[str, ...] = ()
    left_out: pd.DataFrame | None = None

    @property
    def theta(self) -> np.ndarray:
        """Physical targets, (N, D)."""
        return self.inputs(self.targets)

    @property
    def clusters(self) -> np.ndarray:
        """Cluster of each row, (N,)."""
        return self.table[self.cluster_column].to_numpy()

    @property
    def age(self) -> np.ndarray:
        """Cosmic age at each observation [Gyr], (N,); NaN without a lookback time."""
        if schema.LOOKBACK not in self.table:
            return np.full(len(self.table), np.nan)
        return age_at_lookback(self.table[schema.LOOKBACK].to_numpy(float))

    def inputs(self, names: Sequence[str]) -> np.ndarray:
        """Copy of the catalogue values of some columns, (N, len(names)); a simulation's values
        have no error.
        """
        exact = [
            name
            for name in names
            if name.startswith(schema.ERROR_PREFIX) and name not in self.table
        ]
        table = self.table.assign(**dict.fromkeys(exact, 0.0)) if exact else self.table
        return table[list(names)].to_numpy(float, copy=True)

    def rows(self, index: np.ndarray) -> Catalogue:
        """The same catalogue with some of its rows."""
        table = self.table.iloc[index].reset_index(drop=True)
        return Catalogue(table, self.observables, self.targets, self.cluster_column)


def read_catalogue(
    observables_file: str | Path,
    targets_file: str | Path,
    *,
    observables: Sequence[str] = schema.DEFAULT_OBSERVABLES,
    targets: Sequence[str] = schema.DEFAULT_TARGETS,
    cluster_column: str = schema.CLUSTER_COLUMN,
    keep_marks: bool = False,
    drop_incomplete: bool = False,
    allow_atypical: bool = False,
) -> Catalogue:
    """Read, join and validate the two files of a simulation.

    Args:
        observables_file: CSV with HaloID, Snapshot, the cluster column and the observables.
        targets_file: CSV with HaloID, Snapshot and the targets.
        observables: Columns of x.
        targets: Columns of theta.
        cluster_column: Column that identifies a cluster across snapshots.
        keep_marks: Keep rows whose targets hold a missing-value mark as if it were a measurement
            (the original did).
        drop_incomplete: Drop rows with a missing observable or only part of the targets instead of
            refusing them.
        allow_atypical: Accept a table whose medians tell of another unit.

    Returns:
        The rows that can be used, and the account of the others.

    Raises:
        DataError: If a file, a column or a value is not what the schema says.
    """
    observables, targets = tuple(observables), tuple(targets)
    _demand_names(observables, targets, cluster_column)
    context = [name for name in (schema.LOOKBACK, schema.MASS) if name not in observables]
    seen, unknown = _read_side(
        observables_file, [*KEYS, cluster_column, *observables], context, cluster_column
    )
    hidden, more = _read_side(targets_file, [*KEYS, *targets], [cluster_column], cluster_column)
    joined, account = _join(seen, hidden, cluster_column, targets)
    rows_read = len(joined)
    has_age = any(schema.column(name).bijection == "age" for name in targets)
    if has_age:
        demand_columns(
            joined,
            [schema.LOOKBACK],
            str(observables_file),
            hint="a collision time needs it as its bound",
        )
    everything = joined
    needed = [schema.LOOKBACK] if has_age and schema.LOOKBACK in context else []
    joined = _drop_unlabelled(joined, targets, cluster_column, account)
    if drop_incomplete:
        is_incomplete = joined[[*observables, *targets, *needed]].isna().any(axis=1)
        joined = _drop(
            joined, is_incomplete, "a value is missing (--drop-incomplete)", cluster_column, account
        )
    if not keep_marks:
        joined = _drop_marked(joined, targets, cluster_column, account)
    if joined.empty:
        raise DataError(
            f"{observables_file} and {targets_file}",
            "rows with a known history",
            "none left to use",
        )
    used = [*observables, *targets, *needed]
    demand_no_problem(joined, used, keep_marks=keep_marks)
    if not allow_atypical:
        demand_typical(joined, used)
    table = joined.reset_index(drop=True)
    left_out = _left_out(
        everything.drop(index=joined.index), [*KEYS, cluster_column], observables, targets
    )
    unused = (*unknown, *more)
    return Catalogue(
        table, observables, targets, cluster_column, rows_read, tuple(account), unused, left_out
    )


def _demand_names(observables: Sequence[str], targets: Sequence[str], cluster_column: str) -> None:
    for what, names in (("observables", observables), ("targets", targets)):
        if not names or len(set(names)) < len(names):
            raise DataError(what, "one or more columns, each once", f"{list(names)}")
    if both := set(observables) & set(targets):
        raise DataError(f"column '{min(both)}'", "an observable or a target", "both")
    if both := set(KEYS) & {*observables, *targets}:
        raise DataError(
            f"column '{min(both)}'", "an observable or a target", "a key, which numbers rows"
        )
    if cluster_column in {*KEYS, *observables, *targets}:
        what = (
            "a key, which changes between snapshots"
            if cluster_column in KEYS
            else "an observable or a target"
        )
        raise DataError(f"cluster column '{cluster_column}'", "a name of the cluster alone", what)


def _read_side(
    path: str | Path, needed: list[str], optional: list[str], cluster_column: str
) -> tuple[pd.DataFrame, list[str]]:
    frame = read_csv(path)
    if cluster_column in needed and cluster_column not in frame:
        raise DataError(
            f"column '{cluster_column}'",
            "the column that tells which rows are one cluster",
            "none of that name",
            str(path),
            f"pass --cluster-column with one of: {', '.join(list(frame.columns)[:6])}, ... "
            "(HaloID is not a cluster: it changes between snapshots)",
        )
    demand_columns(frame, needed, str(path))
    demand_unique(frame, KEYS, str(path))
    names = [*needed, *(name for name in optional if name in frame)]
    unknown = [
        str(name)
        for name in frame
        if name not in {*names, *KEYS, cluster_column} and name not in schema.DEFAULT
    ]
    return to_numbers(
        frame[names], [name for name in names if name != cluster_column], str(path)
    ), unknown


def _join(
    seen: pd.DataFrame, hidden: pd.DataFrame, cluster_column: str, targets: Sequence[str]
) -> tuple[pd.DataFrame, list[Dropped]]:
    joined = seen.merge(
        hidden, on=KEYS, how="inner", suffixes=("", "_of_targets"), validate="one_to_one"
    )
    account = [
        Dropped(f"only in the {name} file", len(frame) - len(joined), -1)
        for name, frame in (("observables", seen), ("targets", hidden))
        if len(frame) > len(joined)
    ]
    twin = f"{cluster_column}_of_targets"
    if twin in joined:
        differs = joined[cluster_column] != joined[twin]
        if differs.any():
            row = joined[differs].iloc[0]
            where = f"HaloID {row.HaloID:.0f}, Snapshot {row.Snapshot:.0f}"
            raise DataError(f"column '{cluster_column}'", "one cluster in both files", "two", where)
        joined = joined.drop(columns=twin)
    if joined.empty:
        raise DataError(
            "the two files",
            "common pairs of HaloID and Snapshot",
            "none",
            "",
            "are they one simulation?",
        )
    return joined, account


def _drop_unlabelled(
    frame: pd.DataFrame, targets: Sequence[str], cluster_column: str, account: list[Dropped]
) -> pd.DataFrame:
    unlabelled = frame[list(targets)].isna().all(axis=1)
    if unlabelled.all():
        raise DataError(
            "targets", "at least one row with a known history", f"{len(frame)} rows without any"
        )
    return _drop(
        frame, unlabelled, "no collision recorded before the snapshot", cluster_column, account
    )


def _left_out(
    frame: pd.DataFrame, keys: list[str], observables: Sequence[str], targets: Sequence[str]
) -> pd.DataFrame:
    """Rows whose observables are fine, and whether a collision was recorded for them."""
    fine = frame[list(observables)].notna().all(axis=1)
    for problem in problems(frame, list(observables)):
        fine &= ~problem.rows
    kept = frame.loc[fine, list(dict.fromkeys([*keys, *observables]))]
    return kept.assign(
        is_recorded=frame.loc[fine, list(targets)].notna().any(axis=1).astype(int)
    ).reset_index(drop=True)


def _drop_marked(
    frame: pd.DataFrame, targets: Sequence[str], cluster_column: str, account: list[Dropped]
) -> pd.DataFrame:
    for name in targets:
        mark = schema.column(name).missing_mark
        if mark is not None:
            reason = f"{name} holds the missing-value mark {mark:g}"
            frame = _drop(frame, frame[name] == mark, reason, cluster_column, account)
    return frame


def _drop(
    frame: pd.DataFrame, mask: pd.Series, reason: str, cluster_column: str, account: list[Dropped]
) -> pd.DataFrame:
    if mask.any():
        account.append(
            Dropped(reason, int(mask.sum()), int(frame.loc[mask, cluster_column].nunique()))
        )
    return frame[~mask]
