"""Importance with a known answer: linear models, twins, and what coalitions share."""

from __future__ import annotations

import numpy as np
import pytest

from cinn_clusters.diagnostics import importance
from cinn_clusters.diagnostics.importance import (
    CopiesLoss,
    permutation_importance,
    sage_values,
)

N = 4000


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    columns = np.random.default_rng(0).normal(size=(N, 4))
    columns[:, 3] = columns[:, 2]  # twins
    return columns


def linear_loss(x: np.ndarray, slopes: tuple[float, ...]) -> CopiesLoss:
    truth = x @ np.array(slopes)

    def loss(copies: np.ndarray) -> np.ndarray:
        return np.abs(copies @ np.array(slopes) - truth)[..., None]

    return loss


def test_shuffling_a_column_of_a_linear_model_costs_what_it_must(x: np.ndarray) -> None:
    """E|a (x' - x)| = 2 |a| / sqrt(pi) for independent standard normal x, x'."""
    increase = permutation_importance(
        linear_loss(x, (2.0, 0.5, 0.0, 0.0)), x, [[0], [1], [2]]
    )
    assert increase.shape == (3, N, 1)
    np.testing.assert_allclose(
        increase.mean((1, 2)),
        [4 / np.pi**0.5, 1 / np.pi**0.5, 0.0],
        rtol=0.03,
        atol=1e-12,
    )


def test_twins_hide_each_other_unless_they_move_together(x: np.ndarray) -> None:
    loss = linear_loss(x, (0.0, 0.0, 1.0, 1.0))
    alone, together = permutation_importance(loss, x, [[2], [2, 3]]).mean((1, 2))
    assert together == pytest.approx(2 * alone, rel=0.03)
    assert together == pytest.approx(4 / np.pi**0.5, rel=0.03)


def test_a_group_moves_as_one(x: np.ndarray) -> None:
    """The difference of twins is zero whatever row they come from."""
    loss = linear_loss(x, (0.0, 0.0, 1.0, -1.0))
    assert permutation_importance(loss, x, [[2]]).mean() > 0.5
    assert np.abs(permutation_importance(loss, x, [[2, 3]])).max() < 1e-12


def test_shuffling_is_seeded_and_leaves_x_alone(x: np.ndarray) -> None:
    before = x.copy()
    loss = linear_loss(x, (1.0, 0.0, 0.0, 0.0))
    one, two, other = (
        permutation_importance(loss, x, [[0]], num_repeats=2, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    np.testing.assert_array_equal(x, before)


def test_shapley_shares_sum_to_what_all_save(x: np.ndarray) -> None:
    loss = linear_loss(x, (2.0, 0.5, 1.0, 1.0))
    shares = sage_values(loss, x, [[0], [1], [2], [3]], num_repeats=4)
    everything = permutation_importance(loss, x, [[0, 1, 2, 3]], num_repeats=4)[0]
    np.testing.assert_allclose(shares.sum(0), everything, atol=1e-9)


def test_shapley_gives_twins_the_same_and_idlers_nothing(x: np.ndarray) -> None:
    shares = sage_values(
        linear_loss(x, (0.0, 1.0, 1.0, 1.0)), x, [[0], [1], [2], [3]], num_repeats=4
    ).mean((1, 2))
    assert shares[0] == pytest.approx(0.0, abs=1e-12)
    assert shares[2] == pytest.approx(shares[3], rel=0.02)
    assert shares[2] > shares[1] > 0


def test_too_many_groups_are_refused(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at most 12 groups; got 13"):
        sage_values(linear_loss(x, (1.0, 0.0, 0.0, 0.0)), x, [[0]] * 13)


def test_copies_are_asked_for_in_batches_of_bounded_size(
    x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many copies a loss is asked for at once, the importance is the same."""
    loss, sizes = linear_loss(x, (2.0, 0.5, 1.0, 0.0)), []

    def counted(copies: np.ndarray) -> np.ndarray:
        sizes.append(len(copies))
        return loss(copies)

    at_once = permutation_importance(counted, x, [[0], [1, 2]], num_repeats=3)
    assert sizes == [4, 3]  # rows intact, then two groups in three orders
    monkeypatch.setattr(importance, "ROWS_A_BATCH", 1)
    one_by_one = permutation_importance(counted, x, [[0], [1, 2]], num_repeats=3)
    assert sizes[2:] == [1] * 7
    np.testing.assert_array_equal(at_once, one_by_one)
