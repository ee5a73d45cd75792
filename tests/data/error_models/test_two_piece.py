"""Moments of the two-piece normal distribution, against integrals and the library's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from cinn_clusters.data.error_models.two_piece import (
    mean_shift,
    standard_deviation,
    with_scatter,
)

SIDES = [(0.05, 0.3), (0.3, 0.05), (0.2, 0.2), (0.2, 0.0)]


def moments(below: float, above: float) -> tuple[float, float]:
    """Mean and standard deviation about a mode of 0, by integration."""

    def integral(power: int) -> float:
        sides = 0.0
        for width, sign in ((below, -1.0), (above, 1.0)):
            if width:
                half = quad(
                    lambda y, w=width, s=sign: (s * y) ** power * norm.pdf(y / w),
                    0.0,
                    12.0 * width,
                )
                sides += half[0]
        return sides

    total = integral(0)
    mean = integral(1) / total
    return mean, np.sqrt(integral(2) / total - mean**2)


@pytest.mark.parametrize("sides", SIDES)
def test_moments_are_those_of_the_density(sides: tuple[float, float]) -> None:
    mean, spread = moments(*sides)
    assert mean_shift(np.array(sides)) == pytest.approx(mean, abs=1e-9)
    assert standard_deviation(np.array(sides)) == pytest.approx(spread, rel=1e-9)


@pytest.mark.parametrize("sides", SIDES)
def test_scatter_adds_to_the_variance_and_leaves_the_mean(
    sides: tuple[float, float],
) -> None:
    wider = with_scatter(np.array(sides), 0.1)
    mean, spread = moments(*sides)
    mean_after, spread_after = moments(*wider)
    assert (wider > 0.0).all()
    assert mean_after == pytest.approx(mean, abs=1e-9)
    assert spread_after == pytest.approx(np.hypot(spread, 0.1), rel=1e-9)


def test_equal_sides_and_no_scatter_change_no_bit() -> None:
    errors = np.random.default_rng(0).uniform(0.0, 1.0, 50)
    both = np.stack([errors, errors])
    np.testing.assert_array_equal(standard_deviation(both), errors)
    np.testing.assert_array_equal(mean_shift(both), 0.0)
    np.testing.assert_array_equal(with_scatter(both, 0.08), np.hypot(both, 0.08))
    np.testing.assert_array_equal(with_scatter(both, 0.0), both)
