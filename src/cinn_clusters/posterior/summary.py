r"""Point estimates and intervals of posterior samples, one line an object.

The point estimate that comes first is the median of each marginal: it does not depend on the
coordinates, and it lies inside every central interval by construction. The marginal mode is taken
per unit of u, the unbounded standardised coordinate, as the joint mode is (``mode.py``).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.diagnostics.regions import (
    interpolated,
    ordered_neighbours,
    quantiles_of_ordered,
    shortest_of_ordered,
)
from cinn_clusters.posterior.arguments import as_samples
from cinn_clusters.posterior.collision import time_since_collision
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.posterior.posterior import Objects, Posterior
from cinn_clusters.posterior.query import Kernels, Query

TIME_SINCE_COLLISION = "time_since_collision_Gyr"
"""Cosmic age at the observation less that at the collision; the first quantity of a summary."""
INTERVAL_LEVELS = (0.68, 0.95)
_INTERVALS = ("lower68", "upper68", "lower95", "upper95")
SUMMARY_STATISTICS = ("median", "p16", "p84", *_INTERVALS, "mode", "map")
_LEVELS, _QUARTILES = (0.5, 0.16, 0.84), (0.25, 0.5, 0.75)
_QUARTILES_A_SIGMA = 1.349
_NUM_BINS, _HALF_WIDTH = 256, 5.0
"""Bins of the kernel density estimate, between five widths below and above the median."""
_BIN_WIDTH = 2.0 * _HALF_WIDTH / _NUM_BINS
_CENTRES = (np.arange(_NUM_BINS) + 0.5) * _BIN_WIDTH - _HALF_WIDTH
_EDGES = np.arange(1, _NUM_BINS) * _BIN_WIDTH - _HALF_WIDTH


def summarise(
    posterior: Posterior,
    query: Objects,
    samples: np.ndarray,
    *,
    with_map: bool = False,
    kernels: Kernels = "auto",
) -> pd.DataFrame:
    """Summarise posterior samples.

    Args:
        posterior: The density they were drawn from.
        query: Objects, a table of them by name, or their inputs (N, L).
        samples: Posterior samples (S, N, D) in catalogue units.
        with_map: Add the maximum a posteriori per unit of u, which takes longer than the samples.
        kernels: What looks for it, as ``Sampling`` has it; ``auto`` judges by these samples.

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

    ordered = _ordered(samples)
    values = _with_time_since(posterior, query, ordered)  # (N, Q, S)
    statistics = list(quantiles_of_ordered(values, _LEVELS))
    for level in INTERVAL_LEVELS:
        statistics += shortest_of_ordered(values, level)
    modes = _marginal_modes(posterior, query, ordered)
    statistics.append(quantities(modes))
    if with_map:
        modes = samples[0]
        if len(query):
            modes, _ = joint_mode(posterior, query, samples, kernels=kernels)
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
    return _marginal_modes(posterior, posterior.as_query(query), _ordered(samples))


def _ordered(samples: np.ndarray) -> np.ndarray:
    """Samples (S, N, D) of each marginal in ascending order, (N, D, S): all else needs no other."""
    by_marginal = samples.transpose(1, 2, 0)
    ordered = np.sort(np.ascontiguousarray(by_marginal))
    return ordered.astype(float)


def _with_time_since(
    posterior: Posterior, query: Query, ordered: np.ndarray
) -> np.ndarray:
    """Ascending times since the collision, where there are any, before the targets (N, D, S)."""
    by_sample = np.moveaxis(ordered, -1, 0)
    since = time_since_collision(posterior, query.inputs, by_sample)
    if since is None:
        return ordered
    ascending = since[::-1].T
    return np.concatenate([ascending[:, None], ordered], 1)


def _marginal_modes(
    posterior: Posterior, query: Query, ordered: np.ndarray
) -> np.ndarray:
    """The same of ascending samples (N, D, S), whose order a bijection keeps or turns."""
    transforms = posterior.transforms
    anchors = transforms.anchors(query.inputs)
    num_samples = ordered.shape[-1]
    below, above, share = ordered_neighbours(num_samples, _QUARTILES)
    lower = _standardised(transforms, ordered[..., below], anchors)
    upper = _standardised(transforms, ordered[..., above], anchors)
    first, median, last = interpolated(lower, upper, share)
    deviation = np.abs(last - first) / _QUARTILES_A_SIGMA
    width = np.maximum(deviation, np.finfo(float).tiny)
    points = width[..., None] * _EDGES
    edges = torch.from_numpy(points + median[..., None]).movedim(-1, 0)
    physical_edges = transforms.physical_targets(edges, anchors.expand(edges.shape))
    density = _smoothed_counts(ordered, physical_edges.movedim(0, -1).numpy())
    highest = density.argmax(-1)
    modes = median + width * _CENTRES[highest]
    physical = transforms.physical_targets(torch.from_numpy(modes), anchors)
    return physical.numpy()


def _standardised(
    transforms: Transforms, theta: np.ndarray, anchors: Tensor
) -> np.ndarray:
    """Values u (N, D, Q) of theta (N, D, Q)."""
    by_value = np.moveaxis(theta, -1, 0)
    u = transforms.standardise_targets(by_value, anchors.expand(by_value.shape))
    return u.movedim(0, -1).numpy()


def _smoothed_counts(ordered: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Kernel density (N, D, bins), unnormalised, of ascending samples (N, D, S).

    Edges (N, D, bins - 1) lie between the bins; those at the ends are open.
    """
    *shape, num_samples = ordered.shape
    num_edges = edges.shape[-1]
    rows = ordered.reshape(-1, num_samples)
    keys = edges.reshape(-1, num_edges)
    num_below = np.empty(keys.shape, dtype=int)
    for row, key, places in zip(rows, keys, num_below, strict=True):
        places[:] = np.searchsorted(row, key)

    # edges descend where the bijection turns the order
    descend = keys[:, :1] > keys[:, -1:]
    num_before = np.where(descend, num_samples - num_below, num_below)
    counts = np.diff(num_before, axis=1, prepend=0, append=num_samples)
    histograms = counts.astype(np.float32)

    density: np.ndarray = histograms @ _kernel(num_samples)
    return density.reshape(*shape, num_edges + 1)


@lru_cache(maxsize=8)
def _kernel(num_samples: int) -> np.ndarray:
    """Gaussian of each bin about each (bins, bins), by Silverman's rule for samples of width one."""
    bandwidth = 0.9 * num_samples**-0.2
    distance = (_CENTRES[:, None] - _CENTRES) / bandwidth
    kernel: np.ndarray = np.exp(-0.5 * distance**2)
    return kernel.astype(np.float32)
