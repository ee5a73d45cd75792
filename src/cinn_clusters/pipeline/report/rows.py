"""Rows of a posterior to draw: those of given haloes, or some at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.reading.keys import written_like
from cinn_clusters.errors import DataError


def choose_rows(
    rows: Catalogue, halos: Sequence[str], num_rows: int, seed: int
) -> np.ndarray:
    """Find rows by HaloID or Snapshot:HaloID, or draw some, one a cluster.

    Raises:
        DataError: If an id is not one, stands in no row, or in several.
    """
    if halos:
        return np.array([_row_of(rows.table, halo) for halo in halos])
    rng = np.random.default_rng(seed)
    clusters = rng.permutation(np.unique(rows.clusters))[:num_rows]
    return np.array(
        [rng.choice(np.flatnonzero(rows.clusters == name)) for name in clusters]
    )


def _row_of(table: pd.DataFrame, halo: str) -> int:
    snapshot, _, name = halo.rpartition(":")
    halo_key, snapshot_key = schema.KEYS
    is_match = _is_written(table[halo_key], name)
    if snapshot:
        is_match &= _is_written(table[snapshot_key], snapshot)
    if not is_match.any():
        first, *_ = _row_ids(table)
        expected = (
            f"HaloID or Snapshot:HaloID (a halo of the test rows), such as {first}"
        )
        raise DataError("--halo", expected, halo, "", "see summary.csv for all")
    ids = list(dict.fromkeys(_row_ids(table[is_match])))
    if len(ids) > 1:
        got = f"{halo}, which stands for {', '.join(ids)}"
        raise DataError("--halo", "one row", got, "", "pass one of them")
    return int(np.flatnonzero(is_match)[0])


def _is_written(column: pd.Series, name: str) -> pd.Series:
    written = written_like([name], column)[0]
    matches: pd.Series = column.astype(str) == written
    return matches


def _row_ids(table: pd.DataFrame) -> list[str]:
    halos, snapshots = (table[key] for key in schema.KEYS)
    return [
        f"{snapshot}:{halo}" for halo, snapshot in zip(halos, snapshots, strict=True)
    ]


def row_names(table: pd.DataFrame) -> list[str]:
    """Return snapshot and halo of each row, and its projection where there are several."""
    halo, snapshot = schema.KEYS
    labels = {snapshot: "snapshot", halo: "halo"}
    if schema.PROJECTION in table:
        labels[schema.PROJECTION] = "projection"
    lines = [label + " " + table[key].astype(str) for key, label in labels.items()]
    rows = zip(*lines, strict=True)
    return ["\n".join(row) for row in rows]
