"""The processed tables of the original scripts, their scaling undone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.tables import demand_columns, read_csv
from cinn_clusters.errors import DataError
from cinn_clusters.legacy.scalers import Scaler, read_scaler

_TABLES = {"X": "X.csv", "Y": "Y.csv"}
_DEFAULT_COLUMNS = {"X": schema.DEFAULT_OBSERVABLES, "Y": schema.DEFAULT_TARGETS}
_SCALER_WORDS = {
    "X": {"x", "input", "inputs", "features"},
    "Y": {"y", "target", "targets", "output", "outputs"},
}
_SCALER_SUFFIXES = {".pkl", ".pickle", ".joblib", ".npz"}
_DIGITS = 12
"""Significant digits that survive scaling, text and scaling back; rounding hides the rest, which
could leave a bound."""
_LARGEST_SCALED_MEAN = 1.0


def processed_tables(
    processed: str | Path,
    clusters: str | Path | None = None,
    cluster_column: str = schema.CLUSTER_COLUMN,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Undo the scaling of the original's processed tables.

    Args:
        processed: Folder with X.csv, Y.csv, meta.csv and the two scalers.
        clusters: CSV with HaloID, Snapshot and the cluster column (the observables of the
            simulation are one), for a meta.csv without it.
        cluster_column: Column that identifies a cluster.

    Returns:
        Observables and targets in catalogue values, each with its keys, to be joined.

    Raises:
        DataError: If a file or a column is missing, or the tables are not scaled.
    """
    processed = Path(processed)
    keys = list(schema.KEYS)
    meta = read_csv(processed / "meta.csv")
    demand_columns(meta, schema.KEYS, str(processed / "meta.csv"))
    if cluster_column not in meta:
        meta = _with_cluster(meta, clusters, cluster_column, processed / "meta.csv")
    observables, targets = (_unscaled(processed, side, len(meta)) for side in _TABLES)
    return (
        pd.concat([meta[[*keys, cluster_column]], observables], axis=1),
        pd.concat([meta[keys], targets], axis=1),
    )


def scaler_of(processed: Path, side: str) -> tuple[Path, Scaler, Sequence[str]]:
    """Find the one scaler of a side (X or Y), and its columns.

    The scaler holds their names, else the table beside it, else they are those of the schema.

    Raises:
        DataError: If there is none or several, or it cannot be read.
    """
    path = _scaler_file(processed, side)
    scaler = read_scaler(path)
    columns: Sequence[str] = scaler.names or _DEFAULT_COLUMNS[side]
    table = processed / _TABLES[side]
    if not scaler.names and table.is_file():
        columns = [str(name) for name in read_csv(table)]
    return path, scaler, columns


def _scaler_file(processed: Path, side: str) -> Path:
    paths = sorted(processed.glob("*"))
    files = [path for path in paths if path.suffix in _SCALER_SUFFIXES]
    matching = [path for path in files if _SCALER_WORDS[side] & _words(path)]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(path.name for path in (matching or files))
    expected = f"one scaler of {side}, such as scaler_{side}.pkl"
    raise DataError(processed, expected, names or "none")


def _words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", path.stem.lower()))


def _unscaled(processed: Path, side: str, num_rows: int) -> pd.DataFrame:
    """One of the two tables in catalogue values."""
    table = processed / _TABLES[side]
    scaled = read_csv(table)
    path, scaler, columns = scaler_of(processed, side)
    if scaled.shape != (num_rows, len(columns)):
        expected = f"{num_rows} rows (meta.csv) of {len(columns)} ({path.name})"
        raise DataError(
            table, expected, f"{scaled.shape[0]} rows of {scaled.shape[1]} columns"
        )
    values = scaled.to_numpy(float)
    means = np.nanmean(values, axis=0)
    if np.nanmax(np.abs(means)) > _LARGEST_SCALED_MEAN:
        hint = "give unscaled tables as --observables and --targets"
        raise DataError(
            table, "scaled columns, their means near zero", "others", "", hint
        )
    unscaled = values * scaler.scale + scaler.mean
    return pd.DataFrame(_rounded(unscaled), columns=list(columns))


def _with_cluster(
    meta: pd.DataFrame, clusters: str | Path | None, column: str, meta_path: Path
) -> pd.DataFrame:
    """Add the cluster column, looked up by HaloID and Snapshot in another table."""
    if clusters is None:
        expected = "the column that tells which rows are one cluster"
        hint = "pass --clusters with a CSV that holds it, such as the observables of the simulation"
        raise DataError(f"column '{column}'", expected, "none", str(meta_path), hint)
    keys = list(schema.KEYS)
    lookup = read_csv(clusters)
    demand_columns(lookup, [*keys, column], str(clusters))
    joined = meta.merge(lookup[[*keys, column]].drop_duplicates(), on=keys, how="left")
    num_missing = int(joined[column].isna().sum())
    if len(joined) != len(meta) or num_missing:
        expected = f"one {column} for every row of {meta_path}"
        raise DataError(clusters, expected, f"{num_missing} without")
    return joined


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values to ``_DIGITS`` significant digits."""
    magnitude = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values))))
    size = 10.0 ** (_DIGITS - 1 - magnitude)
    return np.asarray(np.round(values * size) / size)
