"""Transforms of a model that accepts missing values and errors: fitted on a table, or read again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cinn_clusters import schema
from cinn_clusters.bundle import read_arrays
from cinn_clusters.data.error_models.gaussian import ObservablePrior, fit_prior
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.files import JsonObject
from cinn_clusters.moments import without_far_values


def read_transforms(values: JsonObject) -> Transforms:
    """Inverse of ``to_dict`` for transforms of either kind."""
    transforms = Transforms.from_dict(values)
    if "prior" not in values:
        return transforms
    moments = values["prior"]
    arrays = read_arrays(moments, {"mean": "L", "covariance": "LL"})
    np.linalg.cholesky(arrays["covariance"])  # refuses one that is none
    prior = ObservablePrior(**arrays)
    return MeasurementTransforms(
        transforms.observables, transforms.targets, prior, schema=transforms.schema
    )


def accept_missing_values(
    transforms: Transforms, columns: Mapping[str, np.ndarray]
) -> MeasurementTransforms:
    """Let a model take any subset of its observables (columns of the training rows) and any errors.

    R500 is left out beside mass and time: it is a function of them, and an error of one would
    contradict the other.

    Raises:
        DataError: If a target is bounded by the age, and the lookback time is no observable.
    """
    names = [entry.name for entry in transforms.observables]
    is_derived = {transforms.schema.mass, transforms.schema.time} <= set(names)
    redundant = transforms.schema.radius if is_derived else None
    used = [entry for entry in transforms.observables if entry.name != redundant]
    used.sort(key=lambda entry: schema.is_embedding(entry.name))  # scalars come first
    has_age = any(target.is_before_observation for target in transforms.targets)
    if has_age and transforms.time not in names:
        expected = f"'{transforms.time}' among them, since any other may be missing"
        raise DataError("observables", expected, "none")
    raw_columns = []
    for entry in used:
        column = np.asarray(columns[entry.name], dtype=float)
        raw_columns.append(entry.raw(column))
    prior = fit_prior(without_far_values(np.stack(raw_columns, 1)))
    return MeasurementTransforms(
        tuple(used), transforms.targets, prior, schema=transforms.schema
    )
