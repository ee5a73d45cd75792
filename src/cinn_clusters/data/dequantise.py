"""Recorded values made continuous, so that a density may be fitted to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cinn_clusters.schema import Column

TIME_FLOOR = 0.001
"""Smallest time since collision [Gyr]: a collision at the snapshot itself is put this much
before it."""
EDGE = 1e-3
"""Share of the range between two bounds that stays free at each: a mass ratio of exactly 1
becomes 0.999."""


def dequantise(
    theta: np.ndarray,
    columns: Sequence[Column],
    age: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Spread recorded values over their resolution; collision times stay before the observation.

    Most values of last_T_coll stand on snapshots; a flexible density would buy likelihood with
    spikes there. The jitter is uniform over one snapshot spacing; what would fall after the
    observation, or before the record begins, is reflected at it.

    Args:
        theta: Physical targets, (N, D).
        columns: What they are, D.
        age: Cosmic age at observation [Gyr], (N,).
        rng: Source of the jitter.

    Returns:
        A copy with jittered values; theta itself where no column has a resolution.
    """
    result = theta
    for d, column in enumerate(columns):
        if column.bijection == "age" and column.resolution:
            since = age - theta[:, d]
            steps = rng.uniform(-0.5, 0.5, len(since))
            jitter = steps * column.resolution
            window = age - column.record_begin
            reflected = window - np.abs(window - np.abs(since + jitter))
            jittered = np.clip(reflected, TIME_FLOOR, window - TIME_FLOOR)
            result = result.copy()
            result[:, d] = age - jittered
        elif column.resolution:
            result = result.copy()
            result[:, d] = spread_over_resolution(theta[:, d], column, rng)
    return result


def spread_over_resolution(
    values: np.ndarray, column: Column, rng: np.random.Generator
) -> np.ndarray:
    """Spread recorded values (N,), such as counts, evenly over the spacing of their column.

    What would fall outside a bound (below zero, for a logarithm) is reflected at it.

    Examples:
        >>> counts = Column("count", bounds=(0.0, 9.0), resolution=1.0)
        >>> spread_over_resolution(np.array([0.0, 4.0]), counts, np.random.default_rng(0)).round(1)
        array([0.1, 3.8])
    """
    jitter = rng.uniform(-0.5, 0.5, len(values)) * column.resolution
    lower, upper = column.bounds
    if column.is_log:
        lower = max(lower, 0.0)
    result = values + jitter
    result = np.where(result < lower, 2.0 * lower - result, result)
    reflected: np.ndarray = np.where(result > upper, 2.0 * upper - result, result)
    return reflected


def off_bounds(
    theta: np.ndarray, columns: Sequence[Column], age: np.ndarray
) -> np.ndarray:
    """Move values that stand on their bound inside it: a density has no finite log there.

    Args:
        theta: Physical targets, (N, D).
        columns: What they are, D.
        age: Cosmic age at observation [Gyr], (N,).

    Returns:
        A copy; values further inside are untouched.

    Examples:
        >>> from cinn_clusters.schema import column
        >>> columns = column("last_T_coll"), column("last_Mass_ratio")
        >>> off_bounds(np.array([[13.8, 1.0]]), columns, np.array([13.8]))
        array([[13.799,  0.999]])
    """
    result = theta.copy()
    for column, recorded, values in zip(columns, theta.T, result.T, strict=True):
        if column.bijection == "age":
            latest = age - TIME_FLOOR
            values[:] = np.clip(recorded, column.record_begin + TIME_FLOOR, latest)
        elif column.bijection == "logit" and not column.is_log:
            lower, upper = column.bounds
            margin = EDGE * (upper - lower)
            values[recorded <= lower] = lower + margin
            values[recorded >= upper] = upper - margin
    return result
