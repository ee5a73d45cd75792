"""Which rows of a catalogue are answered by realisations of their true observables, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.errors.correlation import coefficient_matrices
from cinn_clusters.data.error_models.error_model import (
    ErrorModel,
    MeasuredLimits,
    RedshiftErrors,
)
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.errors import DataError
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueQuery
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.posterior import Posterior

ErrorRule = Literal["network", "monte-carlo"]
LARGEST_SHARE = 0.7
"""Errors of masses above this share of the scatter of training masses are realised under another
prior: the network never saw as broad a mass so far from theirs."""
_REMARK = "error of the mass too large for a network under this mass_prior"


def with_mass_prior(posterior: Posterior, slope: float | None) -> Posterior:
    """The posterior under another prior of the masses; None: that of the training clusters.

    Raises:
        DataError: If the model takes exact masses.
    """
    transforms = posterior.transforms
    if slope is None:
        return posterior
    if not isinstance(transforms, MeasurementTransforms):
        expected, got = "a model that accepts errors", "one of exact observables"
        raise DataError("mass_prior", expected, got, "", "leave it out")
    return replace(posterior, transforms=replace(transforms, mass_prior=slope))


def with_error_model(
    posterior: Posterior, objects: CatalogueQuery, errors: ErrorRule, seed: int
) -> Posterior:
    """The posterior that answers: conditioned on the errors, or averaged over realisations.

    Raises:
        DataError: If realisations are asked of a model of exact observables.
    """
    transforms = posterior.transforms
    if not isinstance(transforms, MeasurementTransforms):
        _demand_no_realisations(objects, errors)
        return posterior
    stated = error_model(objects.converted, transforms)
    rows = None
    if errors == "network":
        rows = realised_rows(stated, transforms, objects)
        if not rows.any():
            return posterior
    parts = (posterior.flow, transforms, posterior.device, posterior.recalibration)
    return MonteCarlo(*parts, error_model=stated, rows=rows, seed=seed)


def _demand_no_realisations(objects: CatalogueQuery, errors: ErrorRule) -> None:
    """Refuse realisations for a model of exact observables; say what it does not use."""
    if errors == "monte-carlo":
        expected, got = "a model that accepts errors", "one of exact observables"
        hint = "leave out --errors"
        raise DataError("errors by Monte Carlo", expected, got, "", hint)
    if objects.converted.remarks:
        unused = "limits, correlations and errors of redshifts"
        note = "not used, the model takes exact values"
        objects.converted.log.append(f"{unused}: {note}")
        objects.converted.remarks.clear()


def error_model(
    converted: ConvertedCatalogue, transforms: MeasurementTransforms
) -> ErrorModel:
    """All that a catalogue says of its errors, for the observables of a model."""
    optional = transforms.optional
    correlation = None
    if any(coefficient.any() for coefficient in converted.correlations.values()):
        num_rows = len(converted.names)
        pairs = converted.correlations
        correlation = coefficient_matrices(pairs, list(optional), num_rows)
    return ErrorModel(
        converted.errors_below_and_above(optional),
        correlation,
        _limits(converted, optional),
        _redshifts(converted, optional),
    )


def _limits(
    converted: ConvertedCatalogue, optional: tuple[str, ...]
) -> MeasuredLimits | None:
    if not converted.limits:
        return None
    num_rows = len(converted.names)
    side, value, scatter = np.zeros((3, num_rows, len(optional)))
    for number, name in enumerate(optional):
        if name in converted.limits:
            limits = converted.limits[name]
            side[:, number] = limits.side
            value[:, number] = limits.value
            scatter[:, number] = limits.scatter
    return MeasuredLimits(side, value, scatter)


def _redshifts(
    converted: ConvertedCatalogue, optional: tuple[str, ...]
) -> RedshiftErrors | None:
    redshifts = converted.redshifts
    if redshifts is None:
        return None
    none = np.zeros(len(converted.names))
    slopes = [redshifts.slopes.get(name, none) for name in optional]
    return RedshiftErrors(redshifts.redshift, redshifts.errors, np.stack(slopes, 1))


def realised_rows(
    errors: ErrorModel, transforms: MeasurementTransforms, objects: CatalogueQuery
) -> np.ndarray:
    """Rows of the catalogue that one deviation a value does not describe, (M,)."""
    converted, query = objects.converted, objects.query
    rows = errors.needs_realisations(len(converted.names))
    law = transforms.mass_law
    if law is not None:
        share = law.error_share(transforms.prior, *transforms.raw_values(query.inputs))
        is_large = np.zeros(len(rows), dtype=bool)
        is_large[query.places[share > LARGEST_SHARE]] = True
        converted.remark(is_large, f"{_REMARK}, answered by realisations")
        rows |= is_large
    return rows
