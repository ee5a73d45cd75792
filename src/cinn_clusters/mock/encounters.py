"""Collisions as they are at a snapshot: where the subcluster is, and how it moves.

Lengths are in R500 at the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.cosmology import log_radius_crit500
from cinn_clusters.mock.histories import (
    GYR_PER_KPC_S,
    REDSHIFTS,
    History,
    since_collision,
)

_AHEAD, _BEHIND = 1.5, 9.0
"""Collisions are visible from so long before pericentre [Gyr] until so long after."""
MIXING_TIME = 1.8
"""A remnant fades, and the main gas comes to rest, in so long [Gyr] (ZuHone 2011, arXiv:1004.3820;
Poole+06, astro-ph/0608560)."""


@dataclass(frozen=True, eq=False)
class Encounter:
    """One collision at a snapshot, in three dimensions.

    Vectors are (3,): ``position`` of the subcluster relative to the main cluster [R500], and unit
    vectors of its ``motion``, of the infall (``axis``) and of the angular momentum (``normal``).
    """

    since: float  # time since pericentre [Gyr], negative before
    ratio: float  # of the masses
    position: np.ndarray
    motion: np.ndarray
    axis: np.ndarray
    normal: np.ndarray
    pericentre: float  # [R500]
    mach: float  # at pericentre

    def decay(self, time: float) -> float:
        """Return the share exp(-t / time) that is left of what began to decay at pericentre."""
        return float(np.exp(-max(self.since, 0.0) / time))


def encounters_at(history: History, snapshot: int, axes: np.ndarray) -> list[Encounter]:
    """Return the collisions that are visible at a snapshot.

    ``axes`` (M, 2, 3) are the directions of the infall and of the pericentre of each collision.
    """
    redshift, log_mass = REDSHIFTS[snapshot], history.log_mass[snapshot : snapshot + 1]
    comoving_radius = 10.0 ** log_radius_crit500(log_mass, redshift)[0]
    radius = float(comoving_radius / (1.0 + redshift))
    sound_speed = 1100.0 * 10.0 ** ((float(log_mass[0]) - 14.7) / 3.0)  # km/s at 5 keV
    encounters = []
    for number, since in enumerate(since_collision(history.age)[snapshot]):
        if not -_AHEAD < since < _BEHIND:
            continue
        infall, outward = axes[number]
        speed = 10.0 ** history.log_speed[number]
        speed_per_gyr = speed / GYR_PER_KPC_S / radius
        pericentre = 10.0 ** history.log_pericentre[number] / radius
        along, across = _orbit(float(since), speed_per_gyr, pericentre)
        next_along, next_across = _orbit(float(since) + 0.02, speed_per_gyr, pericentre)
        motion = infall * (next_along - along) + outward * (next_across - across)
        encounter = Encounter(
            since=float(since),
            ratio=float(history.ratio[number]),
            position=infall * along + outward * across,
            motion=motion / np.linalg.norm(motion),
            axis=infall,
            normal=np.cross(infall, outward),
            pericentre=pericentre,
            mach=speed / sound_speed,
        )
        encounters.append(encounter)
    return encounters


def _orbit(since: float, speed: float, pericentre: float) -> tuple[float, float]:
    """Return the position along and across the infall [R500] at a time since pericentre [Gyr].

    The subcluster passes at ``speed`` [R500 / Gyr] and ``pericentre`` [R500], turns, and comes
    back, ever closer.
    """
    apocentre = 1.9 + 0.5 * np.log(max(speed, 0.3))
    if since < 0.0:
        slowing = 0.35 * min(-since, 1.5) * speed * 0.3
        return -apocentre * np.tanh(-since * speed / apocentre) - slowing, pericentre
    period = 1.2 * np.pi * apocentre / speed
    swing = apocentre * np.exp(-since / MIXING_TIME)
    return swing * float(np.sin(np.pi * since / period)), pericentre * float(
        np.exp(-since / 1.0)
    )
