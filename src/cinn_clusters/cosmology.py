"""The two clocks of the catalogue, which are not the same cosmology.

``lookback_time_Gyr`` follows ``FlatLambdaCDM(H0=67.74, Om0=0.3089)`` without radiation;
``last_T_coll`` is the cosmic age of ``astropy.cosmology.Planck15``. Going through the redshift
makes both meet exactly (collisions recorded at the snapshot itself have an age equal to the
snapshot's to 1e-9 Gyr); subtracting a lookback time from a fixed age of the Universe is off by up
to 6 Myr.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

HUBBLE_CONSTANT = 67.74
OMEGA_MATTER = 0.3089
HUBBLE_H = HUBBLE_CONSTANT / 100.0
MAX_REDSHIFT = 20.0


CLOCKS = Path(__file__).parent / "clocks.npz"
"""Cubic splines of the clocks, of astropy's values at 600 redshifts (``docs/build_clocks.py``)."""


class PiecewiseCubic(NamedTuple):
    """A piecewise cubic function.

    Args:
        knots: Ends of the pieces, (G,), increasing.
        coefficients: Those of the powers 0 to 3 of the distance from the left end, (4, G - 1).
    """

    knots: np.ndarray
    coefficients: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values at points of any shape; the outermost pieces reach on."""
        left = np.searchsorted(self.knots, points, side="right") - 1
        piece = np.clip(left, 0, len(self.knots) - 2)
        distance = points - self.knots[piece]
        *lower, value = self.coefficients[:, piece]
        for coefficient in lower[::-1]:  # Horner's rule
            value = value * distance + coefficient
        return np.asarray(value)


@cache
def _clock(name: str) -> PiecewiseCubic:
    with np.load(CLOCKS, allow_pickle=False) as tables:
        return PiecewiseCubic(tables[f"{name}_knots"], tables[f"{name}_coefficients"])


def age_spline() -> PiecewiseCubic:
    """Return the Planck 2015 cosmic age as a spline of the catalogue lookback time, both in Gyr."""
    return _clock("age_of_lookback")


def max_lookback() -> float:
    """Return the largest lookback time the clocks cover, in Gyr (redshift 20)."""
    return float(age_spline().knots[-1])


def age_at_lookback(lookback: np.ndarray) -> np.ndarray:
    """Return the Planck 2015 cosmic age at a catalogue lookback time.

    Args:
        lookback: Lookback times [Gyr], any shape, within [0, ``max_lookback()``].

    Returns:
        Cosmic ages [Gyr], same shape; NaN outside the covered range.

    Examples:
        >>> age_at_lookback(np.array([0.0, 7.924693])).round(3)
        array([13.798,  5.874])
    """
    lookback = np.asarray(lookback, dtype=float)
    covered = (lookback >= 0) & (lookback <= max_lookback())
    return np.where(covered, age_spline()(lookback), np.nan)


def redshift_at_lookback(lookback: np.ndarray) -> np.ndarray:
    """Return the redshift of a catalogue lookback time [Gyr].

    Examples:
        >>> redshift_at_lookback(np.array([3.504147])).round(4)
        array([0.2977])
    """
    return _clock("redshift_of_lookback")(np.asarray(lookback, dtype=float))


def lookback_at_redshift(redshift: np.ndarray) -> np.ndarray:
    """Return the catalogue lookback time [Gyr] of a redshift in [0, 20]."""
    return _clock("lookback_of_redshift")(np.asarray(redshift, dtype=float))


def time_of_redshift(redshift: np.ndarray) -> np.ndarray:
    """Return the catalogue lookback time [Gyr] of any redshift; NaN outside [0, 20]."""
    redshift = np.asarray(redshift, dtype=float)
    is_covered = (redshift >= 0) & (redshift <= MAX_REDSHIFT)
    return np.where(is_covered, lookback_at_redshift(redshift), np.nan)


def log_radius_crit500(log_mass: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Return log10 of the comoving R500c [kpc] that belongs to log10 M500c [Msun] at a redshift.

    R500c is where the mean density is 500 times critical: M = (4/3) pi 500 rho_c(z) R^3 with
    rho_c = 3 H(z)^2 / (8 pi G); comoving means divided by the scale factor.

    Examples:
        >>> log_radius_crit500(np.array([15.27069]), np.array([0.0])).round(3)
        array([3.282])
    """
    newton_g = 4.30091727e-6  # kpc (km/s)^2 / Msun
    log_mass = np.asarray(log_mass)
    stretch = 1.0 + np.asarray(redshift)

    # Flat: what is not matter is dark energy.
    expansion_squared = OMEGA_MATTER * stretch**3 + 1.0 - OMEGA_MATTER
    constant_per_kpc = HUBBLE_CONSTANT / 1000.0
    hubble_squared = constant_per_kpc**2 * expansion_squared
    critical = 3.0 * hubble_squared / (8.0 * np.pi * newton_g)  # Msun / kpc^3

    # Of a sphere of one cubed kpc
    mass_of_unit = 4.0 / 3.0 * np.pi * 500.0 * critical
    log_cube = log_mass - np.log10(mass_of_unit)
    log_radius = log_cube / 3.0 + np.log10(stretch)
    return np.asarray(log_radius)


def arcsec_per_kpc(redshift: float) -> float:
    """Angle of one physical kpc [arcsec].

    Examples:
        >>> round(1.0 / arcsec_per_kpc(0.1669), 2)
        2.95
    """
    from astropy.cosmology import FlatLambdaCDM

    distances = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=OMEGA_MATTER)
    return float(60.0 / distances.kpc_proper_per_arcmin(redshift).value)
