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
_SPIRAL_TIME = 1.0
"""Pericentre shrinks in so long [Gyr]."""
_MOMENT = 0.02
"""The direction of motion is taken over so long [Gyr]."""


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
        elapsed = max(self.since, 0.0)
        share = np.exp(-elapsed / time)
        return float(share)


def encounters_at(history: History, snapshot: int, axes: np.ndarray) -> list[Encounter]:
    """Return the collisions that are visible at a snapshot.

    ``axes`` (M, 2, 3) are the directions of the infall and of the pericentre of each collision.
    """
    radius, sound_speed = _radius_and_sound_speed(history, snapshot)
    since_pericentre = since_collision(history.age)[snapshot].tolist()
    speeds = 10.0**history.log_speed
    pericentres = 10.0**history.log_pericentre / radius

    encounters = []
    for number, since in enumerate(since_pericentre):
        if not -_AHEAD < since < _BEHIND:
            continue

        # Place on the orbit now and a moment later, in R500 of the snapshot
        speed = speeds[number]
        speed_per_gyr = speed / GYR_PER_KPC_S / radius
        pericentre = pericentres[number]
        along, across = _orbit(since, speed_per_gyr, pericentre)
        next_along, next_across = _orbit(since + _MOMENT, speed_per_gyr, pericentre)

        # From the plane of the orbit to the box
        infall, outward = axes[number]
        position = infall * along + outward * across
        motion = infall * (next_along - along) + outward * (next_across - across)
        encounter = Encounter(
            since=since,
            ratio=float(history.ratio[number]),
            position=position,
            motion=motion / np.linalg.norm(motion),
            axis=infall,
            normal=np.cross(infall, outward),
            pericentre=pericentre,
            mach=speed / sound_speed,
        )
        encounters.append(encounter)
    return encounters


def _radius_and_sound_speed(history: History, snapshot: int) -> tuple[float, float]:
    """Return R500 [physical kpc] and the speed of sound in the gas [km/s] at a snapshot."""
    redshift = REDSHIFTS[snapshot]
    log_mass = history.log_mass[snapshot : snapshot + 1]
    (log_radius,) = log_radius_crit500(log_mass, redshift)
    radius = float(10.0**log_radius / (1.0 + redshift))

    # 1100 km/s at 5 keV, the temperature of 10^14.7 Msun; T ~ M^(2/3), so c ~ M^(1/3)
    log_ratio = (float(log_mass[0]) - 14.7) / 3.0
    sound_speed = 1100.0 * 10.0**log_ratio
    return radius, sound_speed


def _orbit(since: float, speed: float, pericentre: float) -> tuple[float, float]:
    """Return the position along and across the infall [R500] at a time since pericentre [Gyr].

    The subcluster passes at ``speed`` [R500 / Gyr] and ``pericentre`` [R500], turns, and comes
    back, ever closer.
    """
    # Faster encounters swing farther out.
    log_speed = np.log(max(speed, 0.3))
    apocentre = 1.9 + 0.5 * log_speed

    if since < 0.0:
        # It comes in from far outside, slower the farther it is from pericentre.
        remaining = -since
        time_outside = min(remaining, 1.5)
        slowing = 0.35 * time_outside * speed * 0.3
        approach = np.tanh(remaining * speed / apocentre)
        along = -apocentre * approach - slowing
        return along, pericentre

    # Dynamical friction damps the swing through the centre.
    period = 1.2 * np.pi * apocentre / speed
    swing = apocentre * np.exp(-since / MIXING_TIME)
    phase = np.pi * since / period
    shrinking = np.exp(-since / _SPIRAL_TIME)
    along = swing * float(np.sin(phase))
    across = pericentre * float(shrinking)
    return along, across
