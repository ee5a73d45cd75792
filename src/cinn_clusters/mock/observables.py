"""What a survey would see of a cluster: scaling relations whose residuals remember the last collisions."""

from __future__ import annotations

import numpy as np

from cinn_clusters.cosmology import log_radius_crit500
from cinn_clusters.mock.histories import REDSHIFTS, History, since_collision

PIVOT = 14.4


def draw_observables(history: History, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the observables of one cluster at its eight snapshots.

    Every relation has a scatter that the cluster keeps for life and one that is new at each snapshot.

    Args:
        history: Growth and collisions.
        rng: Source of randomness.

    Returns:
        Catalogue columns, (8,) each.
    """
    mass = history.log_mass
    relative = mass - PIVOT

    def scatter(kept: float, new: float) -> np.ndarray:
        return rng.normal(0.0, kept) + rng.normal(0.0, new, len(mass))

    outside = _infalling_mass(history)
    settled = _settling(history)
    # whole-group gas fraction about 0.25, rising with mass as M^0.08 (slope: Arnaud+07, arXiv:0709.1561);
    # the gas of a subcluster belongs to the group before its mass is inside R500
    gas = mass - 0.66 + 0.08 * relative + scatter(0.05, 0.03) + np.log10(1.0 + 1.5 * outside)
    # the central subhalo exceeds M500 by its share of the outskirts; a subcluster takes its mass along until it merges
    central = mass + 0.20 + scatter(0.03, 0.03) + 0.5 * np.log10(1.0 + outside) - 0.06 * settled
    # stars of the brightest galaxy, intracluster light included: M*/M500 ~ M^-0.35 (Kravtsov+18, arXiv:1401.7329)
    stars = mass - 1.98 - 0.35 * relative + scatter(0.10, 0.03) + 0.06 * settled
    # black hole against halo: M_BH ~ M500^0.75 (Bogdan+18, arXiv:1711.05297)
    black_hole = -0.5 + 0.75 * relative + scatter(0.28, 0.08) + 0.05 * settled
    return {
        "bcg_SubhaloBHMass": np.maximum(10.0**black_hole, 1.6e-4),
        "bcg_SubhaloMass": central,
        "bcg_StellarMass": stars,
        "Group_M_Crit500": mass,
        "Group_R_Crit500": log_radius_crit500(mass, REDSHIFTS),
        "GroupGasMass": gas,
    }


def _infalling_mass(history: History) -> np.ndarray:
    """Mass of subclusters at the gate or just through, over the main mass, (8,)."""
    since = since_collision(history.age)
    near = np.where(since < 0.0, np.exp(since / 0.6), np.exp(-since / 0.8))
    return np.asarray((near * history.ratio).sum(1))


def _settling(history: History) -> np.ndarray:
    """How much of past collisions has been digested, (8,): grows over two billion years after each."""
    since = np.maximum(since_collision(history.age), 0.0)
    return np.asarray(((1.0 - np.exp(-since / 2.0)) * history.ratio).sum(1))
