"""Figure 1: marginal posteriors of some clusters beside the prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.density import physical_density, support_of
from cinn_clusters.figures.inference import TRUTH_LABEL, Inference
from cinn_clusters.figures.style import (
    Colour,
    axis_limits,
    legend_above,
    panels,
    styled,
)


@styled
def posterior_distribution(
    inference: Inference, prior: np.ndarray, names: Sequence[str], *, age: np.ndarray
) -> Figure:
    """Draw marginal posteriors, a row for each cluster, a column for each target.

    Args:
        inference: Posteriors of n clusters.
        prior: Histories of the training rows, (P, D).
        names: Name of each cluster.
        age: Cosmic age at each observation [Gyr], (n,): the upper bound of a collision time.
    """
    truth, estimate, targets = inference.truth, inference.estimate, inference.targets
    name = inference.estimate_name
    samples = inference.samples.reshape(-1, len(targets))
    values = np.concatenate([prior, truth, estimate, samples])
    limits = axis_limits(values)
    figure, axes = panels(len(truth), len(targets), (1.6, 1.35), sharex="col")
    for (i, d), axis in np.ndenumerate(axes):
        target = targets[d]
        grid, density = physical_density(prior[:, d], support_of(target))
        axis.plot(grid, density, color=Colour.PRIOR, ls="--", lw=1.0, label="prior")

        support = support_of(target, float(age[i]))
        grid, density = physical_density(inference.samples[:, i, d], support)
        axis.fill_between(grid, density, color=Colour.POSTERIOR, alpha=0.25, lw=0)
        axis.plot(grid, density, color=Colour.POSTERIOR, label="posterior")

        axis.axvline(estimate[i, d], color=Colour.ESTIMATE, ls="-.", label=name)
        axis.axvline(truth[i, d], color=Colour.TRUTH, label=TRUTH_LABEL)
        axis.set(xlim=limits[d], ylim=(0, None), yticks=[])

    for axis, label in zip(axes[-1], inference.labels, strict=True):
        axis.set_xlabel(label)
    for axis, cluster in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(cluster, rotation=0, ha="right", va="center")
    legend_above(figure, axes[0, 0])
    return figure
