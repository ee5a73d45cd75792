"""The mock catalogue: clusters with known histories in the columns and units of TNG-Cluster.

The model is described in docs/mock.md. It stands in for the simulation in demo and tests: right in
structure (shared histories, censoring, marks, bounds), approximate in numbers, and no source of
science.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.errors import ConfigError
from cinn_clusters.mock.histories import SNAPSHOTS, History, draw_history, snapshot_ages
from cinn_clusters.mock.observables import draw_observables
from cinn_clusters.rng import numpy_stream

_MEANS = tuple(name.replace("last_", "mean_") for name in schema.DEFAULT_TARGETS)


def mock_catalogue(
    num_clusters: int = 350, seed: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a mock catalogue.

    Args:
        num_clusters: Clusters, each at eight snapshots.
        seed: Seed; the first clusters do not depend on how many follow.

    Returns:
        Observables and targets, 8 rows a cluster, as in the two files of the simulation.

    Raises:
        ConfigError: If ``num_clusters`` is not positive.

    Examples:
        >>> observables, targets = mock_catalogue(3)
        >>> len(observables), targets.columns[3]
        (24, 'last_T_coll')
    """
    if num_clusters < 1:
        raise ConfigError("clusters", "a positive number", num_clusters)
    observables, targets = [], []
    for cluster in range(num_clusters):
        history, keys, columns = draw_cluster(cluster, seed)
        observables.append(pd.DataFrame(keys | columns))
        targets.append(pd.DataFrame(keys | _recorded(history)))

    observables_table = pd.concat(observables, ignore_index=True)
    targets_table = pd.concat(targets, ignore_index=True)
    return observables_table, targets_table


def draw_cluster(
    cluster: int, seed: int
) -> tuple[History, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw the history of one cluster, the keys of its eight rows and its observables there.

    All depend on seed and number alone.
    """
    # Streams of their own: a change of one model leaves the draws of the other alone.
    history_rng = numpy_stream(seed, "history", cluster)
    history = draw_history(history_rng)
    rng = numpy_stream(seed, "observables", cluster)
    keys = _keys(cluster, rng)
    observables = draw_observables(history, rng)
    return history, keys, observables


def _keys(cluster: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the keys of the eight rows.

    HaloID is a number of the snapshot's own catalogue and identifies no cluster.
    """
    num = len(SNAPSHOTS)
    first = (100 - SNAPSHOTS) * 400_000 + cluster * 64
    offset = rng.integers(64, size=num)
    return {
        schema.CLUSTER_COLUMN: np.full(num, cluster),
        "HaloID": first + offset,
        "Snapshot": SNAPSHOTS,
    }


def _recorded(history: History) -> dict[str, np.ndarray]:
    """Return the last collision before each snapshot and the means over all before it.

    Values are NaN where there is none.
    """
    collisions = history.targets()  # (M, 6)
    _, num_targets = collisions.shape
    last = np.full((len(SNAPSHOTS), num_targets), np.nan)
    mean = last.copy()
    for row, age in enumerate(snapshot_ages()):
        before = collisions[history.age <= age]
        if len(before):
            last[row] = before[-1]
            mean[row] = before.mean(0)

    # In the file each target stands beside its mean.
    columns: dict[str, np.ndarray] = {}
    names = zip(schema.DEFAULT_TARGETS, _MEANS, strict=True)
    values = zip(last.T, mean.T, strict=True)
    for (last_name, mean_name), (last_values, mean_values) in zip(
        names, values, strict=True
    ):
        columns[last_name] = last_values
        columns[mean_name] = mean_values
    return columns
