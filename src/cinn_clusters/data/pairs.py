"""Recorded values made continuous, so that a density may be fitted to them."""

from __future__ import annotations

import numpy as np

from cinn_clusters.schema import COLLISION_TIME, TIME_RESOLUTION

TIME_FLOOR = 0.001
"""Smallest time since collision [Gyr]: a collision at the snapshot itself is put this much before it."""


def dequantise(theta: np.ndarray, targets: tuple[str, ...], age: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spread the recorded collision times over their resolution, always before the observation.

    Most values of last_T_coll stand on snapshots; a flexible density would buy likelihood with spikes there. The
    jitter is uniform over one snapshot spacing; what would fall after the observation is reflected at it.

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
