"""Observables that may be missing or have errors: what is known of the true values, and how a network is told.

True values v of an object (logarithms, as the observable maps take them) scatter about those of the
training clusters, v ~ N(mean, C). A catalogue gives o = v + N(0, R) of some of them; what is then
known of v is a Gaussian again. The network sees its mean, and its standard deviations. So an error
of zero is the measured value itself, an infinite error is a missing value, and everything between
is continuous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError

LARGEST_ERROR = 1.0
"""Largest error drawn in training [dex]; beyond it a value is as good as missing."""
SMALLEST_ERROR = 0.01
EXACT_SHARE, WHOLE_SHARE, MASS_ONLY_SHARE = 0.3, 0.3, 0.1
"""Shares of training rows without errors, with all observables, and with mass and time only."""


@dataclass(frozen=True)
class ObservablePrior:
    """Gaussian of the true values of observables in training clusters.

    Args:
        mean: (L,).
        covariance: (L, L), positive definite.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def condition(self, values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is known of the true values.

        Args:
            values: (N, L); NaN where nothing was measured.
            errors: Standard errors, (N, L); infinite where nothing was measured.

        Returns:
            Mean (N, L) and covariance (N, L, L) of v given the measured values.

        References:
            Rodgers 2000, Inverse methods for atmospheric sounding, eq. 2.45 (the linear Gaussian
            case).
        """
        seen, total, offset = self._measured(values, errors)
        crossed = self.covariance * seen[:, None, :]  # of all true values with those measured
        gain = np.linalg.solve(total, crossed.transpose(0, 2, 1)).transpose(0, 2, 1)
        mean = self.mean + np.einsum("nlk,nk->nl", gain, offset)
        covariance = self.covariance - gain @ crossed.transpose(0, 2, 1)
        exact = seen & (errors == 0.0)  # to the last bit
        return np.where(exact, values, mean), np.where(
            exact[:, :, None] | exact[:, None, :], 0.0, covariance
        )

    def mahalanobis(self, values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared Mahalanobis distance of what was measured from the training clusters, errors included.

        Args:
            values: As for ``given``.
            errors: As for ``given``.

        Returns:
            Distances (N,) and how many values were measured, (N,): degrees of freedom.
        """
        seen, total, offset = self._measured(values, errors)
        solved = np.linalg.solve(total, offset[:, :, None])[:, :, 0]
        return np.einsum("nl,nl->n", offset, solved), seen.sum(1)

    def _measured(
        self, values: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What was measured (N, L), its covariance (N, L, L), and its offset from the mean (N,
        L), zero elsewhere.
        """
        seen = np.isfinite(values) & np.isfinite(errors)
        variance = np.where(seen, errors, 1.0) ** 2
        both = seen[:, :, None] & seen[:, None, :]
        total = np.where(both, self.covariance, 0.0) + variance[:, :, None] * np.eye(len(self.mean))
        return seen, total, np.where(seen, values - self.mean, 0.0)


@dataclass(frozen=True)
class MeasurementTransforms(Transforms):
    """Transforms of a model that takes any subset of its observables, with any errors.

    Inputs are the observables, then ``sigma_<name>`` of each but the lookback time; a value that is
    NaN is missing.

    Args:
        prior: Gaussian of the true values.
    """

    prior: ObservablePrior

    @property
    def accepts_missing(self) -> bool:
        """Whether observables may be missing or have errors."""
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """The observables, in order."""
        return tuple(observable.name for observable in self.observables)

    @property
    def optional(self) -> tuple[str, ...]:
        """Those that may be missing or have errors."""
        return tuple(name for name in self.names if name != schema.LOOKBACK)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the inputs: values, then errors."""
        return (*self.names, *(schema.ERROR_PREFIX + name for name in self.optional))

    @property
    def num_features(self) -> int:
        """Numbers a network sees: means and standard deviations."""
        return len(self.inputs)

    def condition(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, L) and covariance (N, L, L) of the true values, as logarithms."""
        return self.prior.condition(*self.raw_values(inputs))

    def raw_values(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, L) and errors (N, L) as logarithms; infinite errors where nothing was
        measured.
        """
        self._demand_width(inputs, self.inputs, "inputs")
        inputs = np.asarray(inputs, dtype=float)
        values = np.stack(
            [_logged(m, column) for m, column in zip(self.observables, inputs.T, strict=False)], 1
        )
        errors = np.zeros_like(values)
        places = [self.names.index(name) for name in self.optional]
        units = [math.log(10.0) if self.observables[place].is_log else 1.0 for place in places]
        errors[:, places] = inputs[:, len(self.names) :] * units
        return values, np.where(np.isnan(values) | np.isnan(errors), np.inf, errors)

    def is_usable(self, inputs: np.ndarray) -> Tensor:
        """Whether a row can be answered, (N,): the time is known, and no error is negative."""
        values, errors = self.raw_values(inputs)
        fine = ~np.isinf(values) & (errors >= 0.0)
        fine[:, self.names.index(schema.LOOKBACK)] &= np.isfinite(
            values[:, self.names.index(schema.LOOKBACK)]
        )
        return torch.from_numpy(fine.all(1))

    def standardise_inputs(self, inputs: np.ndarray) -> Tensor:
        """Turn catalogue values and errors (N, len(inputs)) into means and deviations (N,
        num_features), float64.
        """
        mean, covariance = self.condition(inputs)
        matrix, shift, clip = self._matrix()
        x = np.clip(mean @ matrix.T + shift, -clip, clip)
        variance = np.einsum("ij,njk,ik->ni", matrix, covariance, matrix)
        places = [self.names.index(name) for name in self.optional]
        return torch.from_numpy(
            np.concatenate([x, np.sqrt(np.maximum(variance[:, places], 0.0))], 1)
        )

    def num_clipped(self, inputs: np.ndarray) -> np.ndarray:
        """Count the measured observables of each row that lie beyond what was trained on, (N,)."""
        mean, _ = self.condition(inputs)
        matrix, shift, clip = self._matrix()
        return np.asarray((np.abs(mean @ matrix.T + shift) >= clip).sum(1))

    def anchors(self, inputs: np.ndarray) -> Tensor:
        """What each target is measured from at each row, (N, D): ages, and the mean of what is
        known of a mass.
        """
        mean, _ = self.condition(inputs)
        filled = np.array(inputs, dtype=float)
        for place, observable in enumerate(self.observables):
            filled[:, place] = np.exp(mean[:, place]) if observable.is_log else mean[:, place]
        return super().anchors(filled)

    def augment(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return true values as a catalogue may have them: some missing, some with errors, told
        beside them.
        """
        result, num, width = np.array(inputs, dtype=float), len(inputs), len(self.optional)
        kept = rng.random((num, width)) < rng.random((num, 1))
        kind = rng.random(num)
        kept[kind < WHOLE_SHARE] = True
        if schema.MASS in self.optional:
            only = np.arange(width) == self.optional.index(schema.MASS)
            kept[(kind >= WHOLE_SHARE) & (kind < WHOLE_SHARE + MASS_ONLY_SHARE)] = only
        spread = np.log(LARGEST_ERROR / SMALLEST_ERROR) * rng.random((num, width)) + np.log(
            SMALLEST_ERROR
        )
        errors = (
            np.exp(spread)
            * (rng.random((num, width)) < rng.random((num, 1)))
            * (rng.random((num, 1)) >= EXACT_SHARE)
        )
        noise = errors * rng.standard_normal((num, width))
        for column, name in enumerate(self.optional):
            place = self.names.index(name)
            observable = self.observables[place]
            value = result[:, place]
            moved = (
                value * 10.0 ** noise[:, column] if observable.is_log else value + noise[:, column]
            )
            result[:, place] = np.where(kept[:, column], moved, np.nan)
        result[:, len(self.names) :] = np.where(kept, errors, 0.0)
        return result

    def sample_values(self, inputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Turn Gaussian noise (N, L) into true values given what was measured: inputs, exact and
        complete.
        """
        mean, covariance = self.condition(inputs)
        values, vectors = np.linalg.eigh(covariance)
        return self.exact_inputs(
            mean + np.einsum("nij,nj->ni", vectors, np.sqrt(np.maximum(values, 0.0)) * noise)
        )

    def exact_inputs(self, logs: np.ndarray) -> np.ndarray:
        """Inputs (N, len(inputs)) of true values that are given as logarithms (N, L): exact and
        complete.
        """
        result = np.zeros((len(logs), len(self.inputs)))
        for place, observable in enumerate(self.observables):
            result[:, place] = np.exp(logs[:, place]) if observable.is_log else logs[:, place]
        return result

    def _matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The linear map x = matrix v + shift, and its limits."""
        matrix, shift = np.zeros((len(self.names),) * 2), np.zeros(len(self.names))
        for place, observable in enumerate(self.observables):
            matrix[place, place] = 1.0 / observable.scale
            if observable.relative_to is not None:
                matrix[place, self.names.index(observable.relative_to)] -= 1.0 / observable.scale
            shift[place] = -observable.shift / observable.scale
        return matrix, shift, np.array([observable.clip for observable in self.observables])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        prior = {"mean": self.prior.mean.tolist(), "covariance": self.prior.covariance.tolist()}
        return {**super().to_dict(), "prior": prior}


def read_transforms(values: Mapping[str, Any]) -> Transforms:
    """Inverse of ``to_dict`` for transforms of either kind."""
    plain = Transforms.from_dict(values)
    if "prior" not in values:
        return plain
    prior = ObservablePrior(
        *(np.array(values["prior"][name], dtype=float) for name in ("mean", "covariance"))
    )
    return MeasurementTransforms(plain.observables, plain.targets, prior)


def accept_missing_values(
    transforms: Transforms, columns: Mapping[str, np.ndarray]
) -> MeasurementTransforms:
    """Let a model take any subset of its observables and any errors.

    R500 is left out: it is a function of mass and time, and an error of one would contradict the
    other.

    Args:
        transforms: Fitted on the training rows.
        columns: Observables of the training rows by name, (N,) each.

    Raises:
        DataError: If the lookback time is no observable.
    """
    kept = tuple(one for one in transforms.observables if one.name != schema.RADIUS)
    if schema.LOOKBACK not in [one.name for one in kept]:
        raise DataError(
            "observables", f"'{schema.LOOKBACK}' among them, since any other may be missing", "none"
        )
    values = np.stack([_logged(one, np.asarray(columns[one.name], dtype=float)) for one in kept], 1)
    prior = ObservablePrior(values.mean(0), np.cov(values.T))
    return MeasurementTransforms(kept, transforms.targets, prior)


def _logged(entry: ObservableMap, value: np.ndarray) -> np.ndarray:
    """A value as its map takes it: the logarithm of what stands in the catalogue, where the map
    takes one.
    """
    if not entry.is_log:
        return value
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.maximum(value, entry.floor)))
