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
from cinn_clusters.posterior.posterior import Context, Objects, Posterior

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
    never worse than the samples it started from. A recalibration moves marginals, not modes: it
    plays no part here.

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
    modes, log_densities = [], []
    for objects in query.batches(OBJECTS_A_BATCH):
        context = posterior.context(query.inputs[objects])
        u, log_density = _search(posterior, context, samples[:, objects])
        modes.append(posterior.transforms.physical_targets(u, context.anchors).numpy())
        log_densities.append(log_density.numpy())
    return np.concatenate(modes), np.concatenate(log_densities)


def _search(
    posterior: Posterior, context: Context, samples: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Best u (N, D) and its log-density (N,)."""
    anchors = context.anchors.expand(samples.shape)
    u = posterior.transforms.standardise_targets(
        samples.astype(float), anchors
    )  # (S, N, D)
    is_inside = torch.isfinite(
        u
    )  # a float32 sample may have been rounded onto its bound
    lower = torch.where(is_inside, u, torch.inf).amin(0)
    upper = torch.where(is_inside, u, -torch.inf).amax(0)
    candidates = torch.nan_to_num(u[:NUM_CANDIDATES]).clamp(lower, upper)
    with torch.no_grad():
        log_density = torch.stack(
            [posterior.unbounded_log_prob(c, context) for c in candidates]
        )
    num_starts = min(NUM_STARTS, len(candidates))
    best = log_density.topk(num_starts, 0).indices  # (starts, N)
    starts = candidates.gather(0, best[..., None].expand(-1, -1, u.shape[-1]))
    repeated = Context(
        context.x.repeat(num_starts, 1), context.anchors.repeat(num_starts, 1)
    )
    box = lower.repeat(num_starts, 1), upper.repeat(num_starts, 1)
    climbed, highest = _climb(posterior, repeated, starts.flatten(0, 1), box)
    log_density, start = highest.view(num_starts, -1).max(0)
    return climbed.view(starts.shape)[start, torch.arange(len(start))], log_density


def _climb(
    posterior: Posterior, context: Context, starts: Tensor, box: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Climb from each start (M, D) inside its box; the best points met and their densities."""
    u = starts.clone().requires_grad_()
    optimiser = torch.optim.Adam([u], lr=FIRST_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, NUM_STEPS)
    best = starts.clone()
    highest = torch.full((len(u),), -torch.inf, dtype=torch.float64)
    for _ in range(NUM_STEPS):
        log_density = posterior.unbounded_log_prob(u, context)
        is_better = log_density.detach() > highest
        best[is_better] = u.detach()[is_better]
        highest[is_better] = log_density.detach()[is_better]
        (u.grad,) = torch.autograd.grad(-log_density.sum(), u)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            u.copy_(u.clamp(*box))
    return best, highest
