r"""Point estimates and intervals of posterior samples, one line an object.

The point estimate that comes first is the median of each marginal: it does not depend on the
coordinates, and it lies inside every central interval by construction. The marginal mode is taken
per unit of u, the unbounded standardised coordinate, as the joint mode is (``mode.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from cinn_clusters import schema
from cinn_clusters.diagnostics.regions import shortest_interval
from cinn_clusters.posterior.arguments import as_samples
from cinn_clusters.posterior.collision import time_since_collision
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.posterior.posterior import Objects, Posterior

TIME_SINCE_COLLISION = "time_since_collision_Gyr"
"""Cosmic age at the observation less that at the collision; the first quantity of a summary."""
INTERVAL_LEVELS = (0.68, 0.95)
_INTERVALS = ("lower68", "upper68", "lower95", "upper95")
SUMMARY_STATISTICS = ("median", "p16", "p84", *_INTERVALS, "mode", "map")
_QUARTILES_A_SIGMA = 1.349
_NUM_BINS, _HALF_WIDTH = 256, 5.0
"""Bins of the kernel density estimate, between five widths below and above the median."""
_BIN_WIDTH = 2.0 * _HALF_WIDTH / _NUM_BINS
_CENTRES = (np.arange(_NUM_BINS) + 0.5) * _BIN_WIDTH - _HALF_WIDTH


def summarise(
    posterior: Posterior, query: Objects, samples: np.ndarray, *, with_map: bool = False
) -> pd.DataFrame:
    """Summarise posterior samples.

    Args:
        posterior: The density they were drawn from.
        query: Objects, a table of them by name, or their inputs (N, L).
        samples: Posterior samples (S, N, D) in catalogue units.
        with_map: Add the maximum a posteriori per unit of u, which takes longer than the samples.

    Returns:
        N rows; for the time since the collision, where its time is a target, and for each target
        the columns ``_median``, ``_p16``, ``_p84``, ``_lower68``, ``_upper68``, ``_lower95``,
        ``_upper95`` (shortest intervals), ``_mode`` (of the marginal) and, on demand, ``_map``.

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    Examples:
        >>> from cinn_clusters import load_posterior
        >>> posterior = load_posterior()
        >>> table = pd.DataFrame({"Group_M_Crit500": [14.7], "lookback_time_Gyr": [2.0]})
        >>> query = posterior.query(table)
        >>> summary = summarise(posterior, query, posterior.sample(query, 100))
        >>> summary.columns[:2].tolist()
        ['time_since_collision_Gyr_median', 'time_since_collision_Gyr_p16']
    """
    query = posterior.as_query(query)
    samples = as_samples(samples, len(query), len(posterior.targets))
    collision_time = posterior.transforms.schema.bounded_time

    def quantities(theta: np.ndarray) -> np.ndarray:
        """The time since collision, where there is one, before the targets."""
        since = time_since_collision(posterior, query.inputs, theta)
        if since is None:
            return theta
        return np.concatenate([since[..., None], theta], -1)

    values = quantities(samples)
    statistics = list(np.quantile(values, [0.5, 0.16, 0.84], axis=0))
    for level in INTERVAL_LEVELS:
        statistics += shortest_interval(values, level)
    statistics.append(quantities(marginal_modes(posterior, query, samples)))
    if with_map:
        modes = samples[0]
        if len(query):
            modes, _ = joint_mode(posterior, query, samples)
        statistics.append(quantities(modes))
    columns = summary_columns(
        posterior.targets, with_map=with_map, collision_time=collision_time
    )
    shape = (len(query), len(columns))
    table = np.stack(statistics, -1)  # (N, Q, statistics)
    return pd.DataFrame(table.reshape(shape), columns=columns)


def summary_columns(
    targets: tuple[str, ...],
    *,
    with_map: bool = True,
    collision_time: str | None = schema.COLLISION_TIME,
) -> list[str]:
    """Return the columns of a summary, in order.

    Examples:
        >>> summary_columns(("last_d_peri",))[:2]
        ['last_d_peri_median', 'last_d_peri_p16']
    """
    quantities = [TIME_SINCE_COLLISION] * (collision_time in targets) + list(targets)
    statistics = SUMMARY_STATISTICS[: None if with_map else -1]
    return [
        f"{quantity}_{statistic}" for quantity in quantities for statistic in statistics
    ]


def marginal_modes(
    posterior: Posterior, query: Objects, samples: np.ndarray
) -> np.ndarray:
    """Mode of each marginal per unit of u, by kernel density estimation of samples (S, N, D).

    Returns the modes (N, D) in catalogue units. The kernel is a Gaussian of Silverman's width.

    References:
        Silverman 1986, Density estimation for statistics and data analysis, eq. 3.31.
    """
    transforms = posterior.transforms
    inputs = posterior.as_query(query).inputs
    anchors = transforms.anchors(inputs)
    of_samples = anchors.expand(samples.shape)
    u = transforms.standardise_targets(samples.astype(float), of_samples).numpy()
    lower, median, upper = np.quantile(u, [0.25, 0.5, 0.75], axis=0)
    deviation = (upper - lower) / _QUARTILES_A_SIGMA
    width = np.maximum(deviation, np.finfo(float).tiny)
    with np.errstate(over="ignore"):  # where most samples stand on a bound
        offset = (u - median) / width
    density = _smoothed_counts(offset)
    highest = density.argmax(-1)
    modes = median + width * _CENTRES[highest]
    physical = transforms.physical_targets(torch.from_numpy(modes), anchors)
    return physical.numpy()


def _smoothed_counts(scaled: np.ndarray) -> np.ndarray:
    """Kernel density (N, D, bins), unnormalised, of samples (S, N, D) of width one about zero."""
    num_samples, *shape = scaled.shape
    num_marginals = int(np.prod(shape))
    position = (scaled + _HALF_WIDTH) / _BIN_WIDTH
    bins = np.clip(position, 0, _NUM_BINS - 1).astype(int)

    # one histogram for all marginals: each has bins of its own
    first_bins = _NUM_BINS * np.arange(num_marginals)
    bins = bins.reshape(num_samples, -1) + first_bins
    counts = np.bincount(bins.ravel(), minlength=_NUM_BINS * num_marginals)
    histograms = counts.reshape(*shape, _NUM_BINS)

    # Silverman's rule for samples of width one
    bandwidth = 0.9 * num_samples**-0.2
    distance = (_CENTRES[:, None] - _CENTRES) / bandwidth
    kernel = np.exp(-0.5 * distance**2)
    density: np.ndarray = histograms @ kernel
    return density
