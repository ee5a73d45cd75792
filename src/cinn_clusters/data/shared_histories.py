"""Clusters that share exact target vectors: rows of one cluster that go by several names.

A grouped split deals out names; a history that stands under two of them leaks from training to
test, since real numbers do not coincide by chance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.errors import DataError

_MIN_CONTINUOUS = 2
"""Targets whose values hardly repeat between histories, for a history to identify its cluster."""
_MIN_DISTINCT = 0.5
"""Share of the histories that have a value of their own where a target is continuous."""
_MAX_CLASSES = 5
"""Distinct values of a target that may be classes."""
_NUM_NAMED = 3


def shared_names(catalogue: Catalogue) -> tuple[dict[object, object], int]:
    """Find clusters that share target vectors, directly or by way of others.

    Args:
        catalogue: Rows with their clusters and targets.

    Returns:
        For each name that shares a history the first name of its group; and the number of rows
        whose history stands under another name, too. Both empty where targets are discrete or few,
        since their vectors coincide by chance.

    Examples:
        >>> v, names = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5], list("abcdef")
        >>> table = pd.DataFrame({"HaloOrigID": [*names, "A"], "v": [*v, 1.5], "w": [*v, 1.5]})
        >>> shared_names(Catalogue(table, (), ("v", "w")))
        ({'a': 'a', 'A': 'a'}, 2)
    """
    theta = pd.DataFrame(catalogue.theta)
    if not _is_identifying(theta):
        return {}, 0
    histories = theta.groupby(list(theta), dropna=False, sort=False)
    vectors = histories.ngroup().to_numpy()
    clusters, names = pd.factorize(catalogue.clusters)

    # Complete histories that stand under several names
    clusters_of_vector = pd.Series(clusters).groupby(vectors)
    num_names = clusters_of_vector.transform("nunique")
    is_repeated = (num_names > 1).to_numpy()
    is_complete = theta.notna().all(axis=1).to_numpy()
    is_shared = is_repeated & is_complete
    if not is_shared.any():
        return {}, 0

    shared_clusters = clusters[is_shared]
    groups = _groups(shared_clusters, vectors[is_shared], len(names))
    members = np.unique(shared_clusters)
    members_of_group = pd.Series(members).groupby(groups[members])
    first = members_of_group.transform("min")
    renamed = dict(zip(names[members], names[first], strict=True))
    return renamed, int(is_shared.sum())


def _is_identifying(theta: pd.DataFrame) -> bool:
    """Whether enough targets hardly ever repeat between histories."""
    histories = theta.dropna().drop_duplicates()
    num_values = histories.nunique()
    is_continuous = num_values > max(_MAX_CLASSES, _MIN_DISTINCT * len(histories))
    return bool(is_continuous.sum() >= _MIN_CONTINUOUS)


def _groups(clusters: np.ndarray, vectors: np.ndarray, num_clusters: int) -> np.ndarray:
    """Group of each cluster, (num_clusters,): those that vectors connect are one."""
    num_nodes = num_clusters + int(vectors.max()) + 1
    edges = (np.ones(len(vectors)), (clusters, num_clusters + vectors))
    graph = coo_array(edges, shape=(num_nodes, num_nodes))
    labels: np.ndarray = connected_components(graph, directed=False)[1]
    return labels[:num_clusters]


def demand_unshared(catalogue: Catalogue) -> None:
    """Refuse clusters that share exact target vectors.

    Raises:
        DataError: If rows of different clusters have the same history.
    """
    names, num_rows = shared_names(catalogue)
    if not names:
        return
    pairs = [f"{first} and {name}" for name, first in names.items() if name != first]
    alike = "; ".join(pairs[:_NUM_NAMED])
    raise DataError(
        f"column '{catalogue.cluster_column}'",
        "clusters of different histories",
        f"{num_rows} rows of {len(names)} clusters whose exact targets stand under another, too",
        f"such as {alike}",
        "name each cluster once; or pass --merge-shared (one cluster for the split) or --allow-shared",
    )


def merge_shared(catalogue: Catalogue) -> Catalogue:
    """Return a catalogue in which clusters that share target vectors have one name, the first."""
    names, _ = shared_names(catalogue)

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        clusters = frame[catalogue.cluster_column]
        merged = clusters.map(lambda name: names.get(name, name))
        return frame.assign(**{catalogue.cluster_column: merged})

    left_out = catalogue.left_out
    if left_out is not None:
        left_out = renamed(left_out)
    return replace(catalogue, table=renamed(catalogue.table), left_out=left_out)
