"""Recorded values made continuous, so that a density may be fitted to them."""

from __future__ import annotations

import numpy as np

from cinn_clusters import schema
from cinn_clusters.schema import COLLISION_TIME, TIME_RESOLUTION

TIME_FLOOR = 0.001
"""Smallest time since collision [Gyr]: a collision at the snapshot itself is put this much
before it."""
EDGE = 1e-3
"""Share of the range between two bounds that stays free at each: a mass ratio of exactly 1
becomes 0.999."""


def dequantise(
    theta: np.ndarray, targets: tuple[str, ...], age: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Spread the recorded collision times over their resolution, always before the observation.

    Most values of last_T_coll stand on snapshots; a flexible density would buy likelihood with
    spikes there. The jitter is uniform over one snapshot spacing; what would fall after the
    observation is reflected at it.

    Args:
        theta: Physical targets, (N, D).
        targets: Their columns.
        age: Cosmic age at observation [Gyr], (N,).
        rng: Source of the jitter.

    Returns:
        A copy with jittered collision times; theta itself where there is no collision time.
    """
    if COLLISION_TIME not in targets:
        return theta
    d = targets.index(COLLISION_TIME)
    since = age - theta[:, d]
    jittered = np.abs(since + rng.uniform(-0.5, 0.5, len(since)) * TIME_RESOLUTION)
    result = theta.copy()
    result[:, d] = age - np.clip(jittered, TIME_FLOOR, age - TIME_FLOOR)
    return result


def off_bounds(theta: np.ndarray, targets: tuple[str, ...], age: np.ndarray) -> np.ndarray:
    """Move values that stand on their bound inside it: a density has no finite log there.

    Args:
        theta: Physical targets, (N, D).
        targets: Their columns.
        age: Cosmic age at observation [Gyr], (N,).

    Returns:
        A copy; values further inside are untouched.

    Examples:
        >>> off_bounds(np.array([[13.8, 1.0]]), ("last_T_coll", "last_Mass_ratio"), np.array([13.8]))
        array([[13.799,  0.999]])
    """
    result = theta.copy()
    for d, name in enumerate(targets):
        known = schema.column(name)
        if known.bijection == "age":
            result[:, d] = np.clip(theta[:, d], TIME_FLOOR, age - TIME_FLOOR)
        elif known.bijection == "logit" and not known.is_log:
            lower, upper = known.bounds
            margin = EDGE * (upper - lower)
            near, far = theta[:, d] <= lower, theta[:, d] >= upper
            result[near, d], result[far, d] = lower + margin, upper - margin
    return result
