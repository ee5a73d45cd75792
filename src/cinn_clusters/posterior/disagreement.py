"""How far the members of an ensemble disagree: large where the training table says little."""

from __future__ import annotations

import numpy as np
import torch

from cinn_clusters.parallel import parallel_map
from cinn_clusters.posterior.posterior import POINTS_A_BATCH, Posterior, member_noise

NUM_DRAWS = 8
NUM_NEIGHBOURS = 2
"""Members that judge the draws of each, those after it on a ring: all pairs of a large ensemble
tell hardly more."""


def disagreement(
    posterior: Posterior,
    inputs: np.ndarray,
    num_draws: int = NUM_DRAWS,
    *,
    seed: int = 0,
    places: np.ndarray | None = None,
) -> np.ndarray:
    """Mean Kullback-Leibler divergence between members, for each object.

    The divergence does not depend on units, so that it is taken where the flows live.

    Args:
        posterior: An ensemble of K members.
        inputs: Catalogue values, (N, L).
        num_draws: Draws of each member by which the divergences are estimated.
        seed: Seed of the draws.
        places: Place of each object in its catalogue, (N,); default 0..N-1. Draws depend on seed
            and place only.

    Returns:
        Mean of KL(q_k || q_j) in nats over members k and up to two members j after each, (N,); zero
        for one member.

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    References:
        Lakshminarayanan+17, Simple and scalable predictive uncertainty estimation using deep
        ensembles, section 3.4.
    """
    context, members = posterior.context(inputs), posterior.flow.num_members
    places = np.arange(len(inputs)) if places is None else places
    step = max(1, POINTS_A_BATCH // (members * num_draws))
    pieces = [slice(begin, begin + step) for begin in range(0, len(inputs), step)]

    def divergences(objects: slice) -> np.ndarray:
        return _pairwise(
            posterior, context.rows(objects).x, places[objects], num_draws, seed
        ).numpy()

    return np.concatenate([np.zeros(0), *parallel_map(divergences, pieces)])


def _pairwise(
    posterior: Posterior, x: torch.Tensor, places: np.ndarray, num_draws: int, seed: int
) -> torch.Tensor:
    flow, members = posterior.flow, posterior.flow.num_members
    neighbours = min(NUM_NEIGHBOURS, members - 1)
    if neighbours == 0:
        return torch.zeros(len(places), dtype=torch.float64)
    noise = member_noise(seed, places, num_draws, members, flow.num_targets).to(x.device)
    given = x.repeat_interleave(num_draws, 0).expand(members, -1, -1)
    with torch.no_grad():
        drawn = flow.sample(noise, given)  # (K, n S, D)
        own = flow.log_prob(drawn, given)
        others = [
            flow.log_prob(drawn.roll(shift, 0), given).roll(-shift, 0)
            for shift in range(1, neighbours + 1)
        ]
    divergence = (
        torch.stack([own - other for other in others]).double().cpu().mean((0, 1))
    )  # (n S,)
    return divergence.view(len(places), num_draws).mean(1)
