"""Grouped split into training, early stopping and test: snapshots share their history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError

FRACTIONS = (0.8, 0.1, 0.1)
MIN_CLUSTERS = 5


@dataclass(frozen=True)
class Split:
    """Row numbers of a catalogue in three parts.

    Args:
        train: Rows that the network and every scaler see, (n,).
        validation: Rows that decide when to stop (early stopping), (m,).
        test: Rows that nothing but the scores sees, (k,).

    Examples:
        >>> Split(np.array([0, 1]), np.array([2]), np.array([3])).test
        array([3])
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def within(self, rows: np.ndarray) -> Split:
        """The same parts without the rows that are not among those given.

        Examples:
            >>> split = Split(np.array([0, 1]), np.array([2]), np.array([3]))
            >>> split.within(np.array([1, 2, 3])).train
            array([1])
        """
        parts = (self.train, self.validation, self.test)
        return Split(*(part[np.isin(part, rows)] for part in parts))


def split_by_cluster(
    clusters: np.ndarray,
    seed: int = 42,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> Split:
    """Split by group: whole clusters go to training, validation or test.

    Args:
        clusters: Cluster of each row, (N,).
        seed: Seed of the permutation of the sorted clusters.
        fractions: Shares of clusters; they sum to 1.

    Returns:
        The split; every row is in one part, every cluster in one part.

    Raises:
        DataError: If there are too few clusters.

    Examples:
        >>> split = split_by_cluster(np.repeat(np.arange(10), 8))
        >>> len(split.train), len(split.validation), len(split.test)
        (64, 8, 8)
    """
    names = _demand_clusters(clusters)
    num_clusters = len(names)
    rng = np.random.default_rng(seed)
    order = rng.permutation(names)

    _, validation_share, test_share = fractions
    num_test = max(1, round(test_share * num_clusters))
    num_validation = max(1, round(validation_share * num_clusters))
    num_fitted = num_clusters - num_test
    num_train = num_fitted - num_validation
    train, validation, test = np.split(order, [num_train, num_fitted])
    return _split_of_clusters(clusters, train, validation, test)


def split_by_row(num_rows: int, seed: int = 42) -> Split:
    """Split rows at random, as the original scripts did. It leaks: kept to reproduce them.

    Args:
        num_rows: N.
        seed: Their ``random_state``.

    Returns:
        Test 10 %, then validation 0.1/0.9 of the rest, each in the order of scikit-learn's
        ``train_test_split``.

    Raises:
        DataError: If there are too few rows.
    """
    from sklearn.model_selection import train_test_split

    if num_rows < MIN_CLUSTERS:
        expected = f"at least {MIN_CLUSTERS} rows to split"
        raise DataError("the table", expected, str(num_rows))

    rows = np.arange(num_rows)
    fitted, test = train_test_split(rows, test_size=0.1, random_state=seed)
    # A ninth of nine tenths is a tenth of all rows.
    train, validation = train_test_split(fitted, test_size=0.1 / 0.9, random_state=seed)
    return Split(train, validation, test)


def folds_by_cluster(
    clusters: np.ndarray, num_folds: int = 5, seed: int = 0
) -> Iterator[Split]:
    """Yield splits whose test parts hold every cluster once.

    A tenth of the other clusters is held out of each fold's training to decide when to stop.

    Args:
        clusters: Cluster of each row, (N,).
        num_folds: Parts.
        seed: Seed of the permutation of the sorted clusters.

    Yields:
        One split a fold.

    Raises:
        DataError: If there are fewer clusters than folds, or fewer than two folds.
    """
    names = _demand_clusters(clusters)
    num_clusters = len(names)
    if not 2 <= num_folds <= num_clusters:
        expected = f"2 to {num_clusters} (the clusters)"
        raise DataError("folds", expected, str(num_folds))

    rng = np.random.default_rng(seed)
    order = rng.permutation(names)
    folds = np.array_split(order, num_folds)
    for k, test in enumerate(folds):
        # A stream of its own for each fold, so that folds can be made in any order.
        fold_rng = np.random.default_rng([seed, k])
        fitted = np.setdiff1d(names, test)
        order = fold_rng.permutation(fitted)
        num_validation = max(1, round(0.1 * len(order)))
        validation, train = np.split(order, [num_validation])
        yield _split_of_clusters(clusters, train, validation, test)


def _split_of_clusters(clusters: np.ndarray, *parts: np.ndarray) -> Split:
    """Rows of the clusters for training, validation and test."""
    train, validation, test = (
        np.flatnonzero(np.isin(clusters, part)) for part in parts
    )
    return Split(train, validation, test)


def _demand_clusters(clusters: np.ndarray) -> np.ndarray:
    missing = pd.isna(clusters)
    if missing.any():
        got = f"{int(missing.sum())} rows without"
        raise DataError("cluster column", "a cluster for every row", got)
    names = np.unique(clusters)
    num_clusters = len(names)
    if num_clusters < MIN_CLUSTERS:
        expected = f"at least {MIN_CLUSTERS} clusters to split"
        raise DataError("the table", expected, str(num_clusters))
    return names
