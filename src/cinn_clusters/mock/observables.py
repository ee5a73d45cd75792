"""Observables of a mock cluster: scaling relations whose residuals remember the last collisions."""

from __future__ import annotations

import numpy as np

from cinn_clusters.cosmology import log_radius_crit500, lookback_at_redshift
from cinn_clusters.mock.histories import REDSHIFTS, History, since_collision
from cinn_clusters.schema import BLACK_HOLE_SEED, LOOKBACK

_PIVOT = 14.4
"""log10 M500c [Msun]."""


def draw_observables(
    history: History, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the observables of one cluster at its eight snapshots.

    Every relation has a scatter that the cluster keeps for life and one that is new at each
    snapshot. Returns columns of the catalogue, (8,) each.
    """
    mass = history.log_mass
    num = len(mass)
    relative = mass - _PIVOT
    # the group has held a subcluster since before R500 did
    group = mass - history.log_excess

    def scatter(lasting: float, new: float) -> np.ndarray:
        of_cluster = rng.normal(0.0, lasting)
        of_snapshot = rng.normal(0.0, new, num)
        return of_cluster + of_snapshot

    # subclusters and filaments beyond R500
    filaments = rng.exponential(0.3, num)
    outside = _infalling_mass(history) + filaments
    log_outside = np.log10(1.0 + outside)

    # gas fraction of the group about 0.25, its slope flattened after Arnaud+07, arXiv:0709.1561
    gas = group - 0.71 + 0.02 * relative
    gas = gas + scatter(0.02, 0.03) + log_outside

    # the central subhalo exceeds M500 by its share of the outskirts
    central = group + 0.15 + 0.05 * relative
    central = central + scatter(0.01, 0.03) + 0.6 * log_outside

    # stars of the brightest galaxy and intracluster light: M*/M500 ~ M^-0.3 (Kravtsov+18,
    # arXiv:1401.7329)
    settled = _settling(history)
    stars = group - 1.98 - 0.27 * relative
    stars = stars + scatter(0.06, 0.09) + 0.10 * settled

    # black hole: M_BH ~ M500^1.0 (after Bogdan+18, arXiv:1711.05297); some sit off centre
    black_hole = -0.42 + 1.0 * relative + scatter(0.12, 0.14)
    black_hole = black_hole - rng.exponential(0.12, num)
    black_hole_mass = np.maximum(10.0**black_hole, BLACK_HOLE_SEED)

    return {
        "bcg_SubhaloBHMass": black_hole_mass,
        "bcg_SubhaloMass": central,
        "bcg_StellarMass": stars,
        "Group_M_Crit500": mass,
        "Group_R_Crit500": log_radius_crit500(mass, REDSHIFTS),
        "redshift": REDSHIFTS,
        LOOKBACK: lookback_at_redshift(REDSHIFTS),
        "GroupGasMass": gas,
    }


def _infalling_mass(history: History) -> np.ndarray:
    """Return the mass of subclusters about to reach R500, over the main mass, (8,)."""
    since = since_collision(history.age)
    approach = np.exp(np.minimum(since, 0.0) / 0.6)
    near = np.where(since < 0.0, approach, 0.0)
    mass: np.ndarray = (near * history.ratio).sum(1)
    return mass


def _settling(history: History) -> np.ndarray:
    """Return how much of past collisions has been digested, (8,): grows over 2 Gyr after each."""
    since = since_collision(history.age)
    elapsed = np.maximum(since, 0.0)
    digested = 1.0 - np.exp(-elapsed / 2.0)
    mass: np.ndarray = (digested * history.ratio).sum(1)
    return mass
