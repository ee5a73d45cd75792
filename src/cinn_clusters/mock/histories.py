"""The life of one cluster: its growth and its collisions, as a merger catalogue records them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from cinn_clusters.cosmology import (
    age_at_lookback,
    log_radius_crit500,
    lookback_at_redshift,
)
from cinn_clusters.mock.mergers import (
    CIRCULAR_TO_HALO,
    FIRST_REDSHIFT,
    THRESHOLD,
    draw_mergers,
    draw_orbits,
)

SNAPSHOTS = np.array([99, 91, 84, 78, 72, 67, 59, 50])
REDSHIFTS = np.array(
    [0.0, 0.099402, 0.197284, 0.297718, 0.399927, 0.503048, 0.700106, 0.997294]
)
_ON_SNAPSHOT = 0.64
"""Share of collision times recorded at a snapshot; the others are interpolated."""
_MARK_SHARE = 0.05
"""Share of collisions whose host mass was not measured and is recorded as -1."""
_STRIPPING = (-0.03, 0.08)
"""Mean and scatter [dex] of the share of its mass, at most 1, that a subcluster keeps until
pericentre."""
_VIRIAL_RADIUS = 1.55
"""R200 / R500 at a concentration of 4."""
_SETTLE_TIME = 2.0
"""Time over which a cluster forgets a collision [Gyr]: a few crossing times (Poole+06,
astro-ph/0608560)."""
GYR_PER_KPC_S = 0.9778
"""One kpc at one km/s takes so many Gyr."""
_FALL_TIME = 0.5
"""From crossing the virial radius to pericentre, in dynamical times of a tenth of the cosmic
age."""


@dataclass(frozen=True, eq=False)
class History:
    """Growth of one cluster at the eight snapshots, (8,), and its collisions, (M,)."""

    log_mass: np.ndarray  # log10 M500c [Msun] at the snapshots
    log_excess: np.ndarray  # part of it that subclusters inside R500 add for a while
    age: np.ndarray  # cosmic age at each collision [Gyr], increasing
    log_speed: np.ndarray  # log10 relative speed [km/s]
    host_mass: np.ndarray  # M500c at the collision [1e14 Msun]; -1: not measured
    sub_mass: np.ndarray  # mass of the subcluster [1e14 Msun]
    ratio: np.ndarray  # mass ratio at infall in (0, 1]
    log_pericentre: np.ndarray  # log10 pericentre [kpc]

    def targets(self) -> np.ndarray:
        """Return the six targets of each collision, (M, 6), in the order of the catalogue."""
        columns = (
            self.age,
            self.log_speed,
            self.host_mass,
            self.sub_mass,
            self.ratio,
            self.log_pericentre,
        )
        return np.stack(columns, 1)


def draw_history(rng: np.random.Generator) -> History:
    """Draw one cluster.

    Its mass today is normal in log10 about the mass range of TNG-Cluster (Nelson+24,
    arXiv:2311.06338, fig. 1); it grows as M(z) = M(0) exp(-alpha z) (Wechsler+02, astro-ph/0108151,
    eq. 3).
    """
    growth = _draw_growth(rng)

    # Subclusters cross the virial radius...
    grid = np.linspace(0.0, FIRST_REDSHIFT, 60)
    redshift, ratio = draw_mergers(growth.log_mass(grid), grid, rng)
    num = len(redshift)
    log_mass = growth.log_mass(redshift)
    halo = 10.0**log_mass / CIRCULAR_TO_HALO
    radius = 10.0 ** log_radius_crit500(log_mass, redshift) / (1.0 + redshift)
    orbits = draw_orbits(halo, radius * _VIRIAL_RADIUS, rng)

    # ... and pass pericentre; the one recorded is that at a snapshot, which may be late.
    age, delay = _collision_age(redshift, rng)
    travelled = orbits.speed * delay / GYR_PER_KPC_S
    log_pericentre = np.log10(np.hypot(orbits.pericentre, travelled))

    # Masses at the collision
    log_remaining = rng.normal(*_STRIPPING, num)
    log_remaining = np.minimum(log_remaining, 0.0)
    sub_mass = ratio * halo * 10.0**log_remaining
    scatter = np.exp(rng.normal(0.18, 0.12, num))
    host = 10.0 ** (log_mass - 14.0) * (1.0 + 0.5 * ratio) * scatter
    is_marked = rng.random(num) < _MARK_SHARE
    host_mass = np.where(is_marked, -1.0, host)

    # Mass of the cluster itself at the eight snapshots
    noise = rng.normal(0.0, 0.05, len(REDSHIFTS))
    excess = _excess(age, ratio)
    final_mass = growth.log_mass(REDSHIFTS) + excess + noise

    # Columns in the order of ``History``, (6, M)
    columns = np.stack(
        [age, np.log10(orbits.speed), host_mass, sub_mass / 1e14, ratio, log_pericentre]
    )
    is_past = age <= snapshot_ages()[0]
    is_recorded = is_past & (sub_mass >= THRESHOLD)
    columns = columns[:, is_recorded]
    order = np.argsort(columns[0])
    return History(final_mass, excess, *columns[:, order])


@dataclass(frozen=True)
class _Growth:
    """Smooth growth of one cluster, M(z) = M(0) exp(-alpha z) (Wechsler+02, eq. 3)."""

    mass_today: float  # log10 M500c [Msun]
    alpha: float

    def log_mass(self, redshift: np.ndarray) -> np.ndarray:
        """Return log10 M500c [Msun]."""
        decades = self.alpha * redshift / np.log(10.0)
        log_mass: np.ndarray = self.mass_today - decades
        return log_mass


def _draw_growth(rng: np.random.Generator) -> _Growth:
    mass_today = rng.normal(14.63, 0.26)
    alpha = rng.normal(1.5, 0.5)
    return _Growth(
        mass_today=np.clip(mass_today, 14.05, 15.3), alpha=np.clip(alpha, 0.4, 3.0)
    )


def since_collision(history_age: np.ndarray) -> np.ndarray:
    """Return the time since each collision at each snapshot [Gyr], (8, M); negative before it."""
    since: np.ndarray = np.subtract.outer(snapshot_ages(), history_age)
    return since


@cache
def snapshot_ages() -> np.ndarray:
    """Return the cosmic ages of the eight snapshots [Gyr]."""
    return age_at_lookback(lookback_at_redshift(REDSHIFTS))


@cache
def recorded_ages() -> np.ndarray:
    """Return the ages of all snapshots [Gyr]: the eight and others about 0.15 Gyr apart."""
    eight = np.sort(snapshot_ages())
    first_lookback = lookback_at_redshift(np.array([FIRST_REDSHIFT]))
    first = age_at_lookback(first_lookback)

    # Equal steps between one of the eight and the next
    ends = np.concatenate([first, eight])
    pieces = []
    for start, stop in pairwise(ends):
        num = max(1, round((stop - start) / 0.15))
        piece = np.linspace(start, stop, num, endpoint=False)
        pieces.append(piece)

    last = eight[-1:]
    return np.concatenate([*pieces, last])


def _collision_age(
    redshift: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the age at pericentre as recorded, and how late that is [Gyr].

    Most ages are those of the nearest snapshot.
    """
    num = len(redshift)
    infall = age_at_lookback(lookback_at_redshift(redshift))

    # The dynamical time is a tenth of the age of the universe at infall.
    scatter = np.exp(rng.normal(0.0, 0.3, num))
    fall = _FALL_TIME * 0.1 * infall * scatter
    age = infall + fall

    # The nearest snapshot: between two midpoints
    snapshots = recorded_ages()
    edges = 0.5 * (snapshots[1:] + snapshots[:-1])
    nearest = snapshots[np.searchsorted(edges, age)]

    is_past = age <= snapshots[-1]
    is_snapped = is_past & (rng.random(num) < _ON_SNAPSHOT)
    recorded = np.where(is_snapped, nearest, age)
    delay = recorded - age
    return recorded, delay


def _excess(age: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return what subclusters inside R500 add to smooth growth [dex], (8,).

    It is all at pericentre, and less as they settle.
    """
    since = since_collision(age)  # (8, M)
    elapsed = np.maximum(since, 0.0)
    remaining = np.exp(-elapsed / _SETTLE_TIME)
    inside = np.where(since >= 0.0, remaining, 0.0)

    added_mass = (inside * ratio).sum(1)
    excess: np.ndarray = np.log10(1.0 + 0.5 * added_mass)
    return excess
