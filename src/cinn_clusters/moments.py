"""Mean and spread of a column that neither one wrong value nor the size of its unit decides.

Every test of a scale is relative to the spread of the column itself. A unit that is a power of two
changes no bit of a number, so that columns of any size (1e44 erg/s, 1e-14 erg/s/cm2) are squared
and summed without overflow.
"""

from __future__ import annotations

import math

import numpy as np

FAR = 1e3
"""Robust deviations beyond which a value is taken for a mistake, not for a member of its column."""
_MAX_FAR, _MAX_FAR_SHARE = 3, 0.02
"""Values that may be so far off, in number and share: a column with more of them is wide."""
_GAP = 30.0
"""Times that they are further off than all others."""
_TAILS = (0.16, 0.025)
"""Tails that are cut off for the robust deviation; the smaller one where most values are equal."""
ROUNDING = 1e-13
"""Share of a value that its rounding may be, and a spread may not."""


def robust_moments(values: np.ndarray) -> tuple[float, float]:
    """Median and half the central interval of 68 % of finite values (N,), 0 if they are equal.

    Examples:
        >>> robust_moments(np.array([-1.0, 0.0, 1.0, 1e12]))[0]
        0.5
    """
    median = float(np.median(values))
    for tail in _TAILS:
        lower, upper = np.quantile(values, [tail, 1.0 - tail])
        size = max(abs(lower), abs(upper))
        spread = upper / 2.0 - lower / 2.0
        if spread > ROUNDING * size:
            return median, float(spread)
    return median, 0.0


def far_values(values: np.ndarray) -> np.ndarray:
    """Mask (N,) of the few values beyond 1000 robust deviations of their column; NaN is none.

    Examples:
        >>> np.flatnonzero(far_values(np.array([*range(9), 1e12])))
        array([9])
    """
    is_finite = np.isfinite(values)
    is_far = np.zeros(values.shape, dtype=bool)
    num_values = int(is_finite.sum())
    if not num_values:
        return is_far
    median, spread = robust_moments(values[is_finite])
    if spread > 0.0:
        offset = np.abs(values[is_finite] / FAR - median / FAR)
        is_beyond = offset > spread
        if _is_apart(offset, is_beyond):
            is_far[is_finite] = is_beyond
    return is_far


def _is_apart(offset: np.ndarray, is_beyond: np.ndarray) -> bool:
    """Whether values are few and stand apart; a long tail (a star formation rate) does not."""
    num_beyond = int(is_beyond.sum())
    most = max(_MAX_FAR, _MAX_FAR_SHARE * len(offset))
    if not 0 < num_beyond <= most:
        return False
    nearest = offset[is_beyond].min()
    furthest = offset[~is_beyond].max()
    return bool(nearest > _GAP * furthest)


def without_far_values(columns: np.ndarray) -> np.ndarray:
    """Columns (N, C), or one (N,), with NaN in place of values that are far off."""
    is_far = np.apply_along_axis(far_values, 0, columns)
    if not is_far.any():
        return columns
    return np.where(is_far, np.nan, columns)


def deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation (...) over the first axis of values (N, ...), whatever their size.

    Examples:
        >>> float(deviation(np.array([1e300, 3e300]))) == 1e300
        True
    """
    sizes = np.abs(values).max(axis=0, initial=0.0)
    unit = binary_units(np.atleast_1d(sizes)).reshape(np.shape(sizes))
    spread: np.ndarray = np.std(values / unit, axis=0) * unit
    return spread


def binary_units(sizes: np.ndarray) -> np.ndarray:
    """Power of two near each size, (C,)."""
    return np.array([binary_unit(size) for size in sizes])


def binary_unit(size: float) -> float:
    """Power of two near a size, to divide by without rounding; 1 for zero and what is not finite.

    Examples:
        >>> binary_unit(5.0), binary_unit(0.0), binary_unit(1e44) > 1e43
        (8.0, 1.0, True)
    """
    if not math.isfinite(size) or size == 0.0:
        return 1.0
    _, exponent = math.frexp(size)
    return math.ldexp(1.0, min(exponent, 1023))
