"""Ground truth that posteriors are compared with, the units of the comparison, and its limits."""

from __future__ import annotations

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import TIME_FLOOR, dequantise, off_bounds

_JITTER_SEED = 0
_TIME_TOLERANCE = 1e-5
"""Rounding of a collision time [Gyr] in float32."""


def dequantised_ground_truth(catalogue: Catalogue, rows: np.ndarray) -> np.ndarray:
    """Ground truth (n, D) of some rows whose likelihood is compared between models.

    A recorded collision time stands on a snapshot, where a flexible density can buy likelihood
    with spikes. One jitter over its resolution serves all models (one stream, seed 0).
    """
    theta, rng = catalogue.theta, np.random.default_rng(_JITTER_SEED)
    for d, column in enumerate(catalogue.target_columns):
        if column.bijection == "age" and column.resolution:
            jitter = rng.uniform(-0.5, 0.5, len(theta)) * column.resolution
            theta[:, d] = np.minimum(theta[:, d] + jitter, catalogue.age - TIME_FLOOR)
    return np.asarray(off_bounds(theta, catalogue.target_columns, catalogue.age)[rows])


def jittered_ground_truth(objects: Catalogue) -> np.ndarray:
    """Ground truth (N, D) whose ranks are taken, collision times spread over their resolution.

    A recorded time often is that of the observation itself, above every sample of a density that
    ends there: its rank would show the snapshots, not the posterior. What would fall after the
    observation is reflected at it.
    """
    rng = np.random.default_rng(_JITTER_SEED)
    return dequantise(objects.theta, objects.target_columns, objects.age, rng)


def is_marked(objects: Catalogue) -> np.ndarray:
    """Whether a row (N,) holds a missing-value mark instead of a history."""
    marks = [column.missing_mark or np.nan for column in objects.target_columns]
    is_mark = np.isclose(
        objects.theta, marks
    )  # scaled and back, a mark is no longer exact
    return np.asarray(is_mark.any(axis=1))


def score_scales(objects: Catalogue) -> np.ndarray:
    """Units (D,) of CRPS and energy score: those of the schema, else the spread of the truth."""
    scales = [column.score_scale for column in objects.target_columns]
    spread = np.std(objects.theta, axis=0)
    return np.array([scale or spread[d] for d, scale in enumerate(scales)], dtype=float)


def unphysical(samples: np.ndarray, objects: Catalogue) -> np.ndarray | None:
    """Whether a sample (S, N) breaks a declared bound, or a collision follows the observation.

    Returns None where no target has declared bounds: nothing can be claimed of them.
    """
    if not objects.schema.bounded(objects.targets):
        return None
    is_outside = np.zeros(samples.shape[:2], bool)
    for d, column in enumerate(objects.target_columns):
        values, (lower, upper) = samples[:, :, d], column.bounds
        is_outside |= (values < lower) | (values > upper)
        if column.bijection == "age":
            earliest = column.record_begin - _TIME_TOLERANCE
            is_outside |= (values < earliest) | (values > objects.age + _TIME_TOLERANCE)
    return is_outside
