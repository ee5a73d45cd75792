"""The life of one cluster: its growth and its collisions, as a merger catalogue would record them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from cinn_clusters.cosmology import age_at_lookback, log_radius_crit500, lookback_at_redshift
from cinn_clusters.mock.mergers import CIRCULAR_TO_HALO, FIRST_REDSHIFT, THRESHOLD, draw_mergers, draw_orbits

SNAPSHOTS = np.array([99, 91, 84, 78, 72, 67, 59, 50])
REDSHIFTS = np.array([0.0, 0.099402, 0.197284, 0.297718, 0.399927, 0.503048, 0.700106, 0.997294])
ON_SNAPSHOT = 0.64
"""Share of collision times that stand on a snapshot; the others are interpolated."""
MARK_SHARE, MARK_BEFORE = 0.28, 6.6
"""Share of collisions before this age [Gyr] whose host mass was not measured: they carry the mark -1."""
FALL_TIME = 0.5
"""From crossing the virial radius to pericentre, in dynamical times of a tenth of the cosmic age."""


@dataclass(frozen=True)
class History:
    """Growth and collisions of one cluster.

    Args:
        log_mass: log10 M500c [Msun] at the snapshots, (8,).
        age: Cosmic age at each collision [Gyr], increasing, (M,).
        log_speed: log10 relative speed [km/s], (M,).
        host_mass: M500c at the collision [1e14 Msun], -1 where it was not measured, (M,).
        sub_mass: Mass of the subcluster [1e14 Msun], (M,).
        ratio: Mass ratio at infall in (0, 1], (M,).
        log_pericentre: log10 pericentre [kpc], (M,).
    """

    log_mass: np.ndarray
    age: np.ndarray
    log_speed: np.ndarray
    host_mass: np.ndarray
    sub_mass: np.ndarray
    ratio: np.ndarray
    log_pericentre: np.ndarray

    def targets(self) -> np.ndarray:
        """Six numbers a collision, (M, 6), in the order of the catalogue."""
        columns = (self.age, self.log_speed, self.host_mass, self.sub_mass, self.ratio, self.log_pericentre)
        return np.stack(columns, 1)


def draw_history(rng: np.random.Generator) -> History:
    """Draw one cluster.

    Its mass today is normal in log10 about the mass range of TNG-Cluster (Nelson+24, arXiv:2311.06338, fig. 1); it
    grows as M(z) = M(0) exp(-alpha z) (Wechsler+02, astro-ph/0108151, eq. 3).
    """
    mass_today = np.clip(rng.normal(14.63, 0.24), 14.05, 15.3)
    alpha = np.clip(rng.normal(1.25, 0.45), 0.4, 2.6)

    def grown(redshift: np.ndarray) -> np.ndarray:
        return np.asarray(mass_today - alpha * redshift / np.log(10.0))

    grid = np.linspace(0.0, FIRST_REDSHIFT, 60)
    redshift, ratio = draw_mergers(grown(grid), grid, rng)
    age = _collision_age(redshift, rng)
    kept = age <= age_at_lookback(np.zeros(1))
    order = np.argsort(age[kept])
    age, ratio, redshift = age[kept][order], ratio[kept][order], redshift[kept][order]
    log_mass = grown(redshift)
    halo = 10.0**log_mass / CIRCULAR_TO_HALO
    virial = 10.0 ** log_radius_crit500(log_mass, redshift) / (1.0 + redshift) * 1.55  # R200 / R500 at c = 4
    orbits = draw_orbits(halo, virial, rng)
    stripped = np.exp(rng.normal(-0.05, 0.2, len(age)))
    host = 10.0 ** (log_mass - 14.0) * np.exp(rng.normal(0.05, 0.12, len(age)))
    is_marked = (age < MARK_BEFORE) & (rng.random(len(age)) < MARK_SHARE)
    return History(
        grown(REDSHIFTS) + _wobble(age, ratio, rng),
        age,
        np.log10(orbits.speed),
        np.where(is_marked, -1.0, host),
        np.maximum(ratio * halo * stripped, 0.85 * THRESHOLD) / 1e14,
        ratio,
        np.log10(orbits.pericentre),
    )


def since_collision(history_age: np.ndarray) -> np.ndarray:
    """Time since each collision at each snapshot [Gyr], (8, M); negative before it."""
    return np.asarray(snapshot_ages()[:, None] - history_age[None])


@cache
def snapshot_ages() -> np.ndarray:
    """Cosmic ages of the eight snapshots [Gyr]."""
    return age_at_lookback(lookback_at_redshift(REDSHIFTS))


@cache
def recorded_ages() -> np.ndarray:
    """Ages of all snapshots of the simulation [Gyr]: the eight and others about 0.15 Gyr apart."""
    eight = np.sort(snapshot_ages())
    first = age_at_lookback(lookback_at_redshift(np.array([FIRST_REDSHIFT])))
    ends = np.concatenate([first, eight])
    pieces = [np.linspace(a, b, max(1, round((b - a) / 0.15)), endpoint=False) for a, b in pairwise(ends)]
    return np.concatenate([*pieces, eight[-1:]])


def _collision_age(redshift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Age at pericentre as recorded: later than infall, most of it on the next snapshot."""
    infall = age_at_lookback(lookback_at_redshift(redshift))
    age = infall + FALL_TIME * 0.1 * infall * np.exp(rng.normal(0.0, 0.3, len(infall)))
    snapshots = recorded_ages()
    after = np.searchsorted(snapshots, age)
    is_snapped = (rng.random(len(age)) < ON_SNAPSHOT) & (after < len(snapshots))
    return np.where(is_snapped, snapshots[np.minimum(after, len(snapshots) - 1)], age)


def _wobble(age: np.ndarray, ratio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Departure of M500 from smooth growth [dex], (8,): compression at pericentre, then noise (Poole+06)."""
    since = since_collision(age)
    bump = 0.12 * ratio * np.exp(-np.abs(since - 0.3) / 0.5)
    return np.asarray(bump.sum(1) + rng.normal(0.0, 0.02, len(REDSHIFTS)))
