"""How far the members of an ensemble disagree: large where the training table says little."""

from __future__ import annotations

import numpy as np
import torch

from cinn_clusters.posterior.posterior import POINTS_A_BATCH, Posterior, member_noise

NUM_DRAWS = 16


def disagreement(
    posterior: Posterior,
    inputs: np.ndarray,
    num_draws: int = NUM_DRAWS,
    *,
    seed: int = 0,
    places: np.ndarray | None = None,
) -> np.ndarray:
    """Mean Kullback-Leibler divergence between pairs of members, for each object.

    The divergence does not depend on units, so that it is taken where the flows live.

    Args:
        posterior: An ensemble of K members.
        inputs: Catalogue values, (N, L).
        num_draws: Draws of each member by which the divergences are estimated.
        seed: Seed of the draws.
        places: Place of each object in its catalogue, (N,); default 0..N-1. Draws depend on seed and place only.

    Returns:
        Mean over k != j of KL(q_k || q_j) in nats, (N,); zero for a single member.

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    References:
        Lakshminarayanan+17, Simple and scalable predictive uncertainty estimation using deep ensembles, section 3.4.
    """
    context, members = posterior.context(inputs), posterior.flow.num_members
    places = np.arange(len(inputs)) if places is None else places
    result = np.zeros(len(inputs))
    step = max(1, POINTS_A_BATCH // (members * num_draws))
    for begin in range(0, len(inputs), step):
        objects = slice(begin, begin + step)
        x = context.rows(objects).x
        result[objects] = _pairwise(posterior, x, places[objects], num_draws, seed).numpy()
    return result


def _pairwise(posterior: Posterior, x: torch.Tensor, places: np.ndarray, num_draws: int, seed: int) -> torch.Tensor:
    flow, members = posterior.flow, posterior.flow.num_members
    noise = member_noise(seed, places, num_draws, members, flow.num_targets).to(x.device)
    repeated = x.repeat_interleave(num_draws, 0)
    with torch.no_grad():
        drawn = flow.sample(noise, repeated.expand(members, -1, -1))  # (K, n S, D)
        points = drawn.flatten(0, 1).expand(members, -1, -1)  # all draws before all members
        log_prob = flow.log_prob(points, repeated.repeat(members, 1).expand(members, -1, -1))
    table = log_prob.double().cpu().view(members, members, len(places), num_draws).mean(-1)  # (judge, drawn by, n)
    own = table.diagonal().mT  # (drawn by, n)
    pairs = members * (members - 1)
    return (own[None] - table).sum((0, 1)) / pairs if pairs else torch.zeros(len(places), dtype=torch.float64)
