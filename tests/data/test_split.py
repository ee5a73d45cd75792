"""Whole clusters to each part, the same at every call, folds as the protocol says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from cinn_clusters.data.split import (
    Split,
    folds_by_cluster,
    split_by_cluster,
    split_by_row,
)
from cinn_clusters.errors import DataError

SEEDS = st.integers(0, 2**32)
CLUSTERS = st.lists(st.integers(-3, 60), min_size=5, max_size=150).filter(
    lambda names: len(set(names)) >= 5
)


def parts(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return split.train, split.validation, split.test


@given(CLUSTERS, SEEDS)
def test_same_seed_same_split_whatever_the_clusters_are_called(
    names: list[int], seed: int
) -> None:
    rows = np.array(names)
    text = np.array([f"A{name + 10:05d}" for name in names])
    for one, again, other in zip(
        parts(split_by_cluster(rows, seed)),
        parts(split_by_cluster(rows.copy(), seed)),
        parts(split_by_cluster(text, seed)),
        strict=True,
    ):
        assert one.tolist() == again.tolist() == other.tolist() == sorted(one)


@given(CLUSTERS, SEEDS, st.randoms(use_true_random=False))
def test_the_part_of_a_cluster_does_not_depend_on_the_order_of_rows(
    names: list[int], seed: int, random: object
) -> None:
    rows = np.array(names)
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for one, other in zip(
        parts(split_by_cluster(rows, seed)),
        parts(split_by_cluster(shuffled, seed)),
        strict=True,
    ):
        assert set(rows[one]) == set(shuffled[other])


@pytest.mark.parametrize(
    ("num_clusters", "expected"),
    [(5, (3, 1, 1)), (272, (218, 27, 27)), (352, (282, 35, 35))],
)
def test_shares_are_those_of_clusters_not_of_rows(
    num_clusters: int, expected: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(num_clusters), rng.integers(1, 30, num_clusters))
    assert (
        tuple(len(set(rows[part])) for part in parts(split_by_cluster(rows)))
        == expected
    )


def test_another_seed_is_another_split() -> None:
    rows = np.arange(100)
    assert (
        split_by_cluster(rows, 1).test.tolist()
        != split_by_cluster(rows, 2).test.tolist()
    )


def test_folds_of_the_protocol() -> None:
    """science.md, section 5, spelled out."""
    rows = np.random.default_rng(3).permutation(np.repeat(np.arange(0, 92 * 3, 3), 4))
    order = np.random.default_rng(0).permutation(np.array(sorted(set(rows.tolist()))))
    expected = np.array_split(order, 5)
    folds = list(folds_by_cluster(rows))
    assert len(folds) == 5
    for fold, clusters in zip(folds, expected, strict=True):
        assert fold.test.tolist() == [
            row for row, name in enumerate(rows) if name in set(clusters.tolist())
        ]
        assert len(set(rows[fold.validation])) == round(0.1 * (92 - len(clusters)))


@given(CLUSTERS, st.integers(2, 5), SEEDS)
def test_folds_partition_and_repeat(
    names: list[int], num_folds: int, seed: int
) -> None:
    rows = np.array(names)
    folds, again = (list(folds_by_cluster(rows, num_folds, seed)) for _ in range(2))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(
        range(len(rows))
    )
    for fold, other in zip(folds, again, strict=True):
        assert [part.tolist() for part in parts(fold)] == [
            part.tolist() for part in parts(other)
        ]
        assert sorted(np.concatenate(parts(fold))) == list(range(len(rows)))
        sets = [set(rows[part]) for part in parts(fold)]
        assert len(set.union(*sets)) == sum(map(len, sets))


@pytest.mark.parametrize("num_rows", [5, 37, 2183])
def test_the_published_split_is_reproduced(num_rows: int) -> None:
    rest, test = train_test_split(list(range(num_rows)), test_size=0.1, random_state=42)
    train, validation = train_test_split(rest, test_size=0.1 / 0.9, random_state=42)
    split = split_by_row(num_rows)
    assert [part.tolist() for part in parts(split)] == [train, validation, test]


def test_too_little_to_split_is_refused() -> None:
    with pytest.raises(
        DataError, match="the table: expected at least 5 clusters to split; got 4"
    ):
        split_by_cluster(np.repeat(np.arange(4), 50))
    with pytest.raises(DataError, match="at least 5 rows to split; got 4"):
        split_by_row(4)
    with pytest.raises(
        DataError,
        match="cluster column: expected a cluster for every row; got 2 rows without",
    ):
        list(folds_by_cluster(np.array(["a", "b", None, "c", None], dtype=object)))
