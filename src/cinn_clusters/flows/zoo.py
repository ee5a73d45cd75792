"""Recipes: a flow is an argument, not a class."""

from __future__ import annotations

import torch

from cinn_clusters.flows.coupling import AffineCoupling
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import Permutation
from cinn_clusters.flows.transform import Transform
from cinn_clusters.rng import torch_stream


def glow(
    num_targets: int,
    num_observables: int,
    *,
    num_members: int = 1,
    num_blocks: int = 12,
    num_hidden: int = 128,
    clamp: float = 2.0,
    zero_last: bool = False,
    seed: int = 42,
) -> Flow:
    """Return a conditional GLOW: affine couplings, each followed by a fixed seeded permutation.

    Args:
        num_targets: D.
        num_observables: L.
        num_members: K, networks trained side by side.
        num_blocks: Couplings.
        num_hidden: Hidden units of each sub-network.
        clamp: Largest |log-scale| of a coupling.
        zero_last: Start as the identity (up to permutations).
        seed: Fixes permutations and initial weights.

    Returns:
        The flow.
    """
    transforms: list[Transform] = []
    for block in range(num_blocks):
        coupling = AffineCoupling(
            num_targets,
            num_observables,
            torch_stream(seed, "weights", block),
            num_members=num_members,
            num_hidden=num_hidden,
            clamp=clamp,
            zero_last=zero_last,
        )
        order = torch.randperm(num_targets, generator=torch_stream(seed, "permutation", block))
        transforms += [coupling, Permutation(order, num_observables)]
    return Flow(transforms, num_members)
