"""The processed tables of the original scripts, their scaling undone.

The folder of the original holds X.csv, Y.csv, meta.csv (or ``.npy`` arrays of these names) and a
scaler a table, whose names differ between its versions: ``scaler_X.pkl``, ``obs_scaler.pkl``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.embeddings import embedding_names
from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.data.reading.tables import demand_columns, read_csv, to_numbers
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import DataError
from cinn_clusters.legacy.scalers import Scaler, read_scaler

EMBEDDING = "embedding"
_DEFAULT_COLUMNS = {"X": schema.DEFAULT_OBSERVABLES, "Y": schema.DEFAULT_TARGETS}
_SCALER_WORDS = {
    "X": {"x", "input", "inputs", "feature", "features", "scalar", "scalars", "cond"}
    | {"obs", "observable", "observables", "observed"},
    "Y": {"y", "target", "targets", "tar", "output", "outputs", "label", "labels"}
    | {"unobs", "unobservable", "unobservables", "theta", "param", "params"},
    EMBEDDING: {"emb", "embs", "embed", "embedding", "embeddings", "latent"},
}
_SCALER_SUFFIXES = {".pkl", ".pickle", ".joblib", ".npz"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DIGITS = 12
"""Significant digits that survive scaling, text and scaling back; rounding hides the rest, which
could leave a bound."""


@dataclass(frozen=True, eq=False)
class NamedScaler:
    """A scaler of the folder, and the columns that it scales."""

    path: Path
    scaler: Scaler
    columns: Sequence[str]


def processed_tables(
    processed: str | Path,
    clusters: str | Path | None = None,
    cluster_column: str = schema.CLUSTER_COLUMN,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Undo the scaling of the original's processed tables.

    Args:
        processed: Folder with X.csv, Y.csv, meta.csv and the two scalers.
        clusters: CSV with HaloID, Snapshot and the cluster column (the observables of the
            simulation are one), for a meta.csv without it; its observables stand in for an X.csv
            that is not there.
        cluster_column: Column that identifies a cluster.

    Returns:
        Observables and targets in catalogue values, each with its keys, to be joined.

    Raises:
        DataError: If a file or a column is missing, or the tables are not scaled.
    """
    processed = Path(processed)
    _demand_files(processed, clusters)
    keys = list(schema.KEYS)
    meta = _read_keyed(processed / "meta.csv", [*keys, cluster_column])
    demand_columns(meta, schema.KEYS, str(processed / "meta.csv"))
    if cluster_column not in meta:
        names = [cluster_column]
        meta = _with_columns(meta, clusters, names, processed / "meta.csv", names)
    targets = _unscaled(processed, "Y", len(meta))
    observables = _observables(processed, meta, clusters)
    return (
        pd.concat([meta[[*keys, cluster_column]], observables], axis=1),
        pd.concat([meta[keys], targets], axis=1),
    )


def scaler_of(processed: Path, side: str) -> NamedScaler:
    """Find the one scaler of a side (X, Y or embedding), and its columns.

    Its name says of which side it is, else the names and the number of its columns do. The scaler
    holds their names, else the table beside it, else they are those of the schema.

    Raises:
        DataError: If there is none or several, or it cannot be read.
    """
    path = _scaler_file(processed, side)
    scaler = read_scaler(path)
    columns = scaler.names or _columns_of(processed, side)
    if side == EMBEDDING:
        columns = embedding_names(len(scaler.mean))
    return NamedScaler(path, scaler, columns)


def table_file(processed: Path, side: str) -> Path | None:
    """The table of a side, as text or as an array; None where there is none."""
    table, array = (processed / f"{side}{suffix}" for suffix in (".csv", ".npy"))
    if table.is_file():
        return table
    if array.is_file():
        return array
    return None


def source_files(
    processed: str | Path, clusters: str | Path | None = None
) -> tuple[Path, ...]:
    """Return the files that ``processed_tables`` reads its tables from."""
    folder = Path(processed)
    stand_in = Path(clusters or processed)
    tables = [table_file(folder, side) or stand_in for side in "XY"]
    return (*tables, folder / "meta.csv")


def _demand_files(processed: Path, clusters: str | Path | None) -> None:
    """Refuse a folder that lacks a table, naming it and what is there."""
    if not processed.is_dir():
        raise DataError(processed, "a folder of the original scripts", "none")
    missing = [f"{side}.csv" for side in "XY" if table_file(processed, side) is None]
    meta = processed / "meta.csv"
    if not meta.is_file():
        missing.append("meta.csv")
    lacks_only_x = missing == ["X.csv"]
    if not missing or (lacks_only_x and clusters is not None):
        return

    names = sorted(path.name for path in processed.iterdir())
    listed = ", ".join(names)
    hint = "write it with the original's data preparation, or give the unscaled tables as --observables and --targets"
    if lacks_only_x:
        hint = "pass --clusters with the observables of the simulation (HaloID, Snapshot, HaloOrigID and the columns of X)"
    absent = " and ".join(missing)
    expected = f"{absent} in the folder"
    raise DataError(processed, expected, listed or "an empty folder", "", hint)


def _observables(
    processed: Path, meta: pd.DataFrame, clusters: str | Path | None
) -> pd.DataFrame:
    """The observables, unscaled; from the table of the simulation where there is no X."""
    if table_file(processed, "X") is not None:
        return _unscaled(processed, "X", len(meta))
    names: Sequence[str] = _DEFAULT_COLUMNS["X"]
    with suppress(DataError):  # a scaler may be missing, too
        names = scaler_of(processed, "X").columns
    keys = meta[list(schema.KEYS)]
    joined = _with_columns(keys, clusters, names, processed / "meta.csv")
    return joined[list(names)]


def _columns_of(processed: Path, side: str) -> Sequence[str]:
    """Columns of a table by its header; those of the schema without one."""
    table = table_file(processed, side)
    if table is None or table.suffix != ".csv":
        return _DEFAULT_COLUMNS.get(side, ())
    return [str(name) for name in read_csv(table)]


def _scaler_file(processed: Path, side: str) -> Path:
    paths = sorted(processed.glob("*"))
    files = [path for path in paths if path.suffix in _SCALER_SUFFIXES]
    matching = [path for path in files if side in _sides(path)]
    if not matching:
        unnamed = [path for path in files if not _sides(path)]
        matching = [path for path in unnamed if _fits(path, processed, side)]
    if len(matching) == 1:
        return matching[0]
    candidates = matching or files
    names = ", ".join(path.name for path in candidates)
    expected = f"one scaler of {side}, such as scaler_{side}.pkl"
    hint = "rename it so that its name says of which table it is"
    raise DataError(processed, expected, names or "none", "", hint)


def _sides(path: Path) -> set[str]:
    """Of which tables a scaler is by the words of its name."""
    words = set()
    for word in _WORD.findall(path.stem):
        bare = word.lower().replace("scaler", "")
        words.add(bare)
    return {side for side, side_words in _SCALER_WORDS.items() if side_words & words}


def _fits(path: Path, processed: Path, side: str) -> bool:
    """Whether a scaler whose name says nothing has the columns of a side."""
    if side == EMBEDDING:
        return False
    try:
        scaler = read_scaler(path)
    except DataError:
        return False
    columns = list(_columns_of(processed, side))
    if scaler.names:
        return list(scaler.names) == columns
    return len(scaler.mean) == len(columns)


def _unscaled(processed: Path, side: str, num_rows: int) -> pd.DataFrame:
    """One of the two tables in catalogue values."""
    table = table_file(processed, side)
    assert table is not None  # by _demand_files
    values = _read_table(table)
    named = scaler_of(processed, side)
    num_columns = len(named.columns)
    if values.shape != (num_rows, num_columns):
        scaler = named.path.name
        expected = f"{num_rows} rows (meta.csv) of {num_columns} ({scaler})"
        got = " rows of ".join(map(str, values.shape))
        raise DataError(table, expected, f"{got} columns")
    raw = _raw_values(values, named, table)
    rounded = _rounded(raw)
    return pd.DataFrame(rounded, columns=list(named.columns))


def _raw_values(values: np.ndarray, named: NamedScaler, table: Path) -> np.ndarray:
    """Values of a table that is scaled, or was left unscaled beside its scaler."""
    if named.scaler.is_scaled(values):
        return named.scaler.undo(values)
    if named.scaler.is_raw(values):
        return values
    hint = "give unscaled tables as --observables and --targets"
    expected = f"scaled columns, by their means, as {named.path.name} makes them"
    raise DataError(table, expected, "others", "", hint)


def _read_table(path: Path) -> np.ndarray:
    """Numbers (N, C) of a table."""
    if path.suffix == ".csv":
        frame = read_csv(path)
        return to_numbers(frame, list(map(str, frame)), str(path)).to_numpy(float)
    try:
        demand_regular(path)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        expected = "an array in numpy's .npy format"
        raise DataError(path, expected, reason(error)) from error
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        got = f"{values.dtype} of shape {values.shape}"
        raise DataError(path, "numbers, (rows, columns)", got)
    return np.asarray(values, dtype=float)


def _with_columns(
    meta: pd.DataFrame,
    clusters: str | Path | None,
    names: Sequence[str],
    meta_path: Path,
    text: Sequence[str] = (),
) -> pd.DataFrame:
    """Add columns that another table holds, some as text, looked up by HaloID and Snapshot."""
    first_name = names[0]
    if clusters is None:
        expected = "the column that tells which rows are one cluster"
        hint = "pass --clusters with a CSV that holds it, such as the observables of the simulation"
        subject = f"column '{first_name}'"
        raise DataError(subject, expected, "none", str(meta_path), hint)
    keys = list(schema.KEYS)
    columns = [*keys, *names]
    lookup = _read_keyed(clusters, [*keys, *text])
    demand_columns(lookup, columns, str(clusters))
    rows = lookup[columns].drop_duplicates()
    joined = meta.merge(rows, on=keys, how="left")
    is_missing = joined[first_name].isna()
    num_missing = int(is_missing.sum())
    if len(joined) != len(meta) or num_missing:
        expected = f"one {first_name} for every row of {meta_path}"
        raise DataError(clusters, expected, f"{num_missing} without")
    return joined


def _read_keyed(path: str | Path, keys: Sequence[str]) -> pd.DataFrame:
    """Read a table with its keys as text, integers without zeros in front or behind."""
    frame = read_csv(path, text=keys)
    names = [name for name in keys if name in frame]
    columns = {name: key_values(frame[name], name, str(path)) for name in names}
    return frame.assign(**columns).astype(dict.fromkeys(names, str))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values to ``_DIGITS`` significant digits."""
    sizes = np.abs(values)
    positive = np.where(values == 0, 1.0, sizes)
    magnitude = np.floor(np.log10(positive))
    size = 10.0 ** (_DIGITS - 1 - magnitude)
    rounded = np.round(values * size)
    return np.asarray(rounded / size)
