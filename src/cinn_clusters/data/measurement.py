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
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.gaussian import ObservablePrior, fit_prior
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.files import JsonObject

LARGEST_ERROR = 1.0
"""Largest error drawn in training [dex]; beyond it a value is as good as missing."""
SMALLEST_ERROR = 0.01
SPREADS_A_DEX = 3.0
"""Standard deviations of the training clusters that stand for a dex, in columns without one."""
EXACT_SHARE, WHOLE_SHARE, MASS_ONLY_SHARE = 0.3, 0.3, 0.1
"""Shares of training rows without errors, with all observables, and with mass and time only."""
EMBEDDING_SHARE = 0.5
"""Share of training rows that keep their embedding."""


@dataclass(frozen=True, eq=False)
class MeasurementTransforms(Transforms):
    """Transforms of a model that takes any subset of its observables, with any errors.

    Inputs are the scalars, the components of an embedding where the model has one, then
    ``sigma_<name>`` of each scalar but the lookback time. A value that is NaN is missing, and an
    embedding is missing as a whole. A ``sigma_<name>`` is in dex for logarithms and for positive
    quantities that are taken as logarithms, in the unit of the column otherwise.

    Args:
        prior: Gaussian of the true observables.
    """

    prior: ObservablePrior

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
        num_scalars = len(self.scalars)
        maps = self.observables[:num_scalars]
        columns = [_raw(entry, inputs[:, i]) for i, entry in enumerate(maps)]
        values = np.stack(columns, 1)
        errors = np.zeros_like(values)
        factors = [
            math.log(10.0) if maps[i].is_log else 1.0 for i in self._optional_columns
        ]
        errors[:, self._optional_columns] = inputs[:, len(self.names) :] * factors
        return values, np.where(np.isnan(values) | np.isnan(errors), np.inf, errors)

    def embeddings(self, inputs: np.ndarray) -> np.ndarray:
        """Embeddings (N, E); NaN as a whole where a component is missing."""
        vectors = np.array(inputs[:, self._embedding], dtype=float)
        vectors[np.isnan(vectors).any(1)] = np.nan
        return vectors

    def is_measured(self, inputs: np.ndarray) -> np.ndarray:
        """Which of the optional scalars, and after them the embedding, objects have, (N, B)."""
        _, errors = self.raw_values(inputs)
        scalars: np.ndarray = np.isfinite(errors[:, self._optional_columns])
        if not self.has_embedding:
            return scalars
        return np.column_stack([scalars, np.isfinite(self.embeddings(inputs)).all(1)])

    def without(self, inputs: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
        """Inputs without what a mask (N, B) or (B,) leaves out, in the order of ``is_measured``."""
        result = np.array(inputs, dtype=float)
        mask = np.broadcast_to(
            is_kept, (len(inputs), len(self.optional) + self.has_embedding)
        )
        for number, column in enumerate(self._optional_columns):
            result[~mask[:, number], column] = np.nan
        if self.has_embedding:
            result[~mask[:, -1], self._embedding] = np.nan
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
        mean = np.where(is_missing, marginal.mean, conditional.mean)
        covariance = np.where(
            is_missing[:, :, None], marginal.covariance, conditional.covariance
        )
        return ObservablePrior(mean, covariance)

    def without_embedding(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs of the scalars alone."""
        result = np.array(inputs, dtype=float)
        result[:, self._embedding] = np.nan
        return result

    def condition(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, S + E) of the true observables and covariance (N, S, S) of the scalars."""
        prior = self.scalar_prior(self.prior, inputs)
        mean, covariance = prior.condition(*self.raw_values(inputs))
        if not self.has_embedding:
            return mean, covariance
        vectors, expected = self.embeddings(inputs), self.prior.trailing_given(mean)
        vectors = np.where(np.isnan(vectors), expected, vectors)
        return np.hstack([mean, vectors]), covariance

    def mahalanobis(
        self, prior: ObservablePrior, inputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (N,) of objects from a Gaussian, and degrees of freedom (N,)."""
        scalars = self.scalar_prior(prior, inputs)
        squared, degrees = scalars.mahalanobis(*self.raw_values(inputs))
        if not self.has_embedding:
            return squared, degrees
        marginal = prior.trailing(len(self.scalars))
        offset = self.embeddings(inputs) - marginal.mean
        of_embedding = (offset @ np.linalg.inv(marginal.covariance) * offset).sum(1)
        is_missing = np.isnan(of_embedding)
        num_components = np.where(is_missing, 0, offset.shape[1])
        return squared + np.where(
            is_missing, 0.0, of_embedding
        ), degrees + num_components

    def is_usable(self, inputs: np.ndarray) -> Tensor:
        """Whether a row can be answered, (N,): the time is measured, and no error is negative."""
        values, errors = self.raw_values(inputs)
        is_valid = ~np.isinf(values) & (errors >= 0.0)
        is_valid &= ~np.isinf(self.embeddings(inputs)).any(1)[:, None]
        if self.time in self.scalars:
            is_valid &= np.isfinite(values[:, [self.scalars.index(self.time)]])
        return torch.from_numpy(is_valid.all(1))

    def standardise_inputs(self, inputs: np.ndarray) -> Tensor:
        """Turn values and errors (N, len(inputs)) into the features (N, F) of a network, float64.

        They are the standardised means of all observables, the standard deviations of the optional
        scalars, and one indicator of a missing embedding.
        """
        mean, covariance = self.condition(inputs)
        matrix = self._matrix()[self._optional_columns, : len(self.scalars)]
        variance = (matrix @ covariance * matrix).sum(-1)
        features = [self._standardised(mean), np.sqrt(np.maximum(variance, 0.0))]
        if self.has_embedding:
            features.append(~self.is_measured(inputs)[:, -1:])
        return torch.from_numpy(np.concatenate(features, 1))

    def num_clipped(self, inputs: np.ndarray) -> np.ndarray:
        """Count the observables of each row that lie beyond what was trained on, (N,)."""
        mean, _ = self.condition(inputs)
        x = self._standardised(mean)
        return np.asarray((np.abs(x) >= self._clip).sum(1))

    def anchors(self, inputs: np.ndarray) -> Tensor:
        """What each target is measured from at each row, (N, D): ages, and conditional masses."""
        prior, num_scalars = self.scalar_prior(self.prior, inputs), len(self.scalars)
        mean = prior.conditional_mean(*self.raw_values(inputs))
        filled = np.array(inputs, dtype=float)
        for column, entry in enumerate(self.observables[:num_scalars]):
            filled[:, column] = _value(entry, mean[:, column])
        return super().anchors(filled)

    def augment(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Mask observables and add noise, stating its standard deviation among the errors.

        Noise is drawn log-uniformly between 0.01 and 1 dex; in columns that are no logarithms, a
        dex is three standard deviations of the training clusters. What is missing stays missing.
        """
        is_kept = self._draw_masks(len(inputs), rng)
        errors = self._draw_errors(len(inputs), rng)
        noise = errors * rng.standard_normal(errors.shape)
        result = self._noisy(inputs, errors, noise)
        if self.has_embedding:
            has_embedding = rng.random(len(inputs)) < EMBEDDING_SHARE
            is_kept = np.column_stack([is_kept, has_embedding])
        return self.without(result, is_kept)

    def _draw_masks(self, num_rows: int, rng: np.random.Generator) -> np.ndarray:
        """Which optional scalars rows keep, (N, U): any number, all, or the mass alone."""
        shape = (num_rows, len(self.optional))
        share = rng.random((num_rows, 1))
        is_kept = rng.random(shape) < share
        kind = rng.random(num_rows)
        is_kept[kind < WHOLE_SHARE] = True
        if self.schema.mass in self.optional:
            is_mass = np.array(self.optional) == self.schema.mass
            is_kept[kind >= 1.0 - MASS_ONLY_SHARE] = is_mass
        return is_kept

    def _draw_errors(self, num_rows: int, rng: np.random.Generator) -> np.ndarray:
        """Standard deviations of noise (N, U), log-uniform or zero, in the units of the errors."""
        shape = (num_rows, len(self.optional))
        share = rng.random((num_rows, 1))
        share[rng.random(num_rows) < EXACT_SHARE] = 0.0
        has_error = rng.random(shape) < share
        decades = math.log10(LARGEST_ERROR / SMALLEST_ERROR) * rng.random(shape)
        errors = SMALLEST_ERROR * 10.0**decades
        return np.where(has_error, errors * self._error_units, 0.0)

    def sample_values(self, inputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Turn Gaussian noise (N, S) into true scalars given the measured ones, as exact inputs."""
        mean, covariance = self.condition(inputs)
        eigenvalues, vectors = np.linalg.eigh(covariance)
        scaled = np.sqrt(np.maximum(eigenvalues, 0.0)) * noise
        scatter = np.einsum("nij,nj->ni", vectors, scaled)
        values = mean[:, : len(self.scalars)] + scatter
        return self.exact_inputs(values, self.embeddings(inputs))

    def exact_inputs(self, values: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """Inputs (N, len(inputs)), without errors, of scalars (N, S) as the maps take them."""
        result = np.zeros((len(values), len(self.inputs)))
        for column in range(len(self.scalars)):
            result[:, column] = _value(self.observables[column], values[:, column])
        result[:, self._embedding] = embeddings
        return result

    def to_dict(self) -> JsonObject:
        """Plain values for JSON."""
        prior = {
            "mean": self.prior.mean.tolist(),
            "covariance": self.prior.covariance.tolist(),
        }
        return {**super().to_dict(), "prior": prior}

    @property
    def _embedding(self) -> slice:
        """Columns of the embedding among the inputs."""
        return slice(len(self.scalars), len(self.names))

    @property
    def _clip(self) -> np.ndarray:
        return np.array([observable.clip for observable in self.observables])

    @property
    def _optional_columns(self) -> list[int]:
        return [self.names.index(name) for name in self.optional]

    @property
    def _error_units(self) -> np.ndarray:
        """Largest error drawn for each optional scalar, in the unit of its error, (U,)."""
        spreads = np.sqrt(np.diag(self.prior.covariance))
        units = np.ones(len(self.optional))
        for number, column in enumerate(self._optional_columns):
            entry = self.observables[column]
            if not (
                entry.is_log or self.schema.column(entry.name).unit.startswith("log10")
            ):
                units[number] = SPREADS_A_DEX * spreads[column]
        return units

    def _noisy(
        self, inputs: np.ndarray, errors: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Inputs with noise (N, U) added, and its standard deviations (N, U) stated."""
        result = np.array(inputs, dtype=float)
        for number, column in enumerate(self._optional_columns):
            if self.observables[column].is_log:
                result[:, column] *= 10.0 ** noise[:, number]
            else:
                result[:, column] += noise[:, number]
        result[:, len(self.names) :] = np.hypot(result[:, len(self.names) :], errors)
        return result

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        """Features x (N, L) of observables (N, L) as the maps take them."""
        shift = np.array(
            [observable.shift / observable.scale for observable in self.observables]
        )
        x = values @ self._matrix().T - shift
        return np.asarray(np.clip(x, -self._clip, self._clip))

    def _matrix(self) -> np.ndarray:
        """Linear part (L, L) of the map to x: scaling, and differences to reference columns."""
        matrix = np.zeros((len(self.names),) * 2)
        for row, observable in enumerate(self.observables):
            matrix[row, row] = 1.0 / observable.scale
            if observable.relative_to is not None:
                matrix[row, self.names.index(observable.relative_to)] -= (
                    1.0 / observable.scale
                )
        return matrix


def read_transforms(values: JsonObject) -> Transforms:
    """Inverse of ``to_dict`` for transforms of either kind."""
    transforms = Transforms.from_dict(values)
    if "prior" not in values:
        return transforms
    mean, covariance = (
        np.array(values["prior"][name]) for name in ("mean", "covariance")
    )
    prior = ObservablePrior(mean, covariance)
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
    has_age = any(target.bijection == "age" for target in transforms.targets)
    if has_age and transforms.time not in names:
        expected = f"'{transforms.time}' among them, since any other may be missing"
        raise DataError("observables", expected, "none")
    values = [
        _raw(entry, np.asarray(columns[entry.name], dtype=float)) for entry in used
    ]
    prior = fit_prior(np.stack(values, 1))
    return MeasurementTransforms(
        tuple(used), transforms.targets, prior, schema=transforms.schema
    )


def _raw(entry: ObservableMap, value: np.ndarray) -> np.ndarray:
    """A column as its map takes it: its logarithm, where the map takes one."""
    if not entry.is_log:
        return value
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.maximum(value, entry.floor)))


def _value(entry: ObservableMap, raw: np.ndarray) -> np.ndarray:
    """Inverse of ``_raw``."""
    return np.exp(raw) if entry.is_log else raw
