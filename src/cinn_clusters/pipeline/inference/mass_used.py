"""The true mass that an answer is conditioned on: what prior and errors leave of the stated one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueQuery
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling

MASS_USED, MASS_USED_SD = "log_mass_used", "log_mass_used_sd"
"""Mean and standard deviation of the true log10 M500c [Msun]."""
_LARGEST_SHIFT = 0.5
"""A prior that moves a mass by more than this share of its error is told."""
_NUM_REALISATIONS, _VIEWS_AT_ONCE = 400, 500
_FLAGGED = "the prior of masses moves M500 by more than half its error"


def masses_used(posterior: Posterior, objects: CatalogueQuery) -> pd.DataFrame:
    """Mean and deviation of the true mass of each view; a prior that moves it far is a reason.

    Args:
        posterior: With the prior of masses that is asked for.
        objects: The catalogue; reasons are added to its rows.

    Returns:
        Two columns, one row for each of V views; none for a model of exact masses.
    """
    transforms, query = posterior.transforms, objects.query
    if not isinstance(transforms, MeasurementTransforms):
        return pd.DataFrame(index=query.keys.index)
    mass = transforms.schema.mass
    if mass not in transforms.optional:
        return pd.DataFrame(index=query.keys.index)
    column = transforms.scalars.index(mass)
    correlation = None
    if isinstance(posterior, MonteCarlo):
        correlation = posterior.error_model.at(query.places).correlation
    used, deviation = _moments(transforms, query.inputs, column, correlation)
    unmoved, _ = _moments(
        replace(transforms, mass_prior=0.0), query.inputs, column, correlation
    )
    _note_shifts(transforms, objects, (unmoved, used), column)
    if isinstance(posterior, MonteCarlo):
        errors = posterior.error_model.at(query.places)
        is_bounded = errors.is_bounded(len(query))
        views = np.flatnonzero(np.isfinite(used) & is_bounded)
        realised = _realised(posterior, query.rows(views), column)
        used[views], deviation[views] = realised.mean(1), realised.std(1)
    unit = _dex(transforms, column)
    columns = {MASS_USED: used * unit, MASS_USED_SD: deviation * unit}
    return pd.DataFrame(columns, index=query.keys.index)


def _realised(posterior: MonteCarlo, query: Query, column: int) -> np.ndarray:
    """Realisations of the mass of n views as its map takes it, (n, T)."""
    masses = np.empty((len(query), _NUM_REALISATIONS))
    sampling = Sampling(_NUM_REALISATIONS, posterior.seed)
    entry = posterior.transforms.observables[column]
    for views in query.batches(_VIEWS_AT_ONCE):
        inputs = posterior.realisations(query.rows(views), sampling)
        masses[views] = entry.raw(inputs[:, :, column])
    return masses


def _dex(transforms: MeasurementTransforms, column: int) -> float:
    """What brings a mass as its map takes it, a logarithm of either base, to dex."""
    entry = transforms.observables[column]
    if entry.is_log:
        return 1.0 / math.log(10.0)
    return entry.unit


def _moments(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    column: int,
    correlation: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (V,) of the mass as its map takes it; NaN for what cannot be answered."""
    is_usable = transforms.is_usable(inputs).numpy()
    mean, deviation = np.full((2, len(inputs)), np.nan)
    if correlation is not None:
        correlation = correlation[is_usable]
    means, covariances = transforms.condition(inputs[is_usable], correlation)
    mean[is_usable] = means[:, column]
    variance = covariances[:, column, column]
    deviation[is_usable] = np.sqrt(np.maximum(variance, 0.0))
    return mean, deviation


def _note_shifts(
    transforms: MeasurementTransforms,
    objects: CatalogueQuery,
    masses: tuple[np.ndarray, np.ndarray],
    column: int,
) -> None:
    """Say of each row how far the prior moves its mass from where a flat one leaves it."""
    unmoved, used = masses
    _, errors = transforms.raw_values(objects.query.inputs)
    error = errors[:, column]
    is_measured = np.isfinite(error) & (error > 0.0)
    limit = _LARGEST_SHIFT * np.where(is_measured, error, np.inf)
    is_moved = np.abs(used - unmoved) > limit
    unit = _dex(transforms, column)
    for view in np.flatnonzero(is_moved):
        row = int(objects.query.places[view])
        before, after = unit * unmoved[view], unit * used[view]
        values = f"{before:.2f} to {after:.2f}"
        objects.converted.reasons[row].append(f"{_FLAGGED} ({values}; mass_prior)")
