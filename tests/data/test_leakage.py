"""The audit counts what a slow, obvious recount counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.leakage import Overlap, audit_split
from cinn_clusters.data.split import Split, split_by_cluster

ROWS = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from([78, 91, 99]), st.integers(0, 4)),
    min_size=6,
    max_size=60,
)


def catalogue_of(
    rows: list[tuple[int, int, int]],
    targets: tuple[str, ...] = ("last_d_peri", "last_V_coll", "last_T_coll"),
) -> Catalogue:
    frame = pd.DataFrame(rows, columns=["HaloOrigID", "Snapshot", "last_d_peri"])
    frame["last_d_peri"] /= 3.0
    frame["last_V_coll"] = 2.5
    frame["HaloID"] = np.arange(len(frame)) * 17
    frame["last_T_coll"] = 9.0
    return Catalogue(frame, ("Group_M_Crit500",), targets)


def recount(catalogue: Catalogue, tested: np.ndarray, seen: np.ndarray) -> list[int]:
    """Compare every test row with every other row, one number at a time."""
    table = catalogue.table

    def stands(test: int, columns: list[str]) -> bool:
        return any(
            all(table[name][test] == table[name][row] for name in columns)
            for row in seen
        )

    clusters = {
        table["HaloOrigID"][row] for row in tested if stands(row, ["HaloOrigID"])
    }
    identified = ["HaloOrigID"] if len(catalogue.targets) < 3 else []
    histories = sum(stands(row, [*catalogue.targets, *identified]) for row in tested)
    views = sum(stands(row, ["HaloOrigID", "Snapshot"]) for row in tested)
    return [len(clusters), histories, views]


@given(ROWS, st.integers(1, 3), st.data())
def test_counts_are_those_of_a_recount(
    rows: list[tuple[int, int, int]], num_targets: int, data: st.DataObject
) -> None:
    catalogue = catalogue_of(
        rows, ("last_d_peri", "last_V_coll", "last_T_coll")[:num_targets]
    )
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    split = Split(*np.split(order, [len(rows) // 2, len(rows) // 2 + len(rows) // 4]))
    overlaps = audit_split(catalogue, split)
    assert [overlap.shared for overlap in overlaps] == recount(
        catalogue, split.test, split.train
    )
    seen = np.concatenate([split.train, split.validation])
    assert [overlap.shared_with_validation for overlap in overlaps] == recount(
        catalogue, split.test, seen
    )
    num_clusters = len({rows[row][0] for row in split.test})
    assert [overlap.total for overlap in overlaps] == [
        num_clusters,
        len(split.test),
        len(split.test),
    ]


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (lambda split: split, [0, 0, 0]),
        (
            lambda split: Split(
                np.append(split.train, split.test[0]), split.validation, split.test
            ),
            [1, 4, 4],
        ),
        (
            lambda split: Split(
                split.train, np.append(split.validation, split.test[0]), split.test
            ),
            [1, 4, 4],
        ),
    ],
    ids=["clean", "a test row in training", "a test row in validation"],
)
def test_one_row_of_a_cluster_gives_it_away(
    moved: Callable[[Split], Split], expected: list[int]
) -> None:
    catalogue = catalogue_of(
        [(cluster, 99, cluster) for cluster in range(10) for _ in range(4)]
    )
    overlaps = audit_split(catalogue, moved(split_by_cluster(catalogue.clusters)))
    assert [overlap.shared_with_validation for overlap in overlaps] == expected


@pytest.mark.parametrize(("num_targets", "shared"), [(1, 0), (2, 0), (3, 4)])
def test_one_number_shared_by_chance_is_no_leak(num_targets: int, shared: int) -> None:
    """Collision times stand on snapshots: two clusters may have the same one; a whole vector
    betrays its cluster."""
    catalogue = catalogue_of(
        [(c, 99, 0) for c in range(4)],
        ("last_T_coll", "last_d_peri", "last_V_coll")[:num_targets],
    )
    rows = np.arange(4)
    overlaps = audit_split(catalogue, Split(rows[:0], rows[:3], rows[3:]))
    assert overlaps[1].shared_with_validation == min(shared, 1)


def test_percentages() -> None:
    overlap = Overlap("test clusters", total=8, shared=2, shared_with_validation=6)
    assert (overlap.percent, overlap.percent_with_validation) == (25.0, 75.0)
