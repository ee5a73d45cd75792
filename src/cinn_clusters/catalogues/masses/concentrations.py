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
    log_mass = np.clip(log_mass, *_COVERED)
    matter = matter_fraction(redshift)
    log_growth = np.log10(_growth(redshift) / _growth(0.0))
    sigma = 10.0 ** (_LOG_SIGMA(log_mass - _PIVOT) + log_growth)
    peak_height = CRITICAL_OVERDENSITY / sigma

    # dln sigma / dln R = 3 dln sigma / dln M, at the mass within kappa times the radius
    at_kappa = log_mass - _PIVOT + 3.0 * np.log10(relation.kappa)
    slope = -6.0 * _LOG_SIGMA.deriv()(at_kappa)  # n + 3
    amplitude = relation.a0 * (1.0 + relation.a1 * slope)
    turn = relation.b0 * (1.0 + relation.b1 * slope)
    height = amplitude / peak_height * (1.0 + peak_height**2 / turn)
    growth_rate = matter**0.55
    pseudo_evolution = 1.0 - relation.c * (1.0 - growth_rate)
    return np.asarray(np.log10(pseudo_evolution) + _inverse(height, slope))


def matter_fraction(redshift: np.ndarray | float) -> np.ndarray:
    """Omega_m(z) of the flat cosmology of the simulation."""
    matter = OMEGA_MATTER * (1.0 + np.asarray(redshift)) ** 3
    return np.asarray(matter / (matter + 1.0 - OMEGA_MATTER))


def nfw_mass(x: np.ndarray) -> np.ndarray:
    """Mass of an NFW profile within x scale radii, in units of its own scale."""
    return np.asarray(np.log1p(x) - x / (1.0 + x))


def _growth(redshift: np.ndarray | float) -> np.ndarray:
    """Linear growth factor times a constant (Carroll, Press & Turner 1992, eq. 29)."""
    matter = matter_fraction(redshift)
    vacuum = 1.0 - matter
    denominator = (
        matter ** (4.0 / 7.0) - vacuum + (1.0 + matter / 2.0) * (1.0 + vacuum / 70.0)
    )
    return np.asarray(2.5 * matter / denominator / (1.0 + np.asarray(redshift)))


def _inverse(height: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """log10 of the larger x with x / m(x)^((5 + n) / 6) = height, by Newton's method in ln x."""
    exponent = (slope + 2.0) / 6.0
    log_x = np.full(np.shape(height), np.log(_START))
    for _ in range(30):
        x = np.exp(log_x)
        mass = nfw_mass(x)
        mass_slope = x**2 / (1.0 + x) ** 2 / mass
        residual = log_x - exponent * np.log(mass) - np.log(height)
        log_x = log_x - residual / (1.0 - exponent * mass_slope)
    return np.asarray(log_x / np.log(10.0))
