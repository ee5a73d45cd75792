"""Inputs of a model as expressions: features of the network, anchors, and who is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cinn_clusters.cosmology import age_spline, max_lookback
from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.storage.onnx.conditioning import (
    Embedding,
    Gaussian,
    ValuesByName,
    raw,
    read_scalars,
    zeros,
)
from cinn_clusters.storage.onnx.expressions import Expression, joined, stacked
from cinn_clusters.storage.onnx.target_maps import anchor_of


@dataclass(frozen=True, eq=False)
class Features:
    """What a network sees of N objects, what their targets are measured from, and who is refused.

    Args:
        x: Standardised features, (N, F).
        anchors: (N, D).
        is_usable: Whether an object can be answered, (N,).
    """

    x: Expression
    anchors: Expression
    is_usable: Expression


def features_of(transforms: Transforms, inputs: Expression) -> Features:
    """Standardise inputs (N, L) in catalogue units."""
    columns = {
        name: inputs.take(number) for number, name in enumerate(transforms.inputs)
    }
    if isinstance(transforms, MeasurementTransforms):
        return _measured_features(transforms, inputs, columns)
    x = stacked([_scaled(entry, columns) for entry in transforms.observables])
    return _checked(transforms, x, columns, inputs.is_finite.all())


def _scaled(entry: ObservableMap, columns: ValuesByName) -> Expression:
    value = raw(entry, columns[entry.name])
    if entry.relative_to is not None:
        value = value - columns[entry.relative_to]
    x = (value - entry.shift) / entry.scale
    return x.clip(-entry.clip, entry.clip)


def _measured_features(
    transforms: MeasurementTransforms, inputs: Expression, columns: ValuesByName
) -> Features:
    """Features of true observables, given measured ones."""
    num_scalars, num_names = len(transforms.scalars), len(transforms.names)
    scalars = read_scalars(transforms, columns)
    is_usable = scalars.is_usable.all()
    if transforms.time in columns:
        is_usable = is_usable & columns[transforms.time].is_finite
    if transforms.has_embedding:
        embedding = Embedding.read(inputs.take(range(num_scalars, num_names)))
        gaussian = scalars.condition(embedding.prior(transforms), num_scalars)
        mean = embedding.after(transforms, gaussian.mean)
        is_missing = ~embedding.is_measured
        indicators = [is_missing.cast(float)]
        is_usable = is_usable & embedding.is_usable
    else:
        gaussian = scalars.condition(_prior(transforms, inputs), num_scalars)
        mean, indicators = gaussian.mean, []
    x = _standardised(transforms, mean)
    deviations = _deviations(transforms, gaussian.covariance)
    features = joined([x, deviations, *indicators])
    expected = _catalogue_values(transforms, gaussian.mean)
    return _checked(transforms, features, expected, is_usable)


def _prior(transforms: MeasurementTransforms, inputs: Expression) -> Gaussian:
    prior, graph = transforms.prior, inputs.graph
    mean, covariance = prior.mean[None], prior.covariance[None]
    return Gaussian(graph.constant(mean), graph.constant(covariance))


def _standardised(transforms: MeasurementTransforms, mean: Expression) -> Expression:
    """Features (N, L) of means (N, L) as the maps take them."""
    maps = transforms.observables
    shifts = [entry.shift / entry.scale for entry in maps]
    clips = np.array([entry.clip for entry in maps])
    x = mean @ transforms.matrix.T - shifts
    return x.clip(-clips, clips)


def _deviations(
    transforms: MeasurementTransforms, covariance: Expression
) -> Expression:
    """Standard deviations (N, U) of the features of the optional scalars."""
    num_scalars = len(transforms.scalars)
    matrix = transforms.matrix[transforms.optional_columns, :num_scalars]
    left = covariance.graph.constant(matrix)
    products = left @ covariance * matrix
    return products.sum().relu.sqrt


def _catalogue_values(
    transforms: MeasurementTransforms, mean: Expression
) -> dict[str, Expression]:
    """Scalars by name in catalogue units."""
    values = {}
    for number, name in enumerate(transforms.scalars):
        entry, value = transforms.observables[number], mean.take(number)
        values[name] = value * entry.unit
        if entry.is_log:
            values[name] = value.exp
    return values


def _checked(
    transforms: Transforms, x: Expression, columns: ValuesByName, is_usable: Expression
) -> Features:
    """Features with the anchors of columns in catalogue units, and all that refuses an object."""
    anchors = _anchors(transforms, columns)
    for values in (x, anchors):
        is_usable = is_usable & values.is_finite.all()
    if transforms.time in columns:
        age = _age(columns[transforms.time])
        is_before = age.compare("LessOrEqual", transforms.record_begin)
        is_usable = is_usable & ~is_before
    return Features(x, anchors, is_usable)


def _anchors(transforms: Transforms, columns: ValuesByName) -> Expression:
    """What each target is measured from, (N, D); zero where it stands alone."""
    first, *_ = columns.values()
    anchors = []
    for target in transforms.targets:
        anchor = zeros(first)
        if target.relative_to:
            anchor = anchor_of(target, columns[target.relative_to])
        elif target.is_before_observation:
            anchor = _age(columns[transforms.time])
        anchors.append(anchor)
    return stacked(anchors)


def _age(lookback: Expression) -> Expression:
    """Cosmic age at a lookback time (N,), by the cubic of its interval; NaN outside the clocks."""
    spline = age_spline()
    begins, end = spline.knots[:-1], max_lookback()
    is_past = lookback.compare("GreaterOrEqual", 0.0)
    is_covered = is_past & lookback.compare("LessOrEqual", end)
    time = is_covered.where(lookback, 0.0)

    column = time.unsqueezed()
    is_reached = column.compare("GreaterOrEqual", begins[1:])
    number = is_reached.cast(np.int64).sum()
    offset = time - number.look_up(begins)

    age, *coefficients = map(number.look_up, spline.coefficients[::-1])
    for coefficient in coefficients:
        age = age * offset + coefficient
    return is_covered.where(age, math.nan)
