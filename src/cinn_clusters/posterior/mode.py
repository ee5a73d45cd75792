r"""Modes of a posterior, in the unbounded standardised coordinates u.

A density per physical unit is no property of the posterior alone: p(tau) = p(u) |du / dtau|
diverges wherever a bound squeezes the support, so that its maximum is the bound itself. The
maximum a posteriori (MAP) here is that of q(u | x), which is regular: no Jacobian to physical
units enters, and the point found is mapped back.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.errors import DataError
from cinn_clusters.posterior.arguments import as_samples
from cinn_clusters.posterior.contexts import MixtureDensity
from cinn_clusters.posterior.posterior import NUM_MARGINAL_SAMPLES, Objects, Posterior
from cinn_clusters.posterior.query import Query

NUM_CANDIDATES = 64
NUM_STARTS = 2
NUM_STEPS = 40
FIRST_STEP = 0.2
OBJECTS_A_BATCH = 500


def joint_mode(
    posterior: Posterior, query: Objects, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum a posteriori (MAP) of each object, of the density per unit of u.

    Adam climbs from the densest of some samples. The search stays inside the box that the samples
    span, since a flow extrapolates beyond it. The best point met is returned, so the result is
    never worse than the samples it started from. A posterior that is averaged over realisations of
    its observables has the mode of that mixture. A recalibration moves the mode as it moves samples.

    Args:
        posterior: The density.
        query: Objects, a table of them by name, or their inputs (N, L).
        samples: Posterior samples (S, N, D) in catalogue units; the first 64 are tried as starts,
            all of them span the box.

    Returns:
        Mode (N, D) in catalogue units, and its log-density per unit of u, (N,).

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    Examples:
        >>> import pandas as pd
        >>> from cinn_clusters import load_posterior
        >>> posterior = load_posterior()
        >>> table = pd.DataFrame({"Group_M_Crit500": [14.7], "lookback_time_Gyr": [2.0]})
        >>> query = posterior.query(table)
        >>> mode, _ = joint_mode(posterior, query, posterior.sample(query, 100))
        >>> mode.shape
        (1, 6)
    """
    query = posterior.as_query(query)
    samples = as_samples(samples, len(query), len(posterior.targets))
    if not len(query):
        raise DataError("modes", "one object or more", "none")
    if posterior.recalibration is None:
        return _raw_modes(posterior, query, samples)
    unmoved = posterior.without_recalibration()
    raw_samples = unmoved.sample(query, NUM_MARGINAL_SAMPLES)
    raw_modes, log_densities = _raw_modes(unmoved, query, raw_samples)
    return posterior.recalibration.move(raw_modes, raw_samples), log_densities


def _raw_modes(
    posterior: Posterior, query: Query, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Modes (N, D) without a recalibration, and their log-densities (N,)."""
    modes, log_densities = [], []
    step = max(1, OBJECTS_A_BATCH // posterior.num_contexts)
    for objects in query.batches(step):
        density = posterior.density(query.rows(objects))
        u, log_density = _search(density, samples[:, objects])
        physical = density.transforms.physical_targets(u, density.anchors)
        modes.append(physical.numpy())
        log_densities.append(log_density.numpy())
    return np.concatenate(modes), np.concatenate(log_densities)


def _search(density: MixtureDensity, samples: np.ndarray) -> tuple[Tensor, Tensor]:
    """Best u (N, D) and its log-density (N,)."""
    anchors = density.anchors.expand(samples.shape)
    physical = samples.astype(float)
    u = density.transforms.standardise_targets(physical, anchors)  # (S, N, D)
    lower, upper = _box(u)
    candidates = torch.nan_to_num(u[:NUM_CANDIDATES])
    starts = _densest(density, candidates.clamp(lower, upper))
    num_starts = len(starts)
    boxes = lower.repeat(num_starts, 1), upper.repeat(num_starts, 1)
    densities = density.repeat(num_starts)
    climbed, highest = _climb(densities, starts.flatten(0, 1), boxes)
    log_density, start = highest.view(num_starts, -1).max(0)
    ends = climbed.view(starts.shape)
    objects = torch.arange(len(start))
    return ends[start, objects], log_density


def _box(u: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (N, D) of samples (S, N, D)."""
    # a float32 sample may have been rounded onto its bound
    is_inside = torch.isfinite(u)
    lower = torch.where(is_inside, u, torch.inf)
    upper = torch.where(is_inside, u, -torch.inf)
    return lower.amin(0), upper.amax(0)


def _densest(density: MixtureDensity, candidates: Tensor) -> Tensor:
    """The candidates (C, N, D) of highest density, (starts, N, D)."""
    with torch.no_grad():
        log_densities = list(map(density.log_prob, candidates))
    num_starts = min(NUM_STARTS, len(candidates))
    best = torch.stack(log_densities).topk(num_starts, 0).indices  # (starts, N)
    index = best[..., None].expand(-1, -1, candidates.shape[-1])
    return candidates.gather(0, index)


def _climb(
    density: MixtureDensity, starts: Tensor, box: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Climb from each start (M, D) inside its box; the best points met and their densities."""
    u = starts.clone().requires_grad_()
    optimiser = torch.optim.Adam([u], lr=FIRST_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, NUM_STEPS)
    best = starts.clone()
    highest = torch.full((len(u),), -torch.inf, dtype=torch.float64)
    for _ in range(NUM_STEPS):
        log_density = density.log_prob(u)
        height = log_density.detach()
        is_better = height > highest
        best[is_better] = u.detach()[is_better]
        highest[is_better] = height[is_better]
        (u.grad,) = torch.autograd.grad(-log_density.sum(), u)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            u.copy_(u.clamp(*box))
    return best, highest
