"""Figure 1: what is known of some clusters, target by target, beside what was known before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.density import physical_density, support_of
from cinn_clusters.figures.style import (
    MODE,
    POSTERIOR,
    PRIOR,
    TRUTH,
    label,
    legend_above,
    panels,
    shown_limits,
    styled,
)


@styled
def posterior_distribution(
    samples: np.ndarray,
    truth: np.ndarray,
    mode: np.ndarray,
    prior: np.ndarray,
    targets: Sequence[str],
    names: Sequence[str],
    *,
    age: np.ndarray | None = None,
) -> Figure:
    """Draw marginal posteriors, a row a cluster, a column a target.

    Args:
        samples: Posterior draws, (S, n, D), catalogue units.
        truth: Known histories, (n, D).
        mode: Joint modes, (n, D).
        prior: Histories of the training rows, (P, D).
        targets: Their D columns.
        names: What to call each row, n.
        age: Cosmic age at each observation [Gyr], (n,): the upper bound of a collision time.

    Returns:
        The figure.
    """
    num_rows, num_targets = truth.shape
    limits = shown_limits(np.concatenate([prior, truth, mode, *samples.swapaxes(0, 1)]))
    figure, axes = panels(num_rows, num_targets, (1.75, 1.35), sharex="col")
    for i, d in np.ndindex(num_rows, num_targets):
        axis = axes[i, d]
        support = support_of(targets[d], None if age is None else float(age[i]))
        axis.plot(
            *physical_density(prior[:, d], support_of(targets[d])),
            color=PRIOR,
            ls="--",
            lw=1.0,
            label="prior",
        )
        where, density = physical_density(samples[:, i, d], support)
        axis.fill_between(where, density, color=POSTERIOR, alpha=0.25, lw=0)
        axis.plot(where, density, color=POSTERIOR, label="posterior")
        axis.axvline(mode[i, d], color=MODE, ls="-.", label="joint mode (MAP)")
        axis.axvline(truth[i, d], color=TRUTH, label="truth")
        axis.set(xlim=limits[d], ylim=(0, None), yticks=[])
        if i == num_rows - 1:
            axis.set_xlabel(label(targets[d]))
    for i, name in enumerate(names):
        axes[i, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    legend_above(figure, axes[0, 0])
    return figure
