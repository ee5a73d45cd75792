"""Point and interval summaries of posterior samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def shortest_interval(
    samples: np.ndarray, level: float = 0.68
) -> tuple[np.ndarray, np.ndarray]:
    r"""Shortest interval that holds a given mass of each marginal.

    Args:
        samples: Posterior samples, shape (S, N, D), in physical units.
        level: Probability mass in (0, 1).

    Returns:
        Lower and upper ends, each (N, D), in the units of ``samples``.

    Raises:
        ValueError: If ``level`` is outside (0, 1) or S < 2.

    References:
        Chen & Shao (1999), Monte Carlo estimation of Bayesian credible and HPD intervals.

    Examples:
        >>> draws = np.array([0.0, 1.0, 1.1, 1.2, 9.0])[:, None, None]
        >>> shortest_interval(draws, 0.6)
        (array([[1.]]), array([[1.2]]))
    """
    num_samples = len(samples)
    if not 0.0 < level < 1.0 or num_samples < 2:
        expected = "expected level in (0, 1) and S >= 2"
        raise ValueError(
            f"shortest_interval: {expected}; got {level} and {num_samples}"
        )
    ordered = np.sort(np.moveaxis(samples, 0, -1))
    return shortest_of_ordered(ordered, level)


def shortest_of_ordered(
    ordered: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shortest interval of each row of ascending samples (..., S): both ends, (...)."""
    num_samples = ordered.shape[-1]
    num_held = max(2, round(level * num_samples))
    num_held = min(num_samples, num_held)

    # every interval runs from a sorted sample to the one num_held - 1 later
    step = num_held - 1
    starts = ordered[..., : num_samples - step]
    ends = ordered[..., step:]

    shortest = np.argmin(ends - starts, axis=-1, keepdims=True)
    lower = np.take_along_axis(starts, shortest, axis=-1)
    upper = np.take_along_axis(ends, shortest, axis=-1)
    return lower[..., 0], upper[..., 0]


def quantiles_of_ordered(ordered: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles (Q, ...) of each row of ascending samples (..., S), as numpy interpolates them.

    Examples:
        >>> quantiles_of_ordered(np.array([1.0, 2.0, 4.0]), [0.5, 0.75])
        array([2., 3.])
    """
    below, above, share = ordered_neighbours(ordered.shape[-1], levels)
    lower = ordered[..., below]
    upper = ordered[..., above]
    return interpolated(lower, upper, share)


def ordered_neighbours(
    num_samples: int, levels: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the two ordered samples beside each quantile, and its share of their distance."""
    last = num_samples - 1
    position = np.array(levels) * last
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, last)
    return below, above, position - below


def interpolated(lower: np.ndarray, upper: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Values (Q, ...) at a share (Q,) of the distance between two (..., Q)."""
    with np.errstate(invalid="ignore"):  # between two infinities
        between = lower + (upper - lower) * share
    values = np.where(lower == upper, lower, between)
    return np.moveaxis(values, -1, 0)
