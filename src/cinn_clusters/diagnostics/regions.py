"""Point and interval summaries of posterior samples."""

from __future__ import annotations

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
    ordered = np.sort(samples, axis=0)
    num_held = max(2, round(level * num_samples))
    num_held = min(num_samples, num_held)

    # every interval runs from a sorted sample to the one num_held - 1 later
    step = num_held - 1
    starts = ordered[: num_samples - step]
    ends = ordered[step:]

    shortest = np.argmin(ends - starts, axis=0, keepdims=True)  # (1, N, D)
    lower = np.take_along_axis(starts, shortest, axis=0)
    upper = np.take_along_axis(ends, shortest, axis=0)
    return lower[0], upper[0]
