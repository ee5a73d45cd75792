"""Gaussian conditioning of ``data.measurement`` as expressions.

Observables are taken one after the other, which needs no solver (a scalar update of the Kalman
filter): with gain g = C_j / (C_jj + R_j), and zero where nothing was measured,

    m <- m + g (o_j - m_j),   C <- C - g C_j^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.error_models.gaussian import MAX_OFFSET
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.schema import ERROR_PREFIX
from cinn_clusters.storage.onnx.expressions import Expression, joined, stacked

ValuesByName = Mapping[str, Expression]
"""Values (N,) by name."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Means (N, S) and covariances (N, S, S) of the scalars of objects; N is 1 where all agree."""

    mean: Expression
    covariance: Expression


@dataclass(frozen=True, eq=False)
class Scalars:
    """Measured scalars, all (N, S).

    Args:
        values: As the maps take them; zero where missing.
        errors: Standard errors; one where missing.
        is_measured: Whether they are there.
        is_usable: Whether they are missing or can be right.
    """

    values: Expression
    errors: Expression
    is_measured: Expression
    is_usable: Expression

    def condition(self, prior: Gaussian, num_scalars: int) -> Gaussian:
        """What the true scalars follow, given the measured ones."""
        mean, covariance = prior.mean, prior.covariance
        values = self._near(prior, num_scalars)
        variances = self.errors.square
        for number in range(num_scalars):
            # total variance of the measured value, and what it tells of each scalar
            cross = covariance.take(number)
            total = cross.take([number]) + variances.take([number])
            weight = cross / total
            gain = self.is_measured.take([number]).where(weight, 0.0)

            offset = values.take([number]) - mean.take([number])
            mean = mean + gain * offset
            product = gain.unsqueezed() * cross.unsqueezed(-2)
            covariance = covariance - product
        return self._exact(mean, covariance)

    def _near(self, prior: Gaussian, num_scalars: int) -> Expression:
        """Values no further from the mean than one that still tells of the others."""
        unit = np.eye(num_scalars)
        diagonal = prior.covariance * unit
        reach = diagonal.sum().sqrt * MAX_OFFSET
        lower = prior.mean - reach
        upper = prior.mean + reach
        return self.values.clip(lower, upper)

    def _exact(self, mean: Expression, covariance: Expression) -> Gaussian:
        """What has no error is itself to the last bit."""
        has_no_error = self.errors.compare("Equal", 0.0)
        is_exact = self.is_measured & has_no_error
        exact_mean = is_exact.where(self.values, mean)
        is_free = is_exact.where(0.0, 1.0)
        is_free_pair = is_free.unsqueezed() * is_free.unsqueezed(-2)
        return Gaussian(exact_mean, covariance * is_free_pair)


def raw(entry: ObservableMap, value: Expression) -> Expression:
    """A column as its map takes it."""
    if not entry.is_log:
        return value / entry.unit
    floored = value.apply("Max", entry.floor)
    return floored.log


def zeros(column: Expression) -> Expression:
    """As many zeros as a column has entries."""
    return column.is_nan.where(0.0, 0.0)


def read_scalars(transforms: MeasurementTransforms, columns: ValuesByName) -> Scalars:
    """Scalars and errors by name, as ``MeasurementTransforms.raw_values``."""
    parts = []
    for entry in transforms.observables[: len(transforms.scalars)]:
        value = columns[entry.name]
        error_name = f"{ERROR_PREFIX}{entry.name}"
        error = columns.get(error_name) or zeros(value)
        parts.append(_read_scalar(entry, value, error))
    return Scalars(*map(stacked, zip(*parts, strict=True)))


def _read_scalar(
    entry: ObservableMap, value: Expression, error: Expression
) -> tuple[Expression, ...]:
    """The fields of ``Scalars`` for one of them."""
    mapped = raw(entry, value)
    unit = 1.0 / entry.unit
    if entry.is_log:
        unit = math.log(10.0)  # errors of logarithms are in dex
    is_measured = value.is_finite & error.is_finite
    is_negative = error.compare("Less", 0.0)
    is_right = mapped.is_finite & ~is_negative
    return (
        is_measured.where(mapped, 0.0),
        is_measured.where(error * unit, 1.0),
        is_measured,
        value.is_nan | is_right,
    )


@dataclass(frozen=True, eq=False)
class Embedding:
    """Vectors of maps.

    Args:
        vectors: (N, E).
        is_measured: Whether the object has one, (N, 1).
        is_usable: Whether it has a finite one, or none, (N,).
    """

    vectors: Expression
    is_measured: Expression
    is_usable: Expression

    @classmethod
    def read(cls, vectors: Expression) -> Embedding:
        """Vectors are missing as a whole where a component is NaN."""
        is_present = ~vectors.is_nan
        is_measured = is_present.all().unsqueezed()
        is_usable = vectors.is_nan | vectors.is_finite
        return cls(vectors, is_measured, is_usable.all())

    def prior(self, transforms: MeasurementTransforms) -> Gaussian:
        """What the scalars follow given the vectors alone."""
        prior, num_scalars = transforms.prior, len(transforms.scalars)
        width = len(prior.mean) - num_scalars
        marginal = prior.leading(num_scalars)
        conditional = prior.leading_given(np.zeros((1, width)))
        gain, offset = _affine(lambda rows: prior.leading_given(rows).mean, width)
        vectors = self.is_measured.where(self.vectors, 0.0)
        expected = vectors @ gain + offset
        mean = self.is_measured.where(expected, marginal.mean)
        of_matrix = self.is_measured.unsqueezed()
        return Gaussian(
            mean, of_matrix.where(conditional.covariance, marginal.covariance)
        )

    def after(self, transforms: MeasurementTransforms, mean: Expression) -> Expression:
        """Means of the scalars, then the vectors; a missing one is what the scalars let expect."""
        num_scalars = len(transforms.scalars)
        gain, offset = _affine(transforms.prior.trailing_given, num_scalars)
        expected = mean @ gain + offset
        vectors = self.is_measured.where(self.vectors, expected)
        return joined((mean, vectors))


def _affine(
    function: Callable[[np.ndarray], np.ndarray], width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset of an affine map of rows, by its images of zero and of the unit vectors."""
    offset = function(np.zeros((1, width)))
    images = function(np.eye(width))
    return images - offset, offset
