"""The joint mode of a posterior: ascent on the density itself, no kernel and no histogram."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.posterior.posterior import Context, Posterior

NUM_TRIED = 64
NUM_STARTS = 2
NUM_STEPS = 40
FIRST_STEP = 0.2
OBJECTS_A_BATCH = 500


def joint_mode(
    posterior: Posterior, inputs: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the most probable theta of each object (MAP) in catalogue units.

    Starts from the densest of some draws and climbs with Adam in unbounded coordinates; the density
    that is climbed is per unit physical volume. The search stays inside the box that the draws
    span: beyond it a flow extrapolates, and on the edge of a bounded support its density may
    diverge. The best point met is returned, so the result is never worse than the draws it started
    from. A recalibration moves marginals, not modes: it plays no part here.

    Args:
        posterior: The density.
        inputs: Catalogue values, (N, L).
        samples: Posterior draws, (S, N, D); the first 64 are tried as starts, all of them span the
            box.

    Returns:
        Mode (N, D) and its log-density (N,).
    """
    modes, densities = [], []
    for begin in range(0, len(inputs), OBJECTS_A_BATCH):
        part = slice(begin, begin + OBJECTS_A_BATCH)
        context = posterior.context(inputs[part])
        u, log_prob = _search(posterior, context, samples[:, part])
        modes.append(posterior.transforms.physical_targets(u, context.anchors).numpy())
        densities.append(log_prob.numpy())
    return np.concatenate(modes), np.concatenate(densities)


def _search(posterior: Posterior, context: Context, samples: np.ndarray) -> tuple[Tensor, Tensor]:
    u = posterior.transforms.standardise_targets(
        samples.astype(float), context.anchors.expand(samples.shape)
    )  # (S, N, D)
    is_inside = torch.isfinite(u)  # a float32 draw may have been rounded onto its bound
    lower = torch.where(is_inside, u, torch.inf).amin(0)
    upper = torch.where(is_inside, u, -torch.inf).amax(0)
    tried = torch.minimum(torch.maximum(torch.nan_to_num(u[:NUM_TRIED]), lower), upper)
    with torch.no_grad():
        log_prob = torch.stack([posterior.unbounded_log_prob(layer, context) for layer in tried])
    best = log_prob.topk(min(NUM_STARTS, len(tried)), 0).indices  # (starts, N)
    return _climb(
        posterior,
        context,
        tried.gather(0, best[..., None].expand(-1, -1, u.shape[-1])),
        lower,
        upper,
    )


def _climb(
    posterior: Posterior, context: Context, starts: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    num_starts, num_objects, _ = starts.shape
    wide = Context(context.x.repeat(num_starts, 1), context.anchors.repeat(num_starts, 1))
    lower, upper = lower.repeat(num_starts, 1), upper.repeat(num_starts, 1)
    u = starts.flatten(0, 1).clone().requires_grad_()
    optimiser = torch.optim.Adam([u], lr=FIRST_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, NUM_STEPS)
    best, best_log_prob = u.detach().clone(), torch.full((len(u),), -torch.inf, dtype=torch.float64)
    for _ in range(NUM_STEPS):
        log_prob = posterior.unbounded_log_prob(u, wide)
        better = log_prob.detach() > best_log_prob
        best[better], best_log_prob[better] = u.detach()[better], log_prob.detach()[better]
        (u.grad,) = torch.autograd.grad(-log_prob.sum(), u)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            u.copy_(torch.minimum(torch.maximum(u, lower), upper))
    highest, which = best_log_prob.view(num_starts, num_objects).max(0)
    return best.view(starts.shape)[which, torch.arange(num_objects)], highest
