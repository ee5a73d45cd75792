"""The true mass that an answer is conditioned on: what prior and errors leave of the stated one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueQuery

MASS_USED, MASS_USED_SD = "log_mass_used", "log_mass_used_sd"
"""Mean and standard deviation of the true log10 M500c [Msun]."""
_LARGEST_SHIFT = 0.5
"""A prior that moves a mass by more than this share of its error is told."""
_FLAGGED = "the prior of masses moves M500 by more than half its error"


def masses_used(transforms: Transforms, objects: CatalogueQuery) -> pd.DataFrame:
    """Mean and deviation of the true mass of each view; a prior that moves it far is a reason.

    Args:
        transforms: With the prior of masses that is asked for.
        objects: The catalogue; reasons are added to its rows.

    Returns:
        Two columns, one row for each of V views; none for a model of exact masses.
    """
    mass = transforms.schema.mass
    if (
        not isinstance(transforms, MeasurementTransforms)
        or mass not in transforms.optional
    ):
        return pd.DataFrame(index=objects.query.keys.index)
    column = transforms.scalars.index(mass)
    inputs = objects.query.inputs
    used, deviation = _moments(transforms, inputs, column)
    _note_shifts(transforms, objects, used, column)
    unit = _dex(transforms, column)
    columns = {MASS_USED: used * unit, MASS_USED_SD: deviation * unit}
    return pd.DataFrame(columns, index=objects.query.keys.index)


def _dex(transforms: MeasurementTransforms, column: int) -> float:
    """What brings a mass as its map takes it, a logarithm of either base, to dex."""
    entry = transforms.observables[column]
    if entry.is_log:
        return 1.0 / math.log(10.0)
    return entry.unit


def _moments(
    transforms: MeasurementTransforms, inputs: np.ndarray, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (V,) of the mass as its map takes it; NaN for what cannot be answered."""
    is_usable = transforms.is_usable(inputs).numpy()
    mean, deviation = np.full((2, len(inputs)), np.nan)
    means, covariances = transforms.condition(inputs[is_usable])
    mean[is_usable] = means[:, column]
    variance = covariances[:, column, column]
    deviation[is_usable] = np.sqrt(np.maximum(variance, 0.0))
    return mean, deviation


def _note_shifts(
    transforms: MeasurementTransforms,
    objects: CatalogueQuery,
    used: np.ndarray,
    column: int,
) -> None:
    """Say of each row how far the prior moves its mass from where a flat one leaves it."""
    flat = replace(transforms, mass_prior=0.0)
    inputs = objects.query.inputs
    unmoved, _ = _moments(flat, inputs, column)
    _, errors = transforms.raw_values(inputs)
    error = errors[:, column]
    is_measured = np.isfinite(error) & (error > 0.0)
    limit = _LARGEST_SHIFT * np.where(is_measured, error, np.inf)
    is_moved = np.abs(used - unmoved) > limit
    for view in np.flatnonzero(is_moved):
        row = int(objects.query.places[view])
        unit = _dex(transforms, column)
        values = f"{unit * unmoved[view]:.2f} to {unit * used[view]:.2f}"
        objects.converted.reasons[row].append(f"{_FLAGGED} ({values}; mass_prior)")
