"""Point and interval summaries of posterior samples."""

from __future__ import annotations

import numpy as np


def shortest_interval(samples: np.ndarray, level: float = 0.68) -> tuple[np.ndarray, np.ndarray]:
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
    if not 0.0 < level < 1.0 or len(samples) < 2:
        raise ValueError(
            f"shortest_interval: expected level in (0, 1) and S >= 2; got {level} and {len(samples)}"
        )
    ordered = np.sort(samples, axis=0)
    held = min(len(samples), max(2, round(level * len(samples))))
    widths = ordered[held - 1 :] - ordered[: len(samples) - held + 1]
    first = widths.argmin(0)[None]
    lower = np.take_along_axis(ordered, first, 0)[0]
    upper = np.take_along_axis(ordered, first + held - 1, 0)[0]
    return lower, upper
