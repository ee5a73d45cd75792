"""Where a model was trained, and whether an object lies there (whether a sample does:
``reference.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from cinn_clusters.data.measurement import MeasurementTransforms, ObservablePrior

ALARM = 0.99
"""Percentile among training clusters beyond which an object is flagged."""
GRID = np.linspace(0.0, 1.0, 101)
MAX_SUBSETS = 256
"""Subsets of the observables whose distances are told apart; of more observables than that, all
are taken as one."""
NUM_DOUBTED = 1000
"""Training rows on which the disagreement of members is looked at."""


@dataclass(frozen=True)
class Domain:
    """What training clusters look like.

    Args:
        lower: Smallest value of each observable, as its map takes it, (L,).
        upper: Largest, (L,).
        robust: Gaussian of the bulk of them.
        distances: Quantiles at ``GRID`` of -log10 p of their squared distances in each subset of
            the uncertain observables, (2^U, Q); observable j is in the subsets whose number holds
            2^j.
        disagreements: Quantiles at ``GRID`` of the disagreement of members on them [nats], given
            each subset, (2^U, Q).
    """

    lower: np.ndarray
    upper: np.ndarray
    robust: ObservablePrior
    distances: np.ndarray
    disagreements: np.ndarray

    def strangeness(self, transforms: MeasurementTransforms, inputs: np.ndarray) -> np.ndarray:
        """Percentile of the robust Mahalanobis distance among training clusters, errors and gaps
        allowed for, (N,).
        """
        surprise = _surprise(self.robust, transforms, inputs)
        return _percentile(surprise, self.distances, _subset(transforms, inputs))

    def doubt(
        self, transforms: MeasurementTransforms, inputs: np.ndarray, disagreement: np.ndarray
    ) -> np.ndarray:
        """Percentile of the disagreement of members among training clusters of which the same is
        known, (N,).
        """
        return _percentile(disagreement, self.disagreements, _subset(transforms, inputs))

    def reasons(
        self, transforms: MeasurementTransforms, inputs: np.ndarray, disagreement: np.ndarray
    ) -> list[list[str]]:
        """Say of each object why the model may not apply to it.

        Args:
            transforms: Those of the model.
            inputs: Values and errors, (N, len(transforms.inputs)).
            disagreement: Of the members of the ensemble [nats], (N,).

        Returns:
            N lists, empty where all is well.
        """
        values, errors = transforms.raw_values(inputs)
        found: list[list[str]] = [[] for _ in inputs]
        for place, observable in enumerate(transforms.observables):
            lower, upper = self.lower[place], self.upper[place]
            width = 2.0 * np.where(np.isfinite(errors[:, place]), errors[:, place], 0.0)
            for rows, side, limit in (
                (values[:, place] - width > upper, "above", upper),
                (values[:, place] + width < lower, "below", lower),
            ):
                shown = math.exp(limit) if observable.is_log else limit
                for row in np.flatnonzero(rows):
                    told = f"{observable.name} {side} all training clusters ({inputs[row, place]:.4g}; limit {shown:.4g})"
                    found[row].append(told)
        for row in np.flatnonzero(self.strangeness(transforms, inputs) > ALARM):
            found[row].append(
                f"observables unlike {ALARM:.0%} of the training clusters taken together"
            )
        for row in np.flatnonzero(self.doubt(transforms, inputs, disagreement) > ALARM):
            found[row].append(
                f"members of the ensemble disagree more than on {ALARM:.0%} of the training clusters"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {
            name: getattr(self, name).tolist()
            for name in ("lower", "upper", "distances", "disagreements")
        }
        return {
            **plain,
            "mean": self.robust.mean.tolist(),
            "covariance": self.robust.covariance.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Domain:
        """Inverse of ``to_dict``."""
        arrays = {name: np.array(value, dtype=float) for name, value in values.items()}
        robust = ObservablePrior(arrays["mean"], arrays["covariance"])
        return cls(
            arrays["lower"], arrays["upper"], robust, arrays["distances"], arrays["disagreements"]
        )


def fit_domain(
    transforms: MeasurementTransforms,
    inputs: np.ndarray,
    disagreement: Callable[[np.ndarray], np.ndarray],
) -> Domain:
    """Learn where a model was trained.

    Args:
        transforms: Those of the model.
        inputs: Exact inputs of the training rows, (N, len(transforms.inputs)).
        disagreement: Gives that of the members [nats] on inputs, (M,).

    Returns:
        The domain.

    References:
        Rousseeuw & Van Driessen 1999 (minimum covariance determinant).
    """
    from sklearn.covariance import MinCovDet

    values, _ = transforms.raw_values(inputs)
    bulk = MinCovDet(random_state=0).fit(values)
    robust = ObservablePrior(bulk.location_, bulk.covariance_)
    num_subsets = 2 ** len(transforms.optional)
    subsets = range(num_subsets) if num_subsets <= MAX_SUBSETS else [num_subsets - 1]
    some = inputs[np.random.default_rng(0).permutation(len(inputs))[:NUM_DOUBTED]]
    surprises = [
        _surprise(robust, transforms, _keeping(transforms, inputs, one)) for one in subsets
    ]
    doubts = [disagreement(_keeping(transforms, some, one)) for one in subsets]
    quantiles = [np.quantile(values_of, GRID, axis=1).T for values_of in (surprises, doubts)]
    return Domain(values.min(0), values.max(0), robust, *quantiles)


def _surprise(
    robust: ObservablePrior, transforms: MeasurementTransforms, inputs: np.ndarray
) -> np.ndarray:
    """-log10 of the chance that a training cluster lies further away, (N,)."""
    squared, degrees = robust.mahalanobis(*transforms.raw_values(inputs))
    return np.asarray(-chi2.logsf(squared, degrees) / math.log(10.0))


def _subset(transforms: MeasurementTransforms, inputs: np.ndarray) -> np.ndarray:
    """Number of the subset of the uncertain observables that was measured, (N,)."""
    _, errors = transforms.raw_values(inputs)
    places = [transforms.names.index(name) for name in transforms.optional]
    return np.asarray(np.isfinite(errors[:, places]) @ (1 << np.arange(len(places))))


def _keeping(transforms: MeasurementTransforms, inputs: np.ndarray, subset: int) -> np.ndarray:
    """Inputs without the observables that are not in a subset."""
    result = np.array(inputs, dtype=float)
    for bit, name in enumerate(transforms.optional):
        if not subset & 1 << bit:
            result[:, transforms.names.index(name)] = np.nan
    return result


def _percentile(values: np.ndarray, quantiles: np.ndarray, subset: np.ndarray) -> np.ndarray:
    """Share of the training clusters below each value, in the subset of each; beyond all of them
    1.
    """
    rows = subset if len(quantiles) > 1 else np.zeros_like(subset)
    result = np.empty(len(values))
    for one in np.unique(rows):
        here, known = rows == one, quantiles[one]
        result[here] = np.where(
            values[here] > known[-1], 1.0, np.interp(values[here], known, GRID * (1.0 - 1e-6))
        )
    return result


def nearest_analogues(
    transforms: MeasurementTransforms, inputs: np.ndarray, others: np.ndarray, num_nearest: int = 5
) -> np.ndarray:
    """Rows of a table that are most like each object in what was measured of it.

    Args:
        transforms: Those of the model.
        inputs: Values and errors of the objects, (N, len(transforms.inputs)).
        others: Exact inputs of the table, (M, len(transforms.inputs)).
        num_nearest: How many.

    Returns:
        Row numbers, nearest first, (N, num_nearest).
    """
    values, errors = transforms.raw_values(inputs)
    table, _ = transforms.raw_values(others)
    spread = table.std(0)
    order = np.empty((len(values), num_nearest), dtype=int)
    for row, (value, error) in enumerate(zip(values, errors, strict=True)):
        has = np.isfinite(error)
        scale = np.hypot(spread[has], error[has])
        squares = (((table[:, has] - value[has]) / scale) ** 2).sum(1)
        order[row] = np.argsort(squares, kind="stable")[:num_nearest]
    return order
