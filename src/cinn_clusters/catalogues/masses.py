"""Masses of other definitions, and of other observables, as M500c.

References:
    Navarro, Frenk & White 1997 (astro-ph/9611107); Duffy+08 (arXiv:0804.2486), table 1, full
    sample, z 0-2; Vikhlinin+09 (arXiv:0805.2207), table 3 (mass and temperature);
    Kravtsov, Vikhlinin & Nagai 2006 (astro-ph/0603205).
"""

from __future__ import annotations

import numpy as np

from cinn_clusters.cosmology import HUBBLE_H, OMEGA_MATTER
from cinn_clusters.errors import DataError

_DUFFY = {
    "200c": (5.71, -0.084, -0.47),
    "200m": (10.14, -0.081, -1.01),
    "vir": (7.85, -0.081, -0.71),
}
"""A, B, C of c = A (M / 2e12 Msun/h)^B (1 + z)^C."""
CONVERSION_SCATTER = {"500c": 0.0, "200c": 0.03, "200m": 0.05, "vir": 0.04}
"""Scatter of log10 M500c at a given other mass: 0.15 dex of concentration, carried through."""
TEMPERATURE_SLOPE, TEMPERATURE_SCATTER = 1.53, 0.09
"""Slope of log10 M500c with log10 T (Vikhlinin+09), and scatter of log10 M500c at a given
temperature: 20 % (Kravtsov+06, astro-ph/0603205, table 2)."""
TEMPERATURE_RELATION = (
    "to M500 by Vikhlinin+09 (arXiv:0805.2207), core-excised, "
    f"scatter {TEMPERATURE_SCATTER:.2f} dex (Kravtsov+06, astro-ph/0603205)"
)
"""What the log of conversions says of masses of temperatures."""


def log_mass_500c(
    log_mass: np.ndarray, redshift: np.ndarray, definition: str
) -> np.ndarray:
    """log10 M500c of haloes with an NFW profile and the mean concentration.

    Args:
        log_mass: log10 of the mass [Msun], (N,).
        redshift: z, (N,).
        definition: ``500c``, ``200c``, ``200m`` or ``vir``.

    Returns:
        log10 M500c [Msun], (N,); NaN where the input is.

    Raises:
        DataError: If the definition is unknown.

    Examples:
        >>> log_mass_500c(np.array([15.0]), np.array([0.3]), "200c").round(2)
        array([14.82])
    """
    if definition == "500c":
        return np.asarray(log_mass, dtype=float)
    if definition not in _DUFFY:
        names = ", ".join(_DUFFY)
        expected = f"500c, {names}"
        raise DataError("definition of a mass", expected, f"'{definition}'")
    log_mass = np.asarray(log_mass, float)
    log_mass, redshift = np.broadcast_arrays(log_mass, redshift)

    # Duffy+08, eq. 4: the radius of the definition in scale radii
    amplitude, slope, growth = _DUFFY[definition]
    mass_of_definition = 10.0**log_mass
    in_pivots = mass_of_definition * HUBBLE_H / 2e12
    evolution = (1.0 + redshift) ** growth
    concentration = amplitude * in_pivots**slope * evolution
    own_mass = _enclosed(concentration)

    # The mean density within x scale radii falls as m(x) / x^3: find where it is
    # ``ratio`` times that at the concentration, by Newton's method in ln x.
    ratio = 500.0 / _overdensity(redshift, definition)
    density = ratio * own_mass / concentration**3
    exponent = -1.0 / 2.2
    x = concentration * ratio**exponent
    for _ in range(60):
        mass = _enclosed(x)
        mean_density = mass / x**3
        residual = np.log(mean_density / density)
        shell = x**2 / (1.0 + x) ** 2
        mass_slope = shell / mass  # d ln m / d ln x
        density_slope = mass_slope - 3.0
        step = -residual / density_slope
        x = x * np.exp(step)
    growth_of_mass = _enclosed(x) / own_mass
    log_mass_ratio = np.log10(growth_of_mass)
    return np.asarray(log_mass + log_mass_ratio)


def log_mass_of_temperature(
    temperature: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    """log10 M500c [Msun] of core-excised temperatures [keV]: M500 E(z) = 3.02e14 / h (T / 5 keV)^1.53.

    Masses stand in units of 1 / h, so that h is that of the simulation.

    Examples:
        >>> log_mass_of_temperature(np.array([5.0]), np.array([0.0])).round(3)
        array([14.649])
    """
    # Vikhlinin+09, table 3
    normalisation = np.log10(3.02e14 / HUBBLE_H)
    in_pivots = np.asarray(temperature, dtype=float) / 5.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log10(in_pivots)
    evolution = np.log10(_expansion(redshift))
    log_mass: np.ndarray = normalisation + TEMPERATURE_SLOPE * log_ratio - evolution
    return log_mass


def _expansion(redshift: np.ndarray) -> np.ndarray:
    """E(z) of a flat universe."""
    matter = OMEGA_MATTER * (1.0 + redshift) ** 3
    squared = matter + 1.0 - OMEGA_MATTER
    return np.asarray(np.sqrt(squared))


def _overdensity(redshift: np.ndarray, definition: str) -> np.ndarray:
    """Mean density over the critical one (virial: Bryan & Norman 1998, astro-ph/9710107, eq. 6)."""
    expansion = _expansion(redshift)
    matter = OMEGA_MATTER * (1.0 + redshift) ** 3 / expansion**2
    if definition == "200c":
        return np.full_like(matter, 200.0)
    if definition == "200m":
        above_mean: np.ndarray = 200.0 * matter
        return above_mean
    excess = matter - 1.0
    linear, quadratic = 82.0 * excess, 39.0 * excess**2
    virial: np.ndarray = 18.0 * np.pi**2 + linear - quadratic
    return virial


def _enclosed(x: np.ndarray) -> np.ndarray:
    """Mass within x scale radii, in units of its own scale."""
    mass: np.ndarray = np.log1p(x) - x / (1.0 + x)
    return mass
