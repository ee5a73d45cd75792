r"""Gaussian of the true observables of training clusters, and what it becomes given measurements.

True observables v ~ N(m, C); a catalogue gives o = v + N(0, R) of some of them. Then v | o is
Gaussian with mean = m + C_o (C_oo + R)^-1 (o - m_o) and covariance = C - C_o (C_oo + R)^-1 C_o^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MAX_EM_STEPS, _EM_TOLERANCE, _RIDGE = 200, 1e-6, 1e-9
MAX_OFFSET = 100.0
"""Standard deviations from the mean beyond which a value tells no more of the others."""


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
        self, values: np.ndarray, errors: np.ndarray, noise: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, L) and covariance (N, L, L) of the true observables given the measured ones.

        Values (N, L) are NaN and standard errors (N, L) infinite where nothing was measured
        (Rodgers 2000, Inverse methods for atmospheric sounding, eq. 2.45). Errors that are not
        independent have a covariance ``noise`` (N, L, L); an error of zero is exact in any case.
        """
        is_measured, total, offset = self._measured(values, errors, noise)
        # Columns of what was not measured are zero, so that all objects have one shape.
        cross = self.covariance * is_measured[:, None, :]  # C_o, (N, L, L)
        transposed = cross.transpose(0, 2, 1)
        # The transposed gain (C_oo + R)^-1 C_o^T, for mean and covariance alike.
        solved = np.linalg.solve(total, transposed)  # (N, L, L)
        shift = np.einsum("nkl,nk->nl", solved, offset)
        mean = self.mean + shift
        covariance = self.covariance - cross @ solved

        # What has no error is itself to the last bit, without the rounding of the solver.
        is_exact = is_measured & (errors == 0.0)
        is_exact_row = is_exact[:, :, None]
        is_exact_column = is_exact[:, None, :]
        covariance[is_exact_row | is_exact_column] = 0.0
        return np.where(is_exact, values, mean), covariance

    def conditional_mean(
        self, values: np.ndarray, errors: np.ndarray, noise: np.ndarray | None = None
    ) -> np.ndarray:
        """Mean (N, L) of the true observables alone, in a third of the time of ``condition``."""
        is_measured, total, offset = self._measured(values, errors, noise)
        # The offset, and so the weight, is zero where nothing was measured: C stands for C_o.
        right_side = offset[:, :, None]
        weights = np.linalg.solve(total, right_side)  # (N, L, 1)
        shift = self.covariance @ weights
        mean = self.mean + shift[:, :, 0]
        is_exact = is_measured & (errors == 0.0)
        return np.where(is_exact, values, mean)

    def mahalanobis(
        self, values: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (N,) from the training clusters, and their degrees of freedom (N,)."""
        is_measured, total, offset = self._measured(values, errors)
        # (o - m_o)^T (C_oo + R)^-1 (o - m_o)
        right_side = offset[:, :, None]
        solved = np.linalg.solve(total, right_side)
        squared = np.einsum("nl,nl->n", offset, solved[:, :, 0])
        return squared, is_measured.sum(1)

    def _measured(
        self, values: np.ndarray, errors: np.ndarray, noise: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What was measured (N, L), C_oo + R (N, L, L), and o - m_o (N, L), zero elsewhere."""
        is_measured = np.isfinite(values) & np.isfinite(errors)
        # A missing value gets a row and a column of the unit matrix, which the solver ignores.
        scatter = np.where(is_measured, errors, 1.0)
        variance = scatter**2
        is_row = is_measured[:, :, None]
        is_column = is_measured[:, None, :]
        total = np.where(is_row & is_column, self.covariance, 0.0)
        unit = np.eye(values.shape[1])
        if noise is None:
            total += variance[:, :, None] * unit
            offset = self.clipped(values) - self.mean
        else:
            total += np.where(is_row & is_column, noise, unit)
            offset = values - self.mean
        return is_measured, total, np.where(is_measured, offset, 0.0)

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Values (N, L) no further from the mean than a value that still tells of the others."""
        variances = np.diagonal(self.covariance, axis1=-2, axis2=-1)
        reach = MAX_OFFSET * np.sqrt(variances)
        clipped: np.ndarray = np.clip(values, self.mean - reach, self.mean + reach)
        return clipped

    def expectation(
        self, values: np.ndarray, is_missing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fill exact rows (N, L) that lack the same values (L,); sum the scatter that this loses."""
        is_there = ~is_missing
        cross = self.covariance[:, is_there]  # C_o
        inner = cross[is_there]  # C_oo
        gain = np.linalg.solve(inner, cross.T).T
        offset = values - self.mean
        mean = self.mean + offset[:, is_there] @ gain.T

        # Rows of one pattern of missing values have one conditional covariance.
        conditional = self.covariance - gain @ cross.T
        scatter = len(values) * conditional
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
        first = self.leading(count)
        last = self.trailing(count)
        cross = self.covariance[count:, :count]  # (E, S)
        gain = np.linalg.solve(last.covariance, cross)
        offset = trailing - last.mean
        mean = first.mean + offset @ gain  # (N, S)
        covariance = first.covariance - cross.T @ gain
        return ObservablePrior(mean, covariance)

    def trailing_given(self, leading: np.ndarray) -> np.ndarray:
        """Conditional mean of the last observables given the means (N, S) of the first ones."""
        count = leading.shape[1]
        first = self.leading(count)
        cross = self.covariance[:count, count:]  # (S, E)
        gain = np.linalg.solve(first.covariance, cross)
        offset = leading - first.mean
        mean: np.ndarray = self.mean[count:] + offset @ gain
        return mean


def error_covariance(
    errors: np.ndarray, columns: Sequence[int], correlation: np.ndarray | None
) -> np.ndarray:
    """Covariances (N, L, L) of errors (N, L), zero where nothing was measured.

    The errors of U columns are correlated with coefficients (N, U, U); None: independent.
    """
    finite = np.where(np.isfinite(errors), errors, 0.0)
    coefficients = np.zeros((*errors.shape, errors.shape[1]))
    block = np.array(columns, dtype=int)
    coefficients[:, block, block] = 1.0
    if correlation is not None:
        coefficients[:, block[:, None], block] = correlation
    return coefficients * finite[:, :, None] * finite[:, None, :]


def fit_prior(values: np.ndarray) -> ObservablePrior:
    """Maximise the likelihood of observables (N, L), some of which may be missing (NaN).

    This is expectation maximisation (Little & Rubin 2002, Statistical analysis with missing data,
    section 11.2), or the closed form where nothing is missing.
    """
    num_rows, width = values.shape
    is_missing = np.isnan(values)
    if not is_missing.any():
        covariance = np.cov(values.T)
        return _regularised(values.mean(0), covariance.reshape(width, width))

    # Rows that lack the same values share one gain, so that a step solves once a pattern.
    patterns, numbers = np.unique(is_missing, axis=0, return_inverse=True)
    pattern_of_row = numbers.ravel()
    groups = [values[pattern_of_row == number] for number in range(len(patterns))]

    mean = np.nanmean(values, 0)
    variance = np.nanvar(values, 0)
    covariance = np.diag(variance)
    for _ in range(_MAX_EM_STEPS):
        # Expectation of the complete rows and of their scatter
        prior = _regularised(mean, covariance)
        steps = map(prior.expectation, groups, patterns)
        filled, scatter = zip(*steps, strict=True)
        complete = np.concatenate(filled)

        # Maximisation: their sample mean and covariance
        mean = complete.mean(0)
        offset = complete - mean
        total = offset.T @ offset + np.sum(scatter, 0)
        previous, covariance = covariance, total / num_rows

        # A change is measured in the standard deviations of the two columns.
        spread = np.sqrt(np.diag(covariance))
        limit = _EM_TOLERANCE * np.outer(spread, spread)
        if np.all(np.abs(covariance - previous) <= limit):
            break
    unbiased = covariance * num_rows / (num_rows - 1)
    return _regularised(mean, unbiased)


def _regularised(mean: np.ndarray, covariance: np.ndarray) -> ObservablePrior:
    """Columns that are functions of others keep a covariance that can be inverted."""
    variance = np.diag(covariance)
    ridge = _RIDGE * np.diag(variance)
    return ObservablePrior(mean, covariance + ridge)
