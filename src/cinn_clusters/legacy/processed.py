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

TABLES = {"X": "X.csv", "Y": "Y.csv"}
SCALER_WORDS = {
    "X": {"x", "input", "inputs", "features"},
    "Y": {"y", "target", "targets", "output", "outputs"},
}
DIGITS = 12
"""Significant digits that survive scaling, text and scaling back; the rest is rounding, which
may leave a bound."""


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
        Observables and targets, catalogue values, each with its keys, as two tables to be joined.

    Raises:
        DataError: If a file or a column is missing, or the tables are not scaled.
    """
    processed = Path(processed)
    meta = read_csv(processed / "meta.csv")
    demand_columns(meta, schema.KEYS, str(processed / "meta.csv"))
    meta = _with_cluster(meta, clusters, cluster_column, str(processed / "meta.csv"))
    sides = []
    for side, name in TABLES.items():
        scaled = read_csv(processed / name)
        path, scaler, names = scaler_of(processed, side)
        if len(scaled) != len(meta) or scaled.shape[1] != len(names):
            got = f"{scaled.shape[0]} rows of {scaled.shape[1]} columns"
            raise DataError(
                str(processed / name),
                f"{len(meta)} rows (meta.csv) of {len(names)} ({path.name})",
                got,
            )
        values = scaled.to_numpy(float)
        if np.nanmax(np.abs(np.nanmean(values, 0))) > 1.0:
            hint = "give unscaled tables as --observables and --targets"
            raise DataError(
                str(processed / name), "scaled columns, their means near zero", "others", "", hint
            )
        sides.append(
            pd.DataFrame(_rounded(values * scaler.scale + scaler.mean), columns=list(names))
        )
    keys = [*schema.KEYS, cluster_column]
    return pd.concat([meta[keys], sides[0]], axis=1), pd.concat(
        [meta[list(schema.KEYS)], sides[1]], axis=1
    )


def _with_cluster(
    meta: pd.DataFrame, clusters: str | Path | None, column: str, where: str
) -> pd.DataFrame:
    if column in meta:
        return meta
    if clusters is None:
        hint = "pass --clusters with a CSV that holds it, such as the observables of the simulation"
        raise DataError(
            f"column '{column}'",
            "the column that tells which rows are one cluster",
            "none",
            where,
            hint,
        )
    known = read_csv(clusters)
    demand_columns(known, [*schema.KEYS, column], str(clusters))
    joined = meta.merge(
        known[[*schema.KEYS, column]].drop_duplicates(), on=list(schema.KEYS), how="left"
    )
    if len(joined) != len(meta) or joined[column].isna().any():
        raise DataError(
            str(clusters),
            f"one {column} for every row of {where}",
            f"{joined[column].isna().sum()} without",
        )
    return joined


def _rounded(values: np.ndarray) -> np.ndarray:
    size = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values)))))
    return np.asarray(np.round(values * size) / size)


def scaler_of(processed: Path, side: str) -> tuple[Path, Scaler, Sequence[str]]:
    """Find the one scaler of a side (X or Y) and its columns: told by the scaler, the table, or those of the schema.

    Raises:
        DataError: If there is none or several, or it cannot be read.
    """
    kinds = {".pkl", ".pickle", ".joblib", ".npz"}
    files = [path for path in sorted(processed.glob("*")) if path.suffix in kinds]
    fitting = [
        path
        for path in files
        if SCALER_WORDS[side] & set(re.split(r"[^a-z0-9]+", path.stem.lower()))
    ]
    if len(fitting) != 1:
        got = ", ".join(path.name for path in (fitting or files)) or "none"
        raise DataError(str(processed), f"one scaler of {side}, such as scaler_{side}.pkl", got)
    scaler = read_scaler(fitting[0])
    if scaler.names:
        return fitting[0], scaler, scaler.names
    if (processed / TABLES[side]).is_file():
        return fitting[0], scaler, [str(name) for name in read_csv(processed / TABLES[side])]
    return fitting[0], scaler, schema.DEFAULT_OBSERVABLES if side == "X" else schema.DEFAULT_TARGETS
