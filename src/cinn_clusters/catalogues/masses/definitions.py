"""Masses of other overdensities as M500c: haloes with an NFW profile and their mean concentration.

A profile has the mass m(x) = ln(1 + x) - x / (1 + x) within x scale radii, so that an overdensity
Delta lies where m(x) / x^3 is Delta / 200 times that at c200c.

References:
    Navarro, Frenk & White 1997 (astro-ph/9611107); Bryan & Norman 1998 (astro-ph/9710107), eq. 6.
"""

from __future__ import annotations

import numpy as np

from cinn_clusters.catalogues.masses.concentrations import (
    CONCENTRATION_SCATTER,
    DIEMER_JOYCE,
    ISHIYAMA,
    ConcentrationRelation,
    log_concentration,
    matter_fraction,
    nfw_mass,
    nfw_mass_slope,
)
from cinn_clusters.cosmology import OMEGA_MATTER
from cinn_clusters.errors import DataError

OVERDENSITIES = ("500c", "200c", "200m", "vir")
CONVERSION = (
    "to 500c by NFW profiles and the concentrations of Ishiyama+21 (arXiv:2007.14720)"
)
"""What the log of conversions says of masses of other overdensities."""


def log_mass_500c(
    log_mass: np.ndarray,
    redshift: np.ndarray,
    definition: str,
    relation: ConcentrationRelation = ISHIYAMA,
    concentration_shift: float = 0.0,
) -> np.ndarray:
    """log10 M500c of haloes with an NFW profile and the mean concentration.

    Args:
        log_mass: log10 of the mass [Msun], (N,).
        redshift: z, (N,).
        definition: ``500c``, ``200c``, ``200m`` or ``vir``.
        relation: Mean concentration.
        concentration_shift: log10 of the concentration over the mean.

    Returns:
        log10 M500c [Msun], (N,); NaN where the input is.

    Raises:
        DataError: If the definition is unknown.

    Examples:
        >>> log_mass_500c(np.array([15.0]), np.array([0.3]), "200c").round(3)
        array([14.837])
    """
    if definition not in OVERDENSITIES:
        expected = ", ".join(OVERDENSITIES)
        raise DataError("definition of a mass", expected, f"'{definition}'")
    log_mass = np.asarray(log_mass, dtype=float)
    if definition == "500c":
        return log_mass
    log_mass, redshift = np.broadcast_arrays(log_mass, redshift)
    density = _overdensity(redshift, definition)
    log_200c = log_mass
    for _ in range(20):  # the M200c whose profile has the mass that is known
        log_c = log_concentration(log_200c, redshift, relation) + concentration_shift
        log_200c = log_mass - _log_mass_ratio(log_c, density)
    within_500c = np.full_like(density, 500.0)
    log_500c: np.ndarray = log_200c + _log_mass_ratio(log_c, within_500c)
    return log_500c


def conversion_scatter(
    log_mass: np.ndarray, redshift: np.ndarray, definition: str
) -> np.ndarray:
    """Scatter of log10 M500c [dex], (N,): that of concentrations, and between two relations.

    Examples:
        >>> conversion_scatter(np.array([15.0]), np.array([0.3]), "200m").round(2)
        array([0.05])
    """
    mean = log_mass_500c(log_mass, redshift, definition)
    other = log_mass_500c(log_mass, redshift, definition, DIEMER_JOYCE)
    compact = log_mass_500c(
        log_mass, redshift, definition, concentration_shift=CONCENTRATION_SCATTER
    )
    return np.asarray(np.hypot(compact - mean, other - mean))


def expansion(redshift: np.ndarray) -> np.ndarray:
    """E(z) of the flat cosmology of the simulation.

    Examples:
        >>> expansion(np.array([0.0, 1.0])).round(3)
        array([1.   , 1.778])
    """
    stretch = 1.0 + redshift
    matter = OMEGA_MATTER * stretch**3
    rate: np.ndarray = np.sqrt(matter + 1.0 - OMEGA_MATTER)
    return rate


def _overdensity(redshift: np.ndarray, definition: str) -> np.ndarray:
    """Mean density over the critical one."""
    matter = matter_fraction(redshift)
    if definition == "200c":
        return np.full_like(matter, 200.0)
    if definition == "200m":
        return np.asarray(200.0 * matter)
    excess = matter - 1.0
    linear, quadratic = 82.0 * excess, 39.0 * excess**2
    return np.asarray(18.0 * np.pi**2 + linear - quadratic)


def _log_mass_ratio(log_c: np.ndarray, overdensity: np.ndarray) -> np.ndarray:
    """log10 of the mass of an overdensity over M200c, by Newton's method in ln x."""
    concentration = 10.0**log_c
    mass_200c = nfw_mass(concentration)
    ratio = overdensity / 200.0
    density = ratio * mass_200c / concentration**3
    x = concentration * ratio ** (-1.0 / 2.2)
    for _ in range(20):
        mass = nfw_mass(x)
        mean_density = mass / x**3
        residual = np.log(mean_density / density)
        density_slope = nfw_mass_slope(x, mass) - 3.0
        step = -residual / density_slope
        x = x * np.exp(step)
    growth = nfw_mass(x) / mass_200c
    return np.asarray(np.log10(growth))
