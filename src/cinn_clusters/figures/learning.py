"""Learning curves of training, and the skill of the model against references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.style import Colour, panels, styled

ScoreBand = tuple[float, float, float]
"""Value, lower and upper end."""
_COLOURS = (Colour.POSTERIOR, Colour.ESTIMATE, Colour.ACCENT, Colour.SECOND)


@styled
def learning_curves(
    epoch: Sequence[int], train: Sequence[float], held_out: Sequence[float]
) -> Figure:
    """Draw mean NLL in standardised units by epoch (E,), the lowest held-out loss marked.

    A held-out loss that rises while that of training falls means overfitting.
    """
    figure, axes = panels(1, 1, (4.6, 3.0))
    axis = axes[0, 0]
    axis.plot(epoch, train, color=Colour.POSTERIOR, label="training")
    axis.plot(epoch, held_out, color=Colour.TRUTH, ls="--", label="held out")
    best = int(np.argmin(held_out))
    axis.plot(
        epoch[best],
        held_out[best],
        "D",
        color=Colour.ESTIMATE,
        mec="k",
        mew=0.5,
        label=f"lowest, epoch {epoch[best]}",
    )
    axis.set(xlabel="epoch", ylabel="mean NLL [nats, standardised units]")

    # the first epochs may be far above the others
    low, high = np.quantile([*train, *held_out], [0.0, 0.95])
    margin = 0.08 * (high - low)
    axis.set_ylim(low - margin, high + 2 * margin)
    axis.legend()
    return figure


@styled
def skill_bars(
    skill: Mapping[str, Mapping[str, ScoreBand]], *, score: str = "CRPS"
) -> Figure:
    """Draw the share of a reference's score that the model saves, one colour for each reference.

    ``skill`` holds bands by reference, then by label; 0 is no better than the reference, 1 perfect.
    """
    figure, axes = panels(1, 1, (5.6, 3.0))
    axis = axes[0, 0]
    first, *_ = skill.values()
    labels = list(first)
    centres = np.arange(len(labels))

    # bars of all references share 0.8 of the way from one label to the next
    width = 0.8 / len(skill)
    middle = 0.5 * (len(skill) - 1)
    for k, (reference, bands) in enumerate(skill.items()):
        values = np.array([bands[label] for label in labels])  # (labels, 3)
        value, lower, upper = values.T
        position = centres + (k - middle) * width
        errors = np.clip([value - lower, upper - value], 0, None)
        legend, colour = f"against the {reference}", _COLOURS[k % 4]
        axis.bar(position, value, 0.9 * width, color=colour, label=legend)
        axis.errorbar(
            position, value, errors, fmt="none", ecolor="k", elinewidth=0.8, capsize=2
        )
    axis.axhline(0, color="k", lw=0.7)

    symbols = [label.partition(" [")[0] for label in labels]  # a skill has no unit
    axis.set_xticks(centres, symbols, rotation=30, ha="right")
    axis.set(ylabel=f"skill in {score}, 99 % band")
    axis.legend()
    return figure
