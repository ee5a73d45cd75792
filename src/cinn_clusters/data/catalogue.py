"""A validated table: two files joined, checked against their schema, every dropped row logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.checks import demand_no_problem, demand_typical, problems
from cinn_clusters.data.reading.absence import without_marks
from cinn_clusters.data.reading.join import (
    Dropped,
    join_tables,
    read_observables,
    read_targets,
)
from cinn_clusters.data.reading.keys import demand_distinct
from cinn_clusters.data.reading.table import NOTES
from cinn_clusters.data.reading.tables import demand_columns
from cinn_clusters.errors import DataError
from cinn_clusters.schema import (
    CLUSTER_COLUMN,
    DEFAULT,
    ERROR_PREFIX,
    KEYS,
    Column,
    Role,
    Schema,
)

HALO, SNAPSHOT = KEYS
MISSING_TARGET = "a target is missing"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Rows with observables and known histories.

    Args:
        table: One row a cluster and snapshot (and projection): keys, cluster column, context,
            observables and targets. An observable may be NaN: it is missing.
        observables: Columns of x.
        targets: Columns of theta.
        cluster_column: Column that tells which rows are one cluster.
        rows_read: Rows of the joined files before any was dropped.
        dropped: The log of dropped rows.
        unknown: Columns of the files that the schema does not know and nobody asked for; they are
            left out.
        left_out: Rows with observables but without a usable history: keys, observables, and
            ``is_recorded``, whether any target is there.
        schema: What the columns are.
        marks: Notes of marks of absence that were taken as missing.

    Examples:
        >>> import cinn_clusters as cc
        >>> catalogue = cc.read_catalogue("mock/observables1.csv", "mock/unobservables1.csv")
        >>> catalogue.theta.shape == (len(catalogue.table), 6)
        True
    """

    table: pd.DataFrame = field(repr=False)
    observables: tuple[str, ...]
    targets: tuple[str, ...]
    cluster_column: str = CLUSTER_COLUMN
    rows_read: int = 0
    dropped: tuple[Dropped, ...] = ()
    unknown: tuple[str, ...] = ()
    left_out: pd.DataFrame | None = field(default=None, repr=False)
    schema: Schema = field(default=DEFAULT, repr=False)
    marks: tuple[str, ...] = ()

    @property
    def theta(self) -> np.ndarray:
        """Physical targets, (N, D)."""
        return self.inputs(self.targets)

    @property
    def target_columns(self) -> tuple[Column, ...]:
        """What each target is, D columns."""
        return tuple(map(self.schema.column, self.targets))

    @property
    def clusters(self) -> np.ndarray:
        """Cluster of each row, (N,)."""
        return self.table[self.cluster_column].to_numpy()

    @property
    def age(self) -> np.ndarray:
        """Cosmic age at each observation [Gyr], (N,); NaN without a lookback time."""
        time = self.having("time")
        if time is None:
            return np.full(len(self.table), np.nan)
        return age_at_lookback(self.table[time].to_numpy(float))

    def having(self, role: Role) -> str | None:
        """Return the column with a role, where the table has one."""
        name = self.schema.having(role)
        if name not in self.table:
            return None
        return name

    def inputs(self, names: Sequence[str]) -> np.ndarray:
        """Copy of some columns, (N, len(names)); a simulation's values have no error."""
        absent = [name for name in names if name not in self.table]
        exact = [name for name in absent if name.startswith(ERROR_PREFIX)]
        table = self.table.assign(**dict.fromkeys(exact, 0.0))
        return table[list(names)].to_numpy(float, copy=True)

    def rows(self, index: np.ndarray) -> Catalogue:
        """The same catalogue with some of its rows."""
        table = self.table.iloc[index].reset_index(drop=True)
        return Catalogue(
            table,
            self.observables,
            self.targets,
            self.cluster_column,
            schema=self.schema,
        )

    def num_missing(self) -> dict[str, int]:
        """How many rows lack an observable, for those that any row lacks."""
        counts = self.table[list(self.observables)].isna().sum()
        return {str(name): int(count) for name, count in counts.items() if count}

    def without(self, is_dropped: np.ndarray, reason: str) -> Catalogue:
        """The same catalogue without some rows, and with them in its log."""
        selection = _Selection(self.table, self.cluster_column, list(self.dropped))
        selection.drop(pd.Series(is_dropped, index=self.table.index), reason)
        table = selection.table.reset_index(drop=True)
        return replace(self, table=table, dropped=tuple(selection.dropped))

    def complete_rows(self) -> np.ndarray:
        """Row numbers without a missing observable: all that a model of exact inputs can use.

        Examples:
            >>> table = pd.DataFrame({"x": [1.0, np.nan, 3.0], "y": [0.1, 0.2, 0.3]})
            >>> Catalogue(table, ("x",), ("y",)).complete_rows()
            array([0, 2])
        """
        is_finite = np.isfinite(self.inputs(self.observables))
        return np.flatnonzero(is_finite.all(1))


def read_catalogue(
    observables_file: str | Path,
    targets_file: str | Path,
    schema: Schema = DEFAULT,
    *,
    original: bool = False,
    drop_incomplete: bool = False,
    allow_atypical: bool = False,
) -> Catalogue:
    """Read, join and validate the two files of a simulation.

    A missing observable stays (NaN), and so does one that holds a mark of absence such as -99; a
    row without its targets is dropped and logged.

    Args:
        observables_file: CSV with the key columns and the observables.
        targets_file: CSV with the key columns and the targets.
        schema: What the columns are, which are observables, targets and keys.
        original: Read as the original scripts did: a missing-value mark of a target is a value, and
            a missing observable is refused.
        drop_incomplete: Drop rows with a missing observable or only part of the targets.
        allow_atypical: Accept a table whose medians tell of another unit.

    Returns:
        The rows that can be used, and the log of the others.

    Raises:
        DataError: If a file, a column or a value is not what the schema says.

    Examples:
        >>> import cinn_clusters as cc
        >>> cc.read_catalogue("mock/observables1.csv", "mock/unobservables1.csv").targets[0]
        'last_T_coll'
    """
    schema = _timed(schema)
    _demand_names(schema)
    _demand_cluster(schema)
    observed, unknown = read_observables(observables_file, schema)
    histories, more = read_targets(targets_file, schema)
    joined, unjoined = join_tables(observed, histories, schema.keys)
    marks = [*observed.attrs.get(NOTES, ()), *histories.attrs.get(NOTES, ())]
    joined.attrs.clear()
    if not original:
        names = [*schema.observables, *schema.targets]
        joined, absent = without_marks(joined, names, schema)
        marks += absent
    needed = _needed_time(joined, schema, str(observables_file))
    selection = _Selection(
        joined, schema.keys.cluster or CLUSTER_COLUMN, list(unjoined)
    )
    _drop_unlabelled(selection, schema)
    used = list(dict.fromkeys([*schema.observables, *schema.targets, *needed]))
    if drop_incomplete:
        is_incomplete = selection.table[used].isna().any(axis=1)
        selection.drop(is_incomplete, "a value is missing (--drop-incomplete)")
    if not original:
        _drop_marked(selection, schema)
    table = selection.table
    demand_distinct(
        table[selection.cluster_column].to_numpy(), selection.cluster_column
    )
    schema = _with_whole_record(schema, table)
    if table.empty:
        files = f"{observables_file} and {targets_file}"
        raise DataError(files, "rows with a known history", "none left to use")
    optional = set(schema.observables) - set(needed)
    if original:
        optional = set()
    demand_no_problem(table, used, schema, optional=optional, keep_marks=original)
    if not allow_atypical:
        demand_typical(table, used, schema)
    return Catalogue(
        table.reset_index(drop=True),
        schema.observables,
        schema.targets,
        selection.cluster_column,
        len(joined),
        tuple(selection.dropped),
        (*unknown, *more),
        _left_out(
            joined.drop(index=table.index), selection.cluster_column, schema, needed
        ),
        schema,
        tuple(marks),
    )


@dataclass
class _Selection:
    """Rows that are still in use, and the log of those that are not."""

    table: pd.DataFrame
    cluster_column: str
    dropped: list[Dropped]

    def drop(self, is_dropped: pd.Series, reason: str) -> None:
        """Leave rows out for a reason."""
        if is_dropped.any():
            clusters = self.table.loc[is_dropped, self.cluster_column]
            dropped = Dropped(reason, len(clusters), clusters.nunique())
            self.dropped.append(dropped)
            self.table = self.table[~is_dropped]


def _timed(schema: Schema) -> Schema:
    """Put the lookback time in place of a declared redshift among the observables."""
    times = {schema.having("redshift"): str(schema.time)}
    names = tuple(times.get(name, name) for name in schema.observables)
    return replace(schema, observables=names)


def _demand_names(schema: Schema) -> None:
    """Refuse columns that are none, twice there, or of two kinds at once."""
    observables, targets = schema.observables, schema.targets
    for kind, names in (("observables", observables), ("targets", targets)):
        if not names or len(set(names)) < len(names):
            raise DataError(kind, "one or more columns, each once", f"{list(names)}")
    expected = "an observable or a target"
    row_keys = _row_keys(schema)
    if shared := set(observables) & set(targets):
        raise DataError(f"column '{min(shared)}'", expected, "both")
    if keys := [name for name in (*observables, *targets) if name in row_keys]:
        raise DataError(f"column '{keys[0]}'", expected, "a key, which numbers rows")


def _demand_cluster(schema: Schema) -> None:
    """Refuse a cluster column that is something else, and none where snapshots call for one."""
    cluster = schema.keys.cluster
    subject = f"cluster column '{cluster}'"
    expected = "a name of the cluster alone"
    if cluster in _row_keys(schema):
        raise DataError(subject, expected, "a key, which changes between snapshots")
    if cluster in (*schema.observables, *schema.targets):
        raise DataError(subject, expected, "an observable or a target")
    if cluster is None and schema.keys.snapshot is not None:
        expected = "a column beside the snapshot"
        hint = "pass --cluster-column: snapshots of one cluster share their history"
        raise DataError("the cluster column", expected, "none", "", hint)


def _row_keys(schema: Schema) -> set[str | None]:
    """Names that number rows, those of the file and the fixed ones."""
    return {*KEYS, schema.keys.halo, schema.keys.snapshot} - {None}


def _needed_time(joined: pd.DataFrame, schema: Schema, path: str) -> list[str]:
    """The time, where a target is bounded by it or it is an observable: it is never missing."""
    has_age = any(schema.column(name).bijection == "age" for name in schema.targets)
    if schema.time is None or not (has_age or schema.time in schema.observables):
        return []
    hint = "a collision time needs it as its bound"
    demand_columns(joined, [schema.time], path, hint)
    return [schema.time]


def _drop_unlabelled(selection: _Selection, schema: Schema) -> None:
    """Drop rows without targets; where their absence says nothing, rows that lack any of them."""
    is_missing = selection.table[list(schema.targets)].isna()
    is_unlabelled = is_missing.all(axis=1)
    if is_unlabelled.all():
        got = f"{len(is_missing)} rows without any"
        raise DataError("targets", "at least one row with a known history", got)
    meanings = {schema.column(name).absent_means for name in schema.targets}
    if len(meanings) == 1 and None not in meanings:
        selection.drop(is_unlabelled, str(meanings.pop()))
    else:
        selection.drop(is_missing.any(axis=1), MISSING_TARGET)


def _drop_marked(selection: _Selection, schema: Schema) -> None:
    for name in schema.targets:
        mark = schema.column(name).missing_mark
        if mark is not None:
            is_marked = selection.table[name] == mark
            selection.drop(is_marked, f"{name} holds the missing-value mark {mark:g}")


def _with_whole_record(schema: Schema, table: pd.DataFrame) -> Schema:
    """Take the begin of the record away where a table holds collisions before it."""
    columns = []
    for column in schema.columns:
        if column.name in table and (table[column.name] < column.record_begin).any():
            column = replace(column, record_begin=0.0)
        columns.append(column)
    return replace(schema, columns=tuple(columns))


def _left_out(
    frame: pd.DataFrame, cluster_column: str, schema: Schema, needed: list[str]
) -> pd.DataFrame:
    """Rows without a usable history but with observables, and whether any target is there."""
    names = list(schema.observables)
    is_usable = np.ones(len(frame), dtype=bool)
    optional = set(names).difference(needed)
    for problem in problems(frame, names, schema, optional=optional):
        is_usable &= ~problem.rows
    usable = frame[is_usable]
    has_target = usable[list(schema.targets)].notna()
    is_recorded = has_target.any(axis=1).astype(int)
    columns = list(dict.fromkeys([*KEYS, cluster_column, *names]))
    table = usable[columns].assign(is_recorded=is_recorded)
    return table.reset_index(drop=True)
