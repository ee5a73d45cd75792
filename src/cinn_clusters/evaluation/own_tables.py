"""Ground truth in anyone's tables: keys are the columns that the posterior file names, too.

Nothing has to be declared: targets are the variables that are columns of the table of truths,
observables the other columns of numbers. What could be meant in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.reading.keys import alike
from cinn_clusters.data.reading.tables import demand_columns, read_csv, to_numbers
from cinn_clusters.errors import DataError
from cinn_clusters.schema import CLUSTER_COLUMN, KEYS, Schema
from cinn_clusters.storage.foreign_samples import ForeignSamples

_ROW = "row of the table of truths"
NO_CLUSTERS = "no column of clusters: every object counts as a cluster of its own"
BY_ORDER = (
    "no keys in the file: objects are matched with the table of truths by their order"
)


@dataclass(frozen=True, eq=False)
class OwnTruth:
    """Ground truth of the objects of a file.

    Args:
        catalogue: Rows of objects that the tables know, with all targets.
        positions: Number of each in the file, (n,).
        ignored: Variables of the file that no table knows.
        notes: What was taken for granted.
    """

    catalogue: Catalogue
    positions: np.ndarray
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


def match_own_tables(
    posterior: Path,
    foreign: ForeignSamples,
    targets_file: Path,
    observables_file: Path | None,
    schema: Schema,
) -> OwnTruth:
    """Find the ground truth of each object.

    Raises:
        DataError: If keys, targets or clusters are missing or can be meant in two ways.
    """
    text = tuple(map(str, foreign.keys))
    truths = read_csv(targets_file, text=text)
    names = _target_names(posterior, foreign, truths, targets_file)
    keys = [str(name) for name in foreign.keys if name in truths and name not in names]
    _demand_keys(posterior, foreign, truths, targets_file, keys)
    table = to_numbers(truths, names, str(targets_file))
    rows_of_truth = truths[keys].assign(
        **table[names], **{_ROW: np.arange(len(truths))}
    )
    cluster = schema.keys.cluster
    if cluster in truths and cluster not in keys:
        rows_of_truth[cluster] = truths[cluster]
    observables: list[str] = []
    if observables_file is not None:
        rows_of_truth, observables = _with_observables(
            rows_of_truth, observables_file, keys, names, schema
        )
    positions = _positions(rows_of_truth, foreign.keys, keys)
    is_usable = (positions >= 0) & rows_of_truth[names].notna().all(axis=1).to_numpy()
    if not is_usable.any():
        expected, hint = "objects with a known history", "are they one simulation?"
        raise DataError(posterior, expected, "none in common", "", hint)
    usable = rows_of_truth[is_usable].reset_index(drop=True)
    cluster = _demanded_cluster(schema, usable, keys, targets_file)
    notes = [BY_ORDER] * (not keys) + [NO_CLUSTERS] * (cluster not in usable)
    catalogue = _catalogue(usable, observables, names, cluster, schema)
    ignored = sorted({*foreign.targets} - {*names})
    return OwnTruth(catalogue, positions[is_usable], tuple(ignored), tuple(notes))


def _target_names(
    posterior: Path, foreign: ForeignSamples, truths: pd.DataFrame, source: Path
) -> list[str]:
    names = [name for name in foreign.targets if name in truths]
    if not names:
        expected = f"variables that are columns of {source}"
        raise DataError(posterior, expected, ", ".join(foreign.targets))
    return names


def _catalogue(
    usable: pd.DataFrame,
    observables: Sequence[str],
    names: Sequence[str],
    cluster: str,
    schema: Schema,
) -> Catalogue:
    rows = usable[_ROW].to_numpy()
    if cluster not in usable:
        usable = usable.assign(**{cluster: rows})
    numbered = {KEYS[0]: rows, KEYS[1]: np.zeros_like(rows)}
    absent = {key: values for key, values in numbered.items() if key not in usable}
    table = usable.assign(**absent)
    return Catalogue(table, tuple(observables), tuple(names), cluster, schema=schema)


def _demand_keys(
    posterior: Path,
    foreign: ForeignSamples,
    truths: pd.DataFrame,
    targets_file: Path,
    keys: Sequence[str],
) -> None:
    """Refuse keys that do not name each row once, and none where order cannot stand in."""
    names = [str(name) for name in truths if name not in foreign.targets]
    num_objects = len(foreign.keys)
    if not keys and (names or len(truths) != num_objects):
        expected = f"keys that are columns of {targets_file} ({', '.join(names)})"
        listed = ", ".join(map(str, foreign.keys)) or "none"
        got = f"{listed}, and {num_objects} objects for {len(truths)} rows"
        hint = "write an array for each key beside the samples"
        raise DataError(posterior, expected, got, "", hint)
    frames = {str(targets_file): truths, str(posterior): foreign.keys}
    for source, frame in frames.items():
        repeated = frame.duplicated(list(keys)) if keys else np.zeros(1, bool)
        if repeated.any():
            expected = f"each object once by {', '.join(keys)}"
            got = f"{int(repeated.sum())} repeated"
            hint = "give both files every key, such as the snapshot, under one name"
            raise DataError(source, expected, got, "", hint)


def _positions(
    rows_of_truth: pd.DataFrame, file_keys: pd.DataFrame, keys: Sequence[str]
) -> np.ndarray:
    """Number of each row's object in the file, -1 where it has none."""
    if not keys:
        return rows_of_truth[_ROW].to_numpy()
    pairs = [alike(rows_of_truth[key], file_keys[key]) for key in keys]
    of_table, of_file = (
        pd.MultiIndex.from_arrays(list(columns)) for columns in zip(*pairs, strict=True)
    )
    return np.asarray(of_file.get_indexer(of_table))


def _with_observables(
    rows_of_truth: pd.DataFrame,
    path: Path,
    keys: Sequence[str],
    targets: Sequence[str],
    schema: Schema,
) -> tuple[pd.DataFrame, list[str]]:
    """Join the observables: those of the schema if all are there, else all columns of numbers."""
    frame = read_csv(path, text=keys)
    demand_columns(frame, keys, str(path))
    if not keys and len(frame) != len(rows_of_truth):
        expected = f"{len(rows_of_truth)} rows in the order of the truths"
        raise DataError(path, expected, f"{len(frame)} rows")
    names = _observable_names(frame, {*keys, *targets, *KEYS, *rows_of_truth}, schema)
    extra = [schema.time or "", schema.keys.cluster or ""]
    columns = [name for name in dict.fromkeys([*names, *extra]) if name in frame]
    columns = [name for name in columns if name not in rows_of_truth]
    if not keys:
        return pd.concat([rows_of_truth, frame[columns]], axis=1), names
    return _joined(rows_of_truth, frame, keys, columns), names


def _observable_names(
    frame: pd.DataFrame, excluded: Collection[str], schema: Schema
) -> list[str]:
    declared = [name for name in schema.observables if name in frame]
    if len(declared) == len(schema.observables):
        return declared
    numeric = map(str, frame.select_dtypes("number"))
    return [name for name in numeric if name not in {*excluded, schema.keys.cluster}]


def _joined(
    rows_of_truth: pd.DataFrame,
    frame: pd.DataFrame,
    keys: Sequence[str],
    columns: Sequence[str],
) -> pd.DataFrame:
    positions = _positions(rows_of_truth, frame[list(keys)], keys)
    is_there = positions >= 0
    joined = rows_of_truth[is_there].reset_index(drop=True)
    rows = frame[list(columns)].iloc[positions[is_there]].reset_index(drop=True)
    return pd.concat([joined, rows], axis=1)


def _demanded_cluster(
    schema: Schema, usable: pd.DataFrame, keys: Sequence[str], source: Path
) -> str:
    """Column of clusters; every object is one where a single key names it."""
    name = schema.keys.cluster or CLUSTER_COLUMN
    if name in usable or len(keys) < 2:
        return name
    expected = f"column '{name}', which tells what rows are one cluster"
    hint = f"pass --cluster-column, such as {keys[0]}"
    raise DataError(source, expected, "none", "", hint)
