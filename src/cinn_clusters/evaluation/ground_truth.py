"""Ground truth that posteriors are compared with, the units of the comparison, and its limits."""

from __future__ import annotations

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.diagnostics.tarp import positive_spread
from cinn_clusters.moments import binary_unit, binary_units, without_far_values
from cinn_clusters.schema import Column

_JITTER_SEED = 0
_MARK_ROUNDING = 1e-5
"""Part of a missing-value mark that scaling it may add to it."""
_ROUNDING = 1e-14
_RELATION_TOLERANCE = 1e-5
"""Rounding of a mass in float32, as a part of it."""
_TIME_TOLERANCE = 1e-5
"""Rounding of a collision time [Gyr] in float32."""


def dequantised_ground_truth(
    catalogue: Catalogue, rows: np.ndarray | None = None
) -> np.ndarray:
    """Ground truth (n, D) of rows, times spread as in training: for likelihood, ranks, coverage.

    A recorded collision time stands on a snapshot, often that of the observation itself: a
    flexible density would buy likelihood there, and the rank would show the snapshots, not the
    posterior. One jitter of the whole catalogue serves all models (one stream, seed 0).

    Args:
        catalogue: All rows that the jitter is drawn for.
        rows: Those that are compared; all of them when absent.
    """
    rng = np.random.default_rng(_JITTER_SEED)
    columns, age = catalogue.target_columns, catalogue.age
    theta = dequantise(catalogue.theta, columns, age, rng)
    truth = off_bounds(theta, columns, age)
    if rows is None:
        return truth
    return np.asarray(truth[rows])


def standardised_observables(objects: Catalogue) -> np.ndarray:
    """Standardised observables (N, L), zero where a value is missing or far off."""
    x = objects.inputs(objects.observables)
    if not x.size:
        return x
    magnitudes = np.nan_to_num(np.abs(x))
    units = binary_units(magnitudes.max(axis=0))
    ordinary = without_far_values(x / units)
    is_there = ~np.isnan(ordinary)
    num_values = is_there.sum(axis=0)
    zero_filled = np.where(is_there, ordinary, 0.0)
    total = zero_filled.sum(axis=0)
    mean = total / np.maximum(num_values, 1)
    offset = np.where(is_there, ordinary - mean, 0.0)
    return np.asarray(offset / positive_spread(offset))


def is_marked(objects: Catalogue) -> np.ndarray:
    """Whether a row (N,) holds a missing-value mark instead of a history."""
    is_mark = np.zeros(len(objects.table), dtype=bool)
    for column, values in zip(objects.target_columns, objects.theta.T, strict=True):
        mark = column.missing_mark
        if mark is not None:  # scaled and back, a mark is no longer exact
            is_mark |= np.abs(values - mark) <= _MARK_ROUNDING * abs(mark)
    return is_mark


def score_scales(objects: Catalogue, samples: np.ndarray | None = None) -> np.ndarray:
    """Units (D,) of CRPS and energy score: those of the schema, else the spread of the truth.

    Where all truths are equal, the spread of the samples (S, N, D) stands in, or 1 without any.
    """
    theta = objects.theta
    if samples is None:
        samples = theta[None]
    scales = []
    for d, column in enumerate(objects.target_columns):
        scale = column.score_scale or _spread(theta[:, d])
        scales.append(scale or _spread(samples[:, :, d].ravel()) or 1.0)
    return np.array(scales, dtype=float)


def _spread(values: np.ndarray) -> float:
    """Standard deviation of values (N,) of any size; 0 where they are equal but for rounding."""
    size = float(np.abs(values).max(initial=0.0))
    unit = binary_unit(size)
    deviation = float(np.std(values / unit))
    if deviation < _ROUNDING:
        return 0.0
    return unit * deviation


def unphysical(samples: np.ndarray, objects: Catalogue) -> np.ndarray | None:
    """Whether a sample (S, N) breaks a declared bound or relation, or its collision comes too late.

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
        is_outside |= values > _largest(column, samples, objects)
    return is_outside


def _largest(column: Column, samples: np.ndarray, objects: Catalogue) -> np.ndarray:
    """What no value of a target exceeds, (S, N) or (N,): infinite or NaN where nothing is said."""
    name = column.at_most
    reference = np.full(len(objects.table), np.inf)
    if name in objects.targets:
        reference = samples[:, :, objects.targets.index(name)]
    elif name in objects.table:
        log_ratio = objects.table[name].to_numpy(float) - column.anchor_unit
        reference = 10.0**log_ratio
    return np.asarray(column.at_most_times * reference * (1.0 + _RELATION_TOLERANCE))
