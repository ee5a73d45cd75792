"""Conditional flows of other libraries, of the architecture of ours where they have it.

Each draws D targets given x, from random weights, which cost as much as trained ones. ``glow``: two-sided
affine couplings, each given the other half by a network of one hidden layer, and permutations;
libraries with one-sided couplings get two of them for each. ``default``: masked autoregressions of
rational-quadratic splines and LU maps, one member after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import torch
from torch import Tensor, nn

NUM_TARGETS = 6
GLOW_BLOCKS, GLOW_HIDDEN, CLAMP = 12, 128, 2.0
DEFAULT_BLOCKS, DEFAULT_HIDDEN, DEFAULT_BINS, DEFAULT_BOUND = 2, 48, 5, 4.0
Work = Callable[[], float]


def start(num_observables: int, num_objects: int, num_draws: int) -> Tensor:
    """Seed, take one thread, and return observables (N, L)."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return torch.randn(num_objects, num_observables)


def subnet(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_inputs, GLOW_HIDDEN),
        nn.ReLU(),
        nn.Linear(GLOW_HIDDEN, num_outputs),
    )


def freia_network(num_observables: int) -> nn.Module:
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import GLOWCouplingBlock, PermuteRandom

    network = SequenceINN(NUM_TARGETS)
    for block in range(GLOW_BLOCKS):
        network.append(
            GLOWCouplingBlock,
            cond=0,
            cond_shape=(num_observables,),
            subnet_constructor=subnet,
            clamp=CLAMP,
            clamp_activation="ATAN",
        )
        network.append(PermuteRandom, seed=block)
    return network.eval()


def freia_batched(num_observables: int, num_objects: int, num_draws: int) -> Work:
    """All draws of all objects in one call."""
    x = start(num_observables, num_objects, num_draws)
    network = freia_network(num_observables)

    def work() -> float:
        wide = x.repeat_interleave(num_draws, 0)
        z = torch.randn(len(wide), NUM_TARGETS)
        network(z, c=[wide], rev=True)
        return len(wide)

    return work


def freia_by_object(num_observables: int, num_objects: int, num_draws: int) -> Work:
    """One call an object, as the original scripts do."""
    x = start(num_observables, num_objects, num_draws)
    network = freia_network(num_observables)

    def work() -> float:
        for row in x:
            wide = row.expand(num_draws, -1)
            z = torch.randn(num_draws, NUM_TARGETS)
            network(z, c=[wide], rev=True)
        return num_objects * num_draws

    return work


def freia_density(num_observables: int, num_objects: int, num_draws: int) -> Work:
    x = start(num_observables, num_objects, num_draws)
    network = freia_network(num_observables)
    u = torch.randn(num_objects * num_draws, NUM_TARGETS)

    def work() -> float:
        z, log_det = network(u, c=[x.repeat_interleave(num_draws, 0)])
        _ = log_det - 0.5 * z.square().sum(1)
        return len(u)

    return work


def zuko_flow(architecture: str, num_observables: int) -> nn.Module:
    import zuko

    if architecture == "glow":
        return zuko.flows.NICE(
            NUM_TARGETS,
            num_observables,
            transforms=2 * GLOW_BLOCKS,
            hidden_features=(GLOW_HIDDEN,),
        )
    return zuko.flows.NSF(
        NUM_TARGETS,
        num_observables,
        transforms=DEFAULT_BLOCKS,
        bins=DEFAULT_BINS,
        hidden_features=(DEFAULT_HIDDEN,),
    )


def zuko_batched(
    architecture: str, num_observables: int, num_objects: int, num_draws: int
) -> Work:
    x = start(num_observables, num_objects, num_draws)
    flow = zuko_flow(architecture, num_observables)

    def work() -> float:
        flow(x).sample((num_draws,))
        return num_objects * num_draws

    return work


def zuko_density(
    architecture: str, num_observables: int, num_objects: int, num_draws: int
) -> Work:
    x = start(num_observables, num_objects, num_draws)
    flow = zuko_flow(architecture, num_observables)
    u = torch.randn(num_draws, num_objects, NUM_TARGETS)

    def work() -> float:
        flow(x).log_prob(u)
        return num_objects * num_draws

    return work


class _Subnet(nn.Module):
    """The network of a coupling of nflows, which passes the context apart."""

    def __init__(self, num_inputs: int, num_outputs: int, num_observables: int) -> None:
        super().__init__()
        self.layers = subnet(num_inputs + num_observables, num_outputs)

    def forward(self, inputs: Tensor, context: Tensor) -> Tensor:
        return self.layers(torch.cat((inputs, context), 1))


def nflows_flow(architecture: str, num_observables: int) -> nn.Module:
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import (
        AffineCouplingTransform,
        CompositeTransform,
        LULinear,
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
        RandomPermutation,
    )

    transforms: list[nn.Module] = []
    if architecture == "glow":
        masks = cycle(
            (torch.arange(NUM_TARGETS) % 2, (torch.arange(NUM_TARGETS) + 1) % 2)
        )
        for number, mask in zip(range(2 * GLOW_BLOCKS), masks, strict=False):
            coupling = AffineCouplingTransform(
                mask, lambda inputs, outputs: _Subnet(inputs, outputs, num_observables)
            )
            transforms.append(coupling)
            if number % 2:
                transforms.append(RandomPermutation(NUM_TARGETS))
    else:
        for _ in range(DEFAULT_BLOCKS):
            transforms += [
                MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
                    NUM_TARGETS,
                    DEFAULT_HIDDEN,
                    context_features=num_observables,
                    num_bins=DEFAULT_BINS,
                    tails="linear",
                    tail_bound=DEFAULT_BOUND,
                    num_blocks=1,
                    use_residual_blocks=False,
                ),
                LULinear(NUM_TARGETS),
            ]
    return Flow(CompositeTransform(transforms), StandardNormal([NUM_TARGETS])).eval()


def nflows_batched(
    architecture: str, num_observables: int, num_objects: int, num_draws: int
) -> Work:
    x = start(num_observables, num_objects, num_draws)
    flow = nflows_flow(architecture, num_observables)

    def work() -> float:
        flow.sample(num_draws, context=x)
        return num_objects * num_draws

    return work


def sbi_batched(
    architecture: str, num_observables: int, num_objects: int, num_draws: int
) -> Work:
    """The density estimators of sbi, through which its posteriors draw.

    A number of hidden features would make as many hidden layers as there are transforms; a list
    makes one.
    """
    from sbi.neural_nets.net_builders.flow import build_zuko_nice, build_zuko_nsf

    x = start(num_observables, num_objects, num_draws)
    theta = torch.randn(max(num_objects, 100), NUM_TARGETS)
    several = torch.randn(len(theta), num_observables)
    if architecture == "glow":
        estimator = build_zuko_nice(
            theta,
            several,
            hidden_features=[GLOW_HIDDEN],
            num_transforms=2 * GLOW_BLOCKS,
        )
    else:
        estimator = build_zuko_nsf(
            theta,
            several,
            hidden_features=[DEFAULT_HIDDEN],
            num_transforms=DEFAULT_BLOCKS,
            num_bins=DEFAULT_BINS,
        )

    def work() -> float:
        estimator.sample((num_draws,), condition=x)
        return num_objects * num_draws

    return work


def matrix_product(size: int = 1024) -> Work:
    """Float32 product of square matrices on one thread; units are operations."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, size, size)

    def work() -> float:
        a @ b
        return 2.0 * size**3

    return work
