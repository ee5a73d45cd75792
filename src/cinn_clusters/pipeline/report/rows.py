"""Rows of a posterior to draw: those of given haloes, or some at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
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
    snapshot, _, number = halo.rpartition(":")
    if not (number.isdecimal() and (snapshot.isdecimal() or not snapshot)):
        raise DataError("--halo", "HaloID or Snapshot:HaloID", halo)
    halo_key, snapshot_key = schema.KEYS
    is_match = table[halo_key] == int(number)
    if snapshot:
        is_match &= table[snapshot_key] == int(snapshot)
    matches = table[is_match]
    if not len(matches):
        example = f"a halo of the test rows, such as {_row_id(table.iloc[0])}"
        raise DataError("--halo", example, halo, "", "see summary.csv for all")
    ids = list(dict.fromkeys(_row_id(row) for _, row in matches.iterrows()))
    if len(ids) > 1:
        got = f"{halo}, which stands for {', '.join(ids)}"
        raise DataError("--halo", "one row", got, "", "pass one of them")
    return int(np.flatnonzero(is_match)[0])


def _row_id(row: pd.Series) -> str:
    halo, snapshot = (f"{row[key]:.0f}" for key in schema.KEYS)
    return f"{snapshot}:{halo}"


def row_name(row: pd.Series) -> str:
    """Return snapshot and halo of a row, and its projection where there are several."""
    halo, snapshot = (f"{row[key]:.0f}" for key in schema.KEYS)
    lines = [f"snapshot {snapshot}", f"halo {halo}"]
    if schema.PROJECTION in row:
        lines.append(f"projection {row[schema.PROJECTION]:.0f}")
    return "\n".join(lines)
