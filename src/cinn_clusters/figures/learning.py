"""How training went, and what the model is worth beside simpler answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.style import (
    ACCENT,
    MODE,
    POSTERIOR,
    SECOND,
    TRUTH,
    label,
    panels,
    styled,
)

Band = tuple[float, float, float]
"""Value, lower and upper end."""


@styled
def learning_curves(
    epoch: Sequence[int], train: Sequence[float], held_out: Sequence[float]
) -> Figure:
    """Draw the loss by epoch; a held-out loss that rises while training falls tells of overfitting.

    Args:
        epoch: (E,).
        train: Mean training NLL, (E,), standardised units.
        held_out: Mean held-out NLL, (E,).

    Returns:
        The figure; the epoch of the lowest held-out loss is marked.
    """
    figure, axes = panels(1, 1, (4.6, 3.0))
    axis = axes[0, 0]
    axis.plot(epoch, train, color=POSTERIOR, label="training")
    axis.plot(epoch, held_out, color=TRUTH, ls="--", label="held out")
    best = int(np.argmin(held_out))
    axis.plot(
        epoch[best],
        held_out[best],
        "D",
        color=MODE,
        mec="k",
        mew=0.5,
        label=f"lowest, epoch {epoch[best]}",
    )
    axis.set(xlabel="epoch", ylabel="mean NLL, standardised units")
    low, high = np.quantile([*train, *held_out], [0.0, 0.95])
    axis.set_ylim(low - 0.08 * (high - low), high + 0.15 * (high - low))
    axis.legend()
    return figure


@styled
def skill_bars(skill: Mapping[str, Mapping[str, Band]], *, score: str = "CRPS") -> Figure:
    """Draw the share of a reference's score that the model saves.

    Args:
        skill: Bands by reference, then by target (any other name stands as it is).
        score: Which score.

    Returns:
        Bars by target, one colour a reference: 0 is no better than it, 1 is perfect.
    """
    names = list(next(iter(skill.values())))
    figure, axes = panels(1, 1, (5.6, 3.0))
    axis, width = axes[0, 0], 0.8 / len(skill)
    for k, (reference, bands) in enumerate(skill.items()):
        value, lower, upper = np.array([bands[name] for name in names]).T
        where = np.arange(len(names)) + (k - 0.5 * (len(skill) - 1)) * width
        colour = (POSTERIOR, MODE, ACCENT, SECOND)[k % 4]
        errors = np.clip([value - lower, upper - value], 0, None)
        axis.bar(where, value, 0.9 * width, color=colour, label=f"against the {reference}")
        axis.errorbar(where, value, errors, fmt="none", ecolor="k", elinewidth=0.8, capsize=2)
    axis.axhline(0, color="k", lw=0.7)
    axis.set_xticks(range(len(names)), [label(name) for name in names], rotation=30, ha="right")
    axis.set(ylabel=f"skill in {score}, 99 % band")
    axis.legend()
    return figure
