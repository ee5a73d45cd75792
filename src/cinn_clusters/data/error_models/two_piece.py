r"""Errors that differ on both sides of a value: the two-piece normal distribution.

The true value follows two halves of normals of deviations s_1 below and s_2 above that meet at the
measured value o, its mode. Its mean is o + sqrt(2 / pi) (s_2 - s_1) and its variance
(1 - 2 / pi) (s_2 - s_1)^2 + s_1 s_2 (Wallis 2014, arXiv:1405.4995).
"""

from __future__ import annotations

import math

import numpy as np

_SHIFT = math.sqrt(2.0 / math.pi)


def mean_shift(errors: np.ndarray) -> np.ndarray:
    """How far the mean of the true value lies above the measured one, (...).

    Args:
        errors: Deviations below and above, (2, ...).

    Examples:
        >>> round(float(mean_shift(np.array([0.1, 0.2]))), 4)
        0.0798
    """
    below, above = errors
    shift: np.ndarray = _SHIFT * (above - below)
    return shift


def standard_deviation(errors: np.ndarray) -> np.ndarray:
    """Standard deviation of the true value, (...), of errors (2, ...) below and above.

    Examples:
        >>> round(float(standard_deviation(np.array([0.1, 0.2]))), 4)
        0.1537
    """
    below, above = errors
    difference = above - below
    skewed = (1.0 - _SHIFT**2) * difference**2
    variance = skewed + below * above
    # Equal sides are themselves to the last bit.
    return np.asarray(np.where(difference == 0.0, below, np.sqrt(variance)))


def with_scatter(errors: np.ndarray, scatter: np.ndarray | float) -> np.ndarray:
    """Errors (2, ...) with a normal scatter added that leaves the mean where it is.

    The variance of the two-piece normal grows by the square of the scatter: s_2 - s_1 stays, and
    s_1 s_2 grows by it.

    Examples:
        >>> with_scatter(np.array([0.3, 0.3]), 0.4).round(3)
        array([0.5, 0.5])
    """
    below, above = errors
    difference = above - below
    product = below * above + np.square(scatter)
    discriminant = difference**2 + 4.0 * product
    root = np.sqrt(discriminant)
    skewed = np.stack([root - difference, root + difference]) / 2.0
    symmetric = np.hypot(errors, scatter)
    is_symmetric = difference == 0.0
    return np.asarray(np.where(is_symmetric, symmetric, skewed))
