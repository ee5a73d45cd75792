"""Figure 3: are the error bars as large as the errors?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.style import (
    MODE,
    POSTERIOR,
    TRUTH,
    binned,
    label,
    legend_above,
    plain_log_axis,
    styled,
    target_panels,
)

SHARES = (0.68, 0.95)


@styled
def uncertainties(
    samples: np.ndarray, truth: np.ndarray, mode: np.ndarray, targets: Sequence[str]
) -> Figure:
    """Draw the error of the joint mode against the standard deviation of the posterior.

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D).
        mode: Joint modes, (N, D).
        targets: Their D columns.

    Returns:
        A panel a target, both axes logarithmic; 68th and 95th percentile of the error in bins of
        the deviation, beside what Gaussian posteriors around the truth would give (1 and 2 standard
        deviations).
    """
    deviation, error = samples.std(0, ddof=1), np.abs(mode - truth)
    figure, axes = target_panels(targets)
    for d, axis in enumerate(axes):
        floor = max(
            float(np.quantile(error[:, d], 0.02)), 1e-3 * float(deviation[:, d].max()), 1e-12
        )
        axis.loglog(
            deviation[:, d],
            np.maximum(error[:, d], floor),
            ".",
            ms=3,
            mew=0,
            alpha=0.4,
            color=POSTERIOR,
            label="cluster at a snapshot",
            rasterized=True,
        )
        middle, percentiles = binned(deviation[:, d], error[:, d], SHARES)
        ends = np.quantile(deviation[:, d], [0, 1])
        for k, (style, colour) in enumerate((("-", MODE), ("--", TRUTH))):
            axis.plot(
                ends,
                (k + 1) * ends,
                color="0.3",
                ls=style,
                lw=0.8,
                label=f"{k + 1} sigma (Gaussian)",
            )
            axis.plot(
                middle,
                percentiles[k],
                color=colour,
                ls=style,
                marker="o",
                ms=3,
                label=f"{SHARES[k]:.0%} of errors",
            )
        axis.set(
            title=label(targets[d]), xlabel="posterior standard deviation", ylabel="|MAP - truth|"
        )
        axis.set_ylim(bottom=0.8 * floor)
        for line in (axis.xaxis, axis.yaxis):
            plain_log_axis(line)
    legend_above(figure, axes[0])
    return figure
