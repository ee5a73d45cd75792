"""Masses of temperatures: M500 E(z) = M0 (T / 5 keV)^alpha.

References:
    Vikhlinin+09 (arXiv:0805.2207), table 3; Kravtsov, Vikhlinin & Nagai 2006 (astro-ph/0603205),
    table 2.
"""

from __future__ import annotations

import numpy as np

from cinn_clusters.catalogues.masses.definitions import expansion
from cinn_clusters.cosmology import HUBBLE_H

TEMPERATURE_SLOPE, TEMPERATURE_SCATTER = 1.53, 0.09
"""Slope of log10 M500c with log10 T (Vikhlinin+09), and scatter of log10 M500c at a given
temperature: 20 % (Kravtsov+06, astro-ph/0603205, table 2)."""
TEMPERATURE_RELATION = (
    "to M500 by Vikhlinin+09 (arXiv:0805.2207), core-excised, "
    f"scatter {TEMPERATURE_SCATTER:.2f} dex (Kravtsov+06, astro-ph/0603205)"
)
"""What the log of conversions says of masses of temperatures."""


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
    evolution = np.log10(expansion(redshift))
    log_mass: np.ndarray = normalisation + TEMPERATURE_SLOPE * log_ratio - evolution
    return log_mass
