r"""Gaussian conditioning on observables that are missing or have measurement errors.

The true observables v of an object (logarithms, as the observable maps take them) scatter about
those of the training clusters, v ~ N(m, C). A catalogue gives o = v + N(0, R) of some of them, so
that v | o is Gaussian with

    mean = m + C_o (C_oo + R)^-1 (o - m_o),   covariance = C - C_o (C_oo + R)^-1 C_o^T.

The network sees this mean, and the standard deviations. An error of zero is the measured value
itself, an infinite error is a missing value, and everything between is continuous. The components
of an image embedding are exact and measured together or not at all; the scalars are conditioned on
them first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.data.augmentation import EMBEDDING_SHARE, draw_errors, draw_masks
from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.error_models.gaussian import ObservablePrior, error_covariance
from cinn_clusters.data.error_models.mass_prior import MassPrior, slope_as_mapped
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.files import JsonObject

SPREADS_A_DEX = 3.0
"""Standard deviations of the training clusters that stand for a dex, in columns without one."""


@dataclass(frozen=True, eq=False)
class MeasurementTransforms(Transforms):
    """Transforms of a model that takes any subset of its observables, with any errors.

    Inputs are the scalars, the components of an embedding where the model has one, then
    ``sigma_<name>`` of each scalar but the lookback time. A value that is NaN is missing, and an
    embedding is missing as a whole. A ``sigma_<name>`` is in dex for logarithms and for positive
    quantities that are taken as logarithms, in the unit of the column otherwise.

    Args:
        prior: Gaussian of the true observables.
        mass_prior: d ln N / d ln M of the true masses of a catalogue, 0 for a flat prior; None:
            that of the training clusters. It belongs to a question, not to a model.
    """

    prior: ObservablePrior
    mass_prior: float | None = field(default=None, kw_only=True)

    @property
    def accepts_missing(self) -> bool:
        """Whether observables may be missing or have errors."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """Observables in order: S scalars, then E components of the embedding."""
        return tuple(observable.name for observable in self.observables)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Observables that are no components of the embedding, in order."""
        return tuple(name for name in self.names if not schema.is_embedding(name))

    @property
    def optional(self) -> tuple[str, ...]:
        """Scalars that may be missing or have errors, U."""
        return tuple(name for name in self.scalars if name != self.time)

    @property
    def optional_columns(self) -> list[int]:
        """Columns of the optional scalars among the inputs."""
        return [self.names.index(name) for name in self.optional]

    @property
    def has_embedding(self) -> bool:
        """Whether the model takes an embedding."""
        return len(self.scalars) < len(self.names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the inputs: values, then errors."""
        return (*self.names, *(schema.ERROR_PREFIX + name for name in self.optional))

    @property
    def num_features(self) -> int:
        """Numbers a network sees: means, deviations, and whether the embedding is missing."""
        return len(self.inputs) + self.has_embedding

    def raw_values(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scalars (N, S) and their errors (N, S) as the maps take them.

        Errors are infinite where nothing was measured.
        """
        self._demand_width(inputs, self.inputs, "inputs")
        inputs = np.asarray(inputs, dtype=float)
        maps = self.observables[: len(self.scalars)]
        columns = map(ObservableMap.raw, maps, inputs.T)
        values = np.stack(list(columns), 1)

        # Errors of logarithms are in dex, the maps take natural logarithms.
        optional = self.optional_columns
        factors = np.array([1.0 / maps[column].unit for column in optional])
        is_log = [maps[column].is_log for column in optional]
        factors[is_log] = math.log(10.0)
        stated = inputs[:, len(self.names) :]
        errors = np.zeros_like(values)  # the time has none
        errors[:, optional] = stated * factors

        is_missing = np.isnan(values) | np.isnan(errors)
        return values, np.where(is_missing, np.inf, errors)

    def measured(
        self, inputs: np.ndarray, correlation: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scalars (N, S), their errors (N, S), and covariances of these where they need any."""
        values, errors = self.raw_values(inputs)
        law = self.mass_law
        if correlation is None and law is None:
            return values, errors, None
        noise = error_covariance(errors, self.optional_columns, correlation)
        values = self.prior.leading(len(self.scalars)).clipped(values)
        if law is not None:
            values, noise = law.equivalent(self.prior, values, noise)
        return values, errors, noise

    def embeddings(self, inputs: np.ndarray) -> np.ndarray:
        """Embeddings (N, E); NaN as a whole where a component is missing."""
        vectors = np.array(inputs[:, self._embedding], dtype=float)
        is_missing = np.isnan(vectors).any(1)
        vectors[is_missing] = np.nan
        return vectors

    def is_measured(self, inputs: np.ndarray) -> np.ndarray:
        """Which of the optional scalars, and after them the embedding, objects have, (N, B)."""
        _, errors = self.raw_values(inputs)
        scalars: np.ndarray = np.isfinite(errors[:, self.optional_columns])
        if not self.has_embedding:
            return scalars
        is_finite = np.isfinite(self.embeddings(inputs))
        return np.column_stack([scalars, is_finite.all(1)])

    def without(self, inputs: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
        """Inputs without what a mask (N, B) or (B,) leaves out, in the order of ``is_measured``."""
        result = np.array(inputs, dtype=float)
        width = len(self.optional) + self.has_embedding
        is_left_out = ~np.broadcast_to(is_kept, (len(inputs), width))  # (N, B)
        for number, column in enumerate(self.optional_columns):
            result[is_left_out[:, number], column] = np.nan
        if self.has_embedding:
            result[is_left_out[:, -1], self._embedding] = np.nan
        return result

    def scalar_prior(
        self, prior: ObservablePrior, inputs: np.ndarray
    ) -> ObservablePrior:
        """Gaussian of the scalars of each object, given its embedding where it has one."""
        if not self.has_embedding:
            return prior
        vectors = self.embeddings(inputs)
        is_missing = np.isnan(vectors[:, :1])  # (N, 1)
        marginal = prior.leading(len(self.scalars))
        conditional = prior.leading_given(vectors)
        mean = np.where(is_missing, marginal.mean, conditional.mean)  # (N, S)
        covariance = np.where(
            is_missing[:, :, None], marginal.covariance, conditional.covariance
        )  # (N, S, S)
        return ObservablePrior(mean, covariance)

    def without_embedding(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs of the scalars alone."""
        result = np.array(inputs, dtype=float)
        result[:, self._embedding] = np.nan
        return result

    def condition(
        self, inputs: np.ndarray, correlation: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, S + E) of the true observables and covariance (N, S, S) of the scalars.

        Errors may be correlated, with coefficients (N, U, U).
        """
        prior = self.scalar_prior(self.prior, inputs)
        measured = self.measured(inputs, correlation)
        mean, covariance = prior.condition(*measured)
        if not self.has_embedding:
            return mean, covariance
        # A missing embedding is replaced by its expectation given the scalars.
        vectors = self.embeddings(inputs)
        expected = self.prior.trailing_given(mean)
        filled = np.where(np.isnan(vectors), expected, vectors)
        return np.hstack([mean, filled]), covariance

    def mahalanobis(
        self, prior: ObservablePrior, inputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (N,) of objects from a Gaussian, and degrees of freedom (N,)."""
        scalars = self.scalar_prior(prior, inputs)
        squared, degrees = scalars.mahalanobis(*self.raw_values(inputs))
        if not self.has_embedding:
            return squared, degrees
        # d^2(scalars, embedding) = d^2(scalars | embedding) + d^2(embedding)
        marginal = prior.trailing(len(self.scalars))
        offset = self.embeddings(inputs) - marginal.mean
        precision = np.linalg.inv(marginal.covariance)
        products = offset @ precision * offset
        of_embedding = products.sum(1)

        # A missing embedding adds neither distance nor degrees of freedom.
        is_missing = np.isnan(of_embedding)
        num_components = np.where(is_missing, 0, offset.shape[1])
        of_embedding[is_missing] = 0.0
        return squared + of_embedding, degrees + num_components

    def is_usable(self, inputs: np.ndarray) -> Tensor:
        """Whether a row can be answered, (N,): the time is measured, and no error is negative."""
        values, errors = self.raw_values(inputs)
        is_valid = ~np.isinf(values) & (errors >= 0.0)
        is_usable = is_valid.all(1)
        is_infinite = np.isinf(self.embeddings(inputs))
        is_usable &= ~is_infinite.any(1)
        if self.time in self.scalars:
            times = values[:, self.scalars.index(self.time)]
            is_usable &= np.isfinite(times)
        return torch.from_numpy(is_usable) & ~self.is_before_record(inputs)

    def standardise_inputs(self, inputs: np.ndarray) -> Tensor:
        """Turn values and errors (N, len(inputs)) into the features (N, F) of a network, float64.

        They are the standardised means of all observables, the standard deviations of the optional
        scalars, and one indicator of a missing embedding.
        """
        mean, covariance = self.condition(inputs)
        x = self._standardised(mean)  # (N, S + E)

        # diag(A C A^T), the variances of the features A v; rounding may take one below zero.
        matrix = self.matrix[self.optional_columns, : len(self.scalars)]
        products = matrix @ covariance * matrix  # (N, U, S)
        variance = products.sum(-1)
        deviations = np.sqrt(np.maximum(variance, 0.0))

        features = [x, deviations]
        if self.has_embedding:
            has_embedding = self.is_measured(inputs)[:, -1:]
            features.append(~has_embedding)
        return torch.from_numpy(np.concatenate(features, 1))

    def num_clipped(self, inputs: np.ndarray) -> np.ndarray:
        """Count the observables of each row that lie beyond what was trained on, (N,)."""
        mean, _ = self.condition(inputs)
        x = self._standardised(mean)
        is_clipped = np.abs(x) >= self._clip
        counts: np.ndarray = is_clipped.sum(1)
        return counts

    def anchors(self, inputs: np.ndarray) -> Tensor:
        """What each target is measured from at each row, (N, D): ages, and conditional masses."""
        prior = self.scalar_prior(self.prior, inputs)
        mean = prior.conditional_mean(*self.measured(inputs))  # (N, S)
        filled = np.array(inputs, dtype=float)
        self._put_scalars(filled, mean)
        return super().anchors(filled)

    def augment(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Mask observables and add noise, stating its standard deviation among the errors.

        Noise is drawn log-uniformly between 0.01 and 1 dex; in columns that are no logarithms, a
        dex is three standard deviations of the training clusters. What is missing stays missing.
        """
        num_rows = len(inputs)
        is_mass = np.array([name == self.schema.mass for name in self.optional])
        is_kept = draw_masks(num_rows, is_mass, rng)
        errors = draw_errors(num_rows, self._error_units, rng)
        noise = errors * rng.standard_normal(errors.shape)
        noisy = self._noisy(inputs, errors, noise)
        if self.has_embedding:
            has_embedding = rng.random(num_rows) < EMBEDDING_SHARE
            is_kept = np.column_stack([is_kept, has_embedding])
        return self.without(noisy, is_kept)

    def sample_values(
        self,
        inputs: np.ndarray,
        noise: np.ndarray,
        correlation: np.ndarray | None = None,
    ) -> np.ndarray:
        """Turn Gaussian noise (N, S) into true scalars given the measured ones, as exact inputs."""
        mean, covariance = self.condition(inputs, correlation)
        # Exact values leave the covariance singular: an eigendecomposition bears that, a Cholesky
        # factor does not; rounding may take an eigenvalue below zero.
        eigenvalues, vectors = np.linalg.eigh(covariance)
        deviations = np.sqrt(np.maximum(eigenvalues, 0.0))
        scaled = deviations * noise
        scatter = np.einsum("nij,nj->ni", vectors, scaled)
        values = mean[:, : len(self.scalars)] + scatter
        embeddings = self.embeddings(inputs)
        return self.exact_inputs(values, embeddings)

    def exact_inputs(self, values: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """Inputs (N, len(inputs)), without errors, of scalars (N, S) as the maps take them."""
        result = np.zeros((len(values), len(self.inputs)))
        self._put_scalars(result, values)
        result[:, self._embedding] = embeddings
        return result

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        mean = self.prior.mean.tolist()
        covariance = self.prior.covariance.tolist()
        maps = super().to_dict()
        return {**maps, "prior": {"mean": mean, "covariance": covariance}}

    @property
    def _embedding(self) -> slice:
        """Columns of the embedding among the inputs."""
        return slice(len(self.scalars), len(self.names))

    @property
    def _clip(self) -> np.ndarray:
        return np.array([observable.clip for observable in self.observables])

    @property
    def mass_law(self) -> MassPrior | None:
        """Prior of the masses that was asked for in place of the training clusters'."""
        mass = self.schema.mass
        if self.mass_prior is None or mass not in self.optional:
            return None
        column = self.scalars.index(mass)
        slope = slope_as_mapped(self.mass_prior, self.observables[column])
        time = self.scalars.index(self.time) if self.time in self.scalars else None
        return MassPrior(slope, column, time)

    @property
    def _error_units(self) -> np.ndarray:
        """Largest error drawn for each optional scalar, in the unit of its error, (U,)."""
        variance = np.diag(self.prior.covariance)
        spreads = SPREADS_A_DEX * np.sqrt(variance)
        units = np.ones(len(self.optional))
        for number, column in enumerate(self.optional_columns):
            entry = self.observables[column]
            unit = self.schema.column(entry.name).unit
            is_in_dex = entry.is_log or unit.startswith("log10")
            if not is_in_dex:
                units[number] = spreads[column] * entry.unit
        return units

    def shifted(self, inputs: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Inputs with optional scalars changed by (N, U), in the unit of their errors."""
        result = np.array(inputs, dtype=float)
        for column, shift in zip(self.optional_columns, change.T, strict=True):
            if self.observables[column].is_log:
                result[:, column] *= 10.0**shift  # in dex
            else:
                result[:, column] += shift
        return result

    def _noisy(
        self, inputs: np.ndarray, errors: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Inputs with noise (N, U) added, and its standard deviations (N, U) stated."""
        result = self.shifted(inputs, noise)
        # Errors that were there already add up in quadrature.
        stated = result[:, len(self.names) :]
        np.hypot(stated, errors, out=stated)
        return result

    def _put_scalars(self, inputs: np.ndarray, values: np.ndarray) -> None:
        """Write scalars (N, S), as the maps take them, into inputs in catalogue units."""
        for column in range(len(self.scalars)):
            entry = self.observables[column]
            inputs[:, column] = entry.value(values[:, column])

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        """Features x (N, L) of observables (N, L) as the maps take them."""
        shifts = [entry.shift / entry.scale for entry in self.observables]
        diagonal = np.diag(self.matrix)
        references = self.matrix - np.diag(diagonal)
        # column by column: a row does not depend on the number of rows
        x = values * diagonal - np.array(shifts)
        for row, column in np.argwhere(references):
            x[:, row] += references[row, column] * values[:, column]
        clipped: np.ndarray = np.clip(x, -self._clip, self._clip)
        return clipped

    @property
    def matrix(self) -> np.ndarray:
        """Linear part (L, L) of the map to x: scaling, and differences to reference columns."""
        width = len(self.names)
        matrix = np.zeros((width, width))
        for row, observable in enumerate(self.observables):
            slope = 1.0 / observable.scale
            matrix[row, row] = slope
            if observable.relative_to is not None:
                reference = self.names.index(observable.relative_to)
                matrix[row, reference] -= slope * self.observables[reference].unit
        return matrix
