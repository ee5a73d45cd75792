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
        modes.append(density.transforms.physical_targets(u, density.anchors).numpy())
        log_densities.append(log_density.numpy())
    return np.concatenate(modes), np.concatenate(log_densities)


def _search(density: MixtureDensity, samples: np.ndarray) -> tuple[Tensor, Tensor]:
    """Best u (N, D) and its log-density (N,)."""
    anchors = density.anchors.expand(samples.shape)
    u = density.transforms.standardise_targets(
        samples.astype(float), anchors
    )  # (S, N, D)
    is_inside = torch.isfinite(
        u
    )  # a float32 sample may have been rounded onto its bound
    lower = torch.where(is_inside, u, torch.inf).amin(0)
    upper = torch.where(is_inside, u, -torch.inf).amax(0)
    candidates = torch.nan_to_num(u[:NUM_CANDIDATES]).clamp(lower, upper)
    with torch.no_grad():
        log_density = torch.stack(list(map(density.log_prob, candidates)))
    num_starts = min(NUM_STARTS, len(candidates))
    best = log_density.topk(num_starts, 0).indices  # (starts, N)
    starts = candidates.gather(0, best[..., None].expand(-1, -1, u.shape[-1]))
    box = lower.repeat(num_starts, 1), upper.repeat(num_starts, 1)
    climbed, highest = _climb(density.repeat(num_starts), starts.flatten(0, 1), box)
    log_density, start = highest.view(num_starts, -1).max(0)
    return climbed.view(starts.shape)[start, torch.arange(len(start))], log_density


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
        is_better = log_density.detach() > highest
        best[is_better] = u.detach()[is_better]
        highest[is_better] = log_density.detach()[is_better]
        (u.grad,) = torch.autograd.grad(-log_density.sum(), u)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            u.copy_(u.clamp(*box))
    return best, highest
