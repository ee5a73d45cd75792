r"""Gaussian of the true observables of training clusters, and what it becomes given measurements.

True observables v ~ N(m, C); a catalogue gives o = v + N(0, R) of some of them. Then v | o is
Gaussian with mean = m + C_o (C_oo + R)^-1 (o - m_o) and covariance = C - C_o (C_oo + R)^-1 C_o^T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MAX_EM_STEPS, _EM_TOLERANCE, _RIDGE = 200, 1e-6, 1e-9


@dataclass(frozen=True, eq=False)
class ObservablePrior:
    """Gaussian of the true observables of training clusters.

    Args:
        mean: (L,), or (N, L) where it differs from object to object.
        covariance: (L, L) or (N, L, L), positive definite.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def condition(
        self, values: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, L) and covariance (N, L, L) of the true observables given the measured ones.

        Values (N, L) are NaN and standard errors (N, L) infinite where nothing was measured
        (Rodgers 2000, Inverse methods for atmospheric sounding, eq. 2.45).
        """
        is_measured, total, offset = self._measured(values, errors)
        cross = self.covariance * is_measured[:, None, :]  # C_o
        transposed = cross.transpose(0, 2, 1)
        solved = np.linalg.solve(total, transposed)
        shift = np.einsum("nkl,nk->nl", solved, offset)
        covariance = self.covariance - cross @ solved
        is_exact = is_measured & (errors == 0.0)  # to the last bit
        covariance[is_exact[:, :, None] | is_exact[:, None, :]] = 0.0
        return np.where(is_exact, values, self.mean + shift), covariance

    def conditional_mean(self, values: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Mean (N, L) of the true observables alone, in a third of the time of ``condition``."""
        is_measured, total, offset = self._measured(values, errors)
        weights = np.linalg.solve(
            total, offset[:, :, None]
        )  # zero where nothing was measured
        shift = (self.covariance @ weights)[:, :, 0]
        is_exact = is_measured & (errors == 0.0)
        return np.where(is_exact, values, self.mean + shift)

    def mahalanobis(
        self, values: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (N,) from the training clusters, and their degrees of freedom (N,)."""
        is_measured, total, offset = self._measured(values, errors)
        solved = np.linalg.solve(total, offset[:, :, None])[:, :, 0]
        return np.einsum("nl,nl->n", offset, solved), is_measured.sum(1)

    def _measured(
        self, values: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What was measured (N, L), C_oo + R (N, L, L), and o - m_o (N, L), zero elsewhere."""
        is_measured = np.isfinite(values) & np.isfinite(errors)
        variance = np.where(is_measured, errors, 1.0) ** 2
        is_pair = is_measured[:, :, None] & is_measured[:, None, :]
        total = np.where(is_pair, self.covariance, 0.0)
        total += variance[:, :, None] * np.eye(values.shape[1])
        return is_measured, total, np.where(is_measured, values - self.mean, 0.0)

    def expectation(
        self, values: np.ndarray, is_missing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fill exact rows (N, L) that lack the same values (L,), and sum what scatter that loses."""
        cross = self.covariance[:, ~is_missing]
        inner = self.covariance[np.ix_(~is_missing, ~is_missing)]
        gain = np.linalg.solve(inner, cross.T).T
        mean = self.mean + (values - self.mean)[:, ~is_missing] @ gain.T
        scatter = len(values) * (self.covariance - gain @ cross.T)
        return np.where(is_missing, mean, values), scatter

    def leading(self, count: int) -> ObservablePrior:
        """Marginal of the first observables."""
        return ObservablePrior(self.mean[:count], self.covariance[:count, :count])

    def trailing(self, begin: int) -> ObservablePrior:
        """Marginal of the last observables."""
        return ObservablePrior(self.mean[begin:], self.covariance[begin:, begin:])

    def leading_given(self, trailing: np.ndarray) -> ObservablePrior:
        """Conditional of the first observables given exact values (N, E) of the last ones."""
        count = len(self.mean) - trailing.shape[1]
        marginal, other = self.leading(count), self.trailing(count)
        cross = self.covariance[count:, :count]
        gain = np.linalg.solve(other.covariance, cross)
        mean = marginal.mean + (trailing - other.mean) @ gain
        return ObservablePrior(mean, marginal.covariance - cross.T @ gain)

    def trailing_given(self, leading: np.ndarray) -> np.ndarray:
        """Conditional mean of the last observables given the means (N, S) of the first ones."""
        count = leading.shape[1]
        marginal = self.leading(count)
        gain = np.linalg.solve(marginal.covariance, self.covariance[:count, count:])
        return np.asarray(self.mean[count:] + (leading - marginal.mean) @ gain)


def fit_prior(values: np.ndarray) -> ObservablePrior:
    """Maximise the likelihood of observables (N, L), some of which may be missing (NaN).

    This is expectation maximisation (Little & Rubin 2002, Statistical analysis with missing data,
    section 11.2), or the closed form where nothing is missing.
    """
    num_rows, width = values.shape
    is_missing = np.isnan(values)
    if not is_missing.any():
        return _regularised(values.mean(0), np.cov(values.T).reshape(width, width))
    mean, covariance = np.nanmean(values, 0), np.diag(np.nanvar(values, 0))
    patterns, pattern_of_row = np.unique(is_missing, axis=0, return_inverse=True)
    groups = [
        values[pattern_of_row.ravel() == number] for number in range(len(patterns))
    ]
    for _ in range(_MAX_EM_STEPS):
        before = covariance
        prior = _regularised(mean, covariance)
        filled, scatter = zip(*map(prior.expectation, groups, patterns), strict=True)
        complete = np.concatenate(filled)
        mean = complete.mean(0)
        offset = complete - mean
        covariance = (offset.T @ offset + np.sum(scatter, 0)) / num_rows
        spread = np.sqrt(np.diag(covariance))
        if (
            np.abs(covariance - before) <= _EM_TOLERANCE * np.outer(spread, spread)
        ).all():
            break
    return _regularised(mean, covariance * num_rows / (num_rows - 1))


def _regularised(mean: np.ndarray, covariance: np.ndarray) -> ObservablePrior:
    """Columns that are functions of others keep a covariance that can be inverted."""
    return ObservablePrior(mean, covariance + _RIDGE * np.diag(np.diag(covariance)))
