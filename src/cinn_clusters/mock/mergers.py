"""When a halo merges, with what, and on which orbit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FIRST_REDSHIFT = 1.3
"""Infall is followed from here on; the first collisions happen at z = 1.2."""
THRESHOLD = 1e13
"""Smallest subcluster that is recorded [Msun]."""
_NEWTON_G = 4.30091727e-6
"""Constant of gravitation [kpc (km/s)^2 / Msun]."""
_CONCENTRATION = 4.0
_NFW_MASS = math.log1p(_CONCENTRATION) - _CONCENTRATION / (1.0 + _CONCENTRATION)
CIRCULAR_TO_HALO = 0.65
"""M500c over the halo mass of the merger rate, for an NFW halo of concentration 4."""

# Fakhouri, Ma & Boylan-Kolchin 2010 (arXiv:1001.2304), eq. 1 and its best-fit parameters
_RATE, _RATE_XI = 0.0104, 9.72e-3
_MASS_SLOPE, _XI_SLOPE, _XI_POWER, _REDSHIFT_SLOPE = 0.133, -1.995, 0.263, 0.0993


@dataclass(frozen=True, eq=False)
class Orbits:
    """Collisions at pericentre: relative speed [km/s] and distance [kpc, physical], (M,) both."""

    speed: np.ndarray
    pericentre: np.ndarray


def merger_rate(
    halo_mass: np.ndarray, ratio: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    """Return dN / dxi / dz of a descendant halo [Msun] at a mass ratio xi (Fakhouri+10, eq. 1).

    Examples:
        >>> merger_rate(np.array(1e12), np.array(1.0), np.array(0.0)).round(2)
        np.float64(0.31)
    """
    # A (M / 1e12)^alpha (1 + z)^eta xi^beta exp((xi / xi~)^gamma)
    mass_factor = (halo_mass / 1e12) ** _MASS_SLOPE
    growth_factor = (1.0 + redshift) ** _REDSHIFT_SLOPE
    ratio_factor = ratio**_XI_SLOPE
    major_factor = np.exp((ratio / _RATE_XI) ** _XI_POWER)
    rate: np.ndarray = _RATE * mass_factor * growth_factor * ratio_factor * major_factor
    return rate


def draw_mergers(
    log_mass: np.ndarray, redshift: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mergers of one halo as a Poisson process over redshift and mass ratio.

    ``log_mass`` (G,) is log10 M500c [Msun] on an increasing grid of redshifts (G,). Returns
    redshift and mass ratio of each merger above the threshold, both (M,).
    """
    halo_mass = 10.0**log_mass / CIRCULAR_TO_HALO
    steps = np.gradient(redshift)

    # Columns, (G, 1)
    halo = halo_mass[:, None]
    step = steps[:, None]
    z = redshift[:, None]

    # Mass ratios, log-spaced between the threshold and 1, (G, 200)
    num_ratios = 200
    fraction = (np.arange(num_ratios) + 0.5) / num_ratios
    smallest = np.minimum(THRESHOLD / halo, 1.0)
    ratio = smallest ** (1.0 - fraction)

    # Expected number of events in each cell of redshift and ratio, (G, 200)
    log_width = -np.log(smallest) / num_ratios
    cell = log_width * ratio * step
    expected = merger_rate(halo, ratio, z) * cell

    # Events of a Poisson process are independent once their number is drawn.
    total = expected.sum()
    num = rng.poisson(total)
    probability = (expected / total).ravel()
    chosen = rng.choice(probability.size, size=num, p=probability)
    rows, columns = np.unravel_index(chosen, expected.shape)

    # Redshifts lie anywhere within the step of the grid.
    offset = steps[rows] * (rng.random(num) - 0.5)
    merger_redshift = redshift[rows] + offset
    merger_redshift = np.clip(merger_redshift, 0.0, FIRST_REDSHIFT)
    return merger_redshift, ratio[rows, columns]


def draw_orbits(
    halo_mass: np.ndarray,
    radius: np.ndarray,
    rng: np.random.Generator,
    *,
    total_speed: float = 1.0,
) -> Orbits:
    """Draw infall orbits and follow them to pericentre in an NFW potential.

    The speed at the virial radius scatters about one circular velocity and its radial share follows
    dP/dx ~ exp(B x) - 1 (Jiang+15, arXiv:1409.1179, eqs. 7 and 9; B = 5 for massive hosts). Energy
    and angular momentum then fix speed and distance of the closest approach.

    Args:
        halo_mass: Mass within ``radius`` [Msun], (M,).
        radius: Virial radius [kpc, physical], (M,).
        rng: Source of randomness.
        total_speed: Mean speed at the virial radius in circular velocities.

    Returns:
        The orbits, (M,).
    """
    num = len(radius)
    squared_circular = _NEWTON_G * halo_mass / radius
    circular = np.sqrt(squared_circular)

    # Speed at the virial radius, in circular velocities
    speed = rng.normal(total_speed, 0.15, num)
    speed = np.clip(speed, 0.6, 1.6)

    # Radial share of the speed, from the inverse of its cumulative distribution
    grid = np.linspace(0.0, 1.0, 400)
    density = np.exp(5.0 * grid) - 1.0
    cumulative = np.cumsum(density)
    cumulative = cumulative / cumulative[-1]
    radial = np.interp(rng.random(num), cumulative, grid)
    tangential_share = np.sqrt(1.0 - radial**2)
    tangential = speed * tangential_share

    # Conservation of energy from the virial radius to pericentre
    pericentre = _pericentre(speed, tangential)
    edge = _depth(np.ones(1))
    fall = _depth(pericentre) - edge
    fastest = np.sqrt(speed**2 + 2.0 * fall)
    return Orbits(fastest * circular, pericentre * radius)


def _depth(x: np.ndarray) -> np.ndarray:
    """Return the depth of the NFW potential at x virial radii, in squared circular velocities.

    See Lokas & Mamon (2001), eq. 8.
    """
    shape = np.log1p(_CONCENTRATION * x)
    depth: np.ndarray = shape / (x * _NFW_MASS)
    return depth


def _pericentre(speed: np.ndarray, tangential: np.ndarray) -> np.ndarray:
    """Solve v_t^2 / x^2 = v^2 + 2 (depth(x) - depth(1)) for x < 1 by bisection in log x."""
    num = len(speed)
    lower = np.full(num, np.log(1e-4))
    upper = np.zeros(num)
    edge = _depth(np.ones(1))
    for _ in range(30):
        middle = 0.5 * (lower + upper)
        x = np.exp(middle)

        # left side: needed by angular momentum; right side: allowed by energy
        tangential_squared = tangential**2 / x**2
        fall = _depth(x) - edge
        speed_squared = speed**2 + 2.0 * fall

        is_inside = tangential_squared > speed_squared
        lower = np.where(is_inside, middle, lower)
        upper = np.where(is_inside, upper, middle)
    pericentre: np.ndarray = np.exp(upper)
    return pericentre
