"""The shortest interval against trying all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cinn_clusters.diagnostics.regions import quantiles_of_ordered, shortest_interval


def _brute(draws: np.ndarray, level: float) -> float:
    """Width of the shortest interval between two draws that holds enough of them."""
    needed = min(len(draws), max(2, round(level * len(draws))))
    pairs = [(a, b) for a in draws for b in draws if a <= b]
    return min(b - a for a, b in pairs if ((draws >= a) & (draws <= b)).sum() >= needed)


@given(
    samples=arrays(
        float,
        st.tuples(st.integers(2, 14), st.just(2), st.just(2)),
        elements=st.floats(-10, 10),
    ),
    level=st.floats(0.01, 0.99),
)
def test_no_shorter_interval_holds_as_much(samples: np.ndarray, level: float) -> None:
    lower, upper = shortest_interval(samples, level)
    assert lower.shape == upper.shape == (2, 2)
    for n in range(2):
        for d in range(2):
            draws = samples[:, n, d]
            assert upper[n, d] - lower[n, d] == pytest.approx(
                _brute(draws, level), abs=1e-12
            )
            held = ((draws >= lower[n, d]) & (draws <= upper[n, d])).sum()
            assert held >= min(len(draws), max(2, round(level * len(draws))))


def test_skewed_density_is_held_at_its_mode() -> None:
    draws = np.random.default_rng(0).exponential(size=(20_000, 1, 1))
    lower, upper = shortest_interval(draws, 0.68)
    assert lower[0, 0] == pytest.approx(0, abs=0.01)
    assert upper[0, 0] == pytest.approx(-np.log(0.32), rel=0.03)


def test_gaussian_is_held_symmetrically() -> None:
    draws = np.random.default_rng(0).normal(size=(40_000, 1, 1))
    lower, upper = shortest_interval(draws, 0.9)
    assert upper[0, 0] - lower[0, 0] == pytest.approx(
        2 * stats.norm.ppf(0.95), rel=0.02
    )
    assert lower[0, 0] + upper[0, 0] == pytest.approx(0, abs=0.15)


def test_order_of_the_draws_does_not_matter_and_they_are_left_alone() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 3, 2))
    kept = draws.copy()
    first = shortest_interval(draws)
    np.testing.assert_array_equal(draws, kept)
    np.testing.assert_array_equal(first, shortest_interval(draws[::-1]))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.1, 68, np.nan])
def test_level_that_is_no_share(level: float) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^shortest_interval: expected level in \(0, 1\) and S >= 2; got {level} and 5",
    ):
        shortest_interval(np.zeros((5, 1, 1)), level)


@pytest.mark.parametrize("num_draws", [0, 1])
def test_too_few_draws(num_draws: int) -> None:
    with pytest.raises(ValueError, match=f"S >= 2; got 0.68 and {num_draws}$"):
        shortest_interval(np.zeros((num_draws, 1, 1)))


@pytest.mark.parametrize("num_draws", [2, 3, 10, 1000])
def test_quantiles_of_ordered_samples_are_those_of_numpy(num_draws) -> None:
    rng = np.random.default_rng(0)
    ordered = np.sort(rng.normal(size=(4, 3, num_draws)))
    levels = [0.0, 0.16, 0.5, 0.84, 1.0]
    expected = np.quantile(ordered, levels, axis=-1)
    np.testing.assert_allclose(quantiles_of_ordered(ordered, levels), expected)


def test_quantile_between_two_infinities_is_infinite() -> None:
    ordered = np.array([1.0, np.inf, np.inf])
    assert quantiles_of_ordered(ordered, [0.75])[0] == np.inf
