r"""Disagreement of an ensemble, a measure of epistemic uncertainty.

It is the mean divergence KL(q_k || q_j) between members, large where the training table says
little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cinn_clusters.parallel import parallel_map
from cinn_clusters.posterior.posterior import (
    POINTS_A_BATCH,
    Objects,
    Posterior,
    member_noise,
)
from cinn_clusters.posterior.query import Kernels, Sampling

NUM_NEIGHBOURS = 2
"""Members that evaluate the samples of each, those after it on a ring: all pairs of a large
ensemble add hardly anything."""


def disagreement(
    posterior: Posterior,
    query: Objects,
    num_samples: int = 8,
    *,
    seed: int = 0,
    kernels: Kernels = "auto",
) -> np.ndarray:
    """Mean Kullback-Leibler divergence between members, for each object.

    The divergence does not depend on units, so that it is taken in the coordinates of the flows.

    Args:
        posterior: An ensemble of K members.
        query: Objects, or their inputs (N, L).
        num_samples: Samples of each member by which the divergences are estimated.
        seed: Samples of an object depend on the seed and the object itself only.
        kernels: What draws and judges samples, as ``Sampling`` has it.

    Returns:
        Mean of KL(q_k || q_j) in nats over members k and up to two members j after each, (N,); zero
        for one member.

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    References:
        Lakshminarayanan+17, Simple and scalable predictive uncertainty estimation using deep
        ensembles, section 3.4.
    """
    query = posterior.as_query(query)
    num_members = posterior.flow.num_members
    job = Sampling(num_members * num_samples, kernels=kernels).for_job(len(query))
    sampling = Sampling(num_samples, seed, kernels=job.kernels)
    context = posterior.context(query.inputs)
    step = max(1, POINTS_A_BATCH // (num_members * num_samples))

    def divergences(objects: slice) -> np.ndarray:
        streams = query.rows(objects).streams
        return _pairwise(posterior, context.x[objects], streams, sampling)

    return np.concatenate(
        [np.zeros(0), *parallel_map(divergences, list(query.batches(step)))]
    )


def _pairwise(
    posterior: Posterior, x: torch.Tensor, streams: Sequence[int], sampling: Sampling
) -> np.ndarray:
    """Mean divergence of the members, (n,)."""
    num_members, num_objects = posterior.flow.num_members, len(streams)
    num_shifts = min(NUM_NEIGHBOURS, num_members - 1)
    if num_shifts < 1:
        return np.zeros(num_objects)
    num_targets = posterior.flow.num_targets
    noise = member_noise(sampling, streams, num_members, num_targets)
    shape = (num_members, num_objects, -1, num_targets)
    used = noise.view(shape)[:, :, : sampling.num_samples]
    is_compiled = sampling.kernels == "compiled"
    engines = posterior.engines
    with torch.no_grad():
        u = engines.sample(used.unsqueeze(2), x.unsqueeze(1), is_compiled)
        points = u.squeeze(2)  # (K, n, P, D)
        log_prob = engines.log_prob(points, x, is_compiled)
        neighbours = []
        for shift in range(1, num_shifts + 1):
            of_neighbour = engines.log_prob(points.roll(shift, 0), x, is_compiled)
            neighbours.append(of_neighbour.roll(-shift, 0))
    log_ratio = log_prob - torch.stack(neighbours)
    divergence = log_ratio.double().mean((0, 1, 3))
    return divergence.numpy()
