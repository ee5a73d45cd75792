r"""Concentrations of haloes: c200c(M200c, z) by the peak height and the slope of the power spectrum.

    c200c = C(alpha) G^-1[A(n) / nu (1 + nu^2 / B(n))],  G(x) = x / m(x)^((5 + n) / 6)

with A = a0 (1 + a1 (n + 3)), B = b0 (1 + b1 (n + 3)), C = 1 - c (1 - alpha), the NFW mass m(x), the
peak height nu = 1.686 / sigma(M, z), n = -2 dln sigma / dln R - 3 at kappa times the Lagrangian
radius and alpha = dln D / dln a.

References:
    Diemer & Joyce 2019 (arXiv:1809.07326), eq. 31 and table 2; Ishiyama+21 (arXiv:2007.14720),
    table 3; growth by Carroll, Press & Turner 1992, eq. 29.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.cosmology import OMEGA_MATTER

CRITICAL_OVERDENSITY = 1.686
CONCENTRATION_SCATTER = 0.16
"""Scatter of log10 c at a given mass (Diemer & Kravtsov 2015, arXiv:1407.4730)."""
_LOG_SIGMA = np.poly1d([-0.00232, -0.02558, -0.23137, -0.10345])
"""log10 sigma(M, z = 0) of log10 M / Msun - 14.5 between 12.5 and 16.2 in the cosmology of the
simulation (sigma8 0.8159, ns 0.9667, Omega_b 0.0486; Eisenstein & Hu 1998), to 0.0002."""
_LOG_SIGMA_SLOPE = _LOG_SIGMA.deriv()
_PIVOT, _COVERED = 14.5, (12.5, 16.2)
_START = 30.0
"""Concentration above all, from which Newton's method goes down to the larger root."""


class ConcentrationRelation(NamedTuple):
    """Parameters of the formula above."""

    kappa: float
    a0: float
    a1: float
    b0: float
    b1: float
    c: float


ISHIYAMA = ConcentrationRelation(1.19, 2.54, 1.33, 4.04, 1.21, 0.22)
"""Ishiyama+21, c200c of profiles, all haloes."""
DIEMER_JOYCE = ConcentrationRelation(0.41, 2.45, 1.82, 3.20, 2.30, 0.21)
"""Diemer & Joyce 2019, median."""


def log_concentration(
    log_mass: np.ndarray,
    redshift: np.ndarray,
    relation: ConcentrationRelation = ISHIYAMA,
) -> np.ndarray:
    """log10 c200c of haloes.

    Args:
        log_mass: log10 M200c [Msun], (N,); beyond 12.5 to 16.2 that of the nearer end is returned.
        redshift: z, (N,).
        relation: Parameters of the formula.

    Returns:
        log10 c200c, (N,); NaN where an input is.

    Examples:
        >>> 10.0 ** log_concentration(np.array([15.0]), np.array([0.0])).round(2)
        array([3.89045145])
    """
    in_pivots = np.clip(log_mass, *_COVERED) - _PIVOT
    peak_height = _peak_height(in_pivots, redshift)

    # dln sigma / dln R = 3 dln sigma / dln M, at the mass within kappa times the radius
    log_kappa = np.log10(relation.kappa)
    at_kappa = in_pivots + 3.0 * log_kappa
    slope = -6.0 * _LOG_SIGMA_SLOPE(at_kappa)  # n + 3
    amplitude = relation.a0 * (1.0 + relation.a1 * slope)
    turn = relation.b0 * (1.0 + relation.b1 * slope)
    curvature = 1.0 + peak_height**2 / turn
    height = amplitude / peak_height * curvature

    growth_rate = matter_fraction(redshift) ** 0.55  # alpha
    deficit = 1.0 - growth_rate
    pseudo_evolution = 1.0 - relation.c * deficit
    log_inverse = _log_inverse(height, slope)
    log_c: np.ndarray = np.log10(pseudo_evolution) + log_inverse
    return log_c


def _peak_height(in_pivots: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Peak height nu = 1.686 / sigma(M, z) of log10 M over the pivot."""
    log_sigma = _LOG_SIGMA(in_pivots)
    growth = _growth(redshift) / _growth(0.0)
    sigma = 10.0**log_sigma * growth
    return np.asarray(CRITICAL_OVERDENSITY / sigma)


def matter_fraction(redshift: np.ndarray | float) -> np.ndarray:
    """Omega_m(z) of the flat cosmology of the simulation."""
    stretch = 1.0 + np.asarray(redshift)
    matter = OMEGA_MATTER * stretch**3
    fraction: np.ndarray = matter / (matter + 1.0 - OMEGA_MATTER)
    return fraction


def nfw_mass(x: np.ndarray) -> np.ndarray:
    """Mass of an NFW profile within x scale radii, in units of its own scale."""
    mass: np.ndarray = np.log1p(x) - x / (1.0 + x)
    return mass


def nfw_mass_slope(x: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Slope dln m / dln x where the mass is known."""
    shell = (x / (1.0 + x)) ** 2
    slope: np.ndarray = shell / mass
    return slope


def _growth(redshift: np.ndarray | float) -> np.ndarray:
    """Linear growth factor times a constant (Carroll, Press & Turner 1992, eq. 29)."""
    matter = matter_fraction(redshift)
    vacuum = 1.0 - matter
    of_matter = 1.0 + matter / 2.0
    of_vacuum = 1.0 + vacuum / 70.0
    correction = of_matter * of_vacuum
    denominator = matter ** (4.0 / 7.0) - vacuum + correction
    suppression = 2.5 * matter / denominator
    stretch = 1.0 + np.asarray(redshift)
    growth: np.ndarray = suppression / stretch
    return growth


def _log_inverse(height: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """log10 of the larger x with x / m(x)^((5 + n) / 6) = height, by Newton's method in ln x."""
    exponent = (slope + 2.0) / 6.0
    log_height = np.log(height)
    log_x = np.full(np.shape(height), np.log(_START))
    for _ in range(30):
        x = np.exp(log_x)
        mass = nfw_mass(x)
        mass_slope = nfw_mass_slope(x, mass)
        log_ratio = log_x - exponent * np.log(mass)
        residual = log_ratio - log_height
        residual_slope = 1.0 - exponent * mass_slope
        step = residual / residual_slope
        log_x = log_x - step
    return np.asarray(log_x / np.log(10.0))
