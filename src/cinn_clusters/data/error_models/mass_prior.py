r"""Prior of the true masses: that of the training clusters, replaced by a flat one or a power law.

Given the time, masses of training clusters scatter about m by s. An observer whose clusters have
d ln N / d ln M = a wants p(v | o) times exp(a ln M) / N(M; m, s^2). That is the Gaussian of the
training clusters given another measurement (o', R'), whose precision is smaller by 1 / s^2:

    R' = R + k R_M^T,   o' = o + k (o_M - m + a s^2),   k = R_M / (s^2 - R_MM),

with R_M the column of the mass in the covariance R of the errors (Sherman & Morrison 1950). Errors
above s leave a negative precision, which the posterior of v bears: it is that of a flat prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.bijections import ObservableMap
from cinn_clusters.data.error_models.gaussian import ObservablePrior
from cinn_clusters.errors import ConfigError

MASS_PRIORS = ("sample", "flat")
_STEEPEST = 10.0
_SMALLEST_GAP = 1e-9
"""Least difference of both variances, in units of s^2: at equal ones R' is infinite."""


@dataclass(frozen=True)
class MassPrior:
    """A power law of true masses in place of the training clusters'.

    Args:
        slope: d ln N / d(mass as its map takes it); 0 is flat in log M.
        mass: Column of the mass among the scalars.
        time: Column of the lookback time, at which masses are compared; None: at all times.
    """

    slope: float
    mass: int
    time: int | None

    def moments(
        self, prior: ObservablePrior, values: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Mean m (N,) and variance s^2 of the masses of training clusters at the times of objects."""
        covariance = prior.covariance
        mean = np.full(len(values), prior.mean[self.mass])
        variance = float(covariance[self.mass, self.mass])
        if self.time is None:
            return mean, variance
        cross = covariance[self.mass, self.time]
        gain = cross / covariance[self.time, self.time]
        offset = values[:, self.time] - prior.mean[self.time]
        explained = gain * cross
        return mean + gain * offset, float(variance - explained)

    def error_share(
        self, prior: ObservablePrior, values: np.ndarray, errors: np.ndarray
    ) -> np.ndarray:
        """Error of each mass over s, (N,); 0 where there is no mass."""
        _, variance = self.moments(prior, values)
        of_mass = errors[:, self.mass]
        finite = np.where(np.isfinite(of_mass), of_mass, 0.0)
        return np.asarray(finite / math.sqrt(variance))

    def equivalent(
        self, prior: ObservablePrior, values: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, L) and covariances of errors (N, L, L) that stand for the other prior.

        Args:
            prior: Gaussian of the training clusters.
            values: Measured values, NaN where there are none.
            noise: Covariances of their errors; an object without a mass has zeros in its column.
        """
        mean, variance = self.moments(prior, values)
        column = noise[:, :, self.mass]  # R_M, (N, L)
        gap = variance - column[:, self.mass]
        least = _SMALLEST_GAP * variance
        is_small = np.abs(gap) < least
        gap = np.where(is_small, least, gap)
        gain = column / gap[:, None]
        tilt = self.slope * variance
        offset = values[:, self.mass] - mean + tilt
        offset = np.nan_to_num(offset)
        shift = gain * offset[:, None]
        growth = gain[:, :, None] * column[:, None, :]
        return values + shift, noise + growth


def slope_of(mass_prior: object) -> float | None:
    """D ln N / d ln M of a stated prior of the masses; None: that of the training clusters.

    Raises:
        ConfigError: If it is neither ``sample``, ``flat`` nor a slope between -10 and 10.

    Examples:
        >>> slope_of("flat"), slope_of("-2"), slope_of("sample")
        (0.0, -2.0, None)
    """
    if mass_prior is None or mass_prior == "sample":
        return None
    if mass_prior == "flat":
        return 0.0
    try:
        slope = float(str(mass_prior))
    except ValueError:
        slope = math.nan
    if not abs(slope) <= _STEEPEST:
        named = " or ".join(f"'{name}'" for name in MASS_PRIORS)
        expected = f"{named}, or d ln N / d ln M within {_STEEPEST:g} of 0"
        raise ConfigError("mass_prior", expected, repr(mass_prior))
    return slope


def name_of(slope: float | None) -> str:
    """What ``slope_of`` takes a slope for.

    Examples:
        >>> name_of(None), name_of(0.0), name_of(-2.0)
        ('sample', 'flat', '-2')
    """
    if slope is None:
        return "sample"
    return f"{slope:g}" if slope else "flat"


def slope_as_mapped(slope: float, observable: ObservableMap) -> float:
    """D ln N / d(mass as its map takes it) of d ln N / d ln M; masses are logarithms of either base.

    Examples:
        >>> round(slope_as_mapped(-2.0, ObservableMap("log10 of a mass")), 3)
        -4.605
    """
    if observable.is_log:
        return slope
    return slope * math.log(10.0) * observable.unit
