"""FrEIA 0.2 as oracle: the same weights give the same latent points, log-determinants and
inverses."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import Permutation
from cinn_clusters.nn.stacked import StackedLinear
from support import glow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import GLOWCouplingBlock, PermuteRandom

NUM_BLOCKS, NUM_HIDDEN, CLAMP = 12, 128, 2.0
TOLERANCE = 1e-9


def _subnet(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_inputs, NUM_HIDDEN), nn.ReLU(), nn.Linear(NUM_HIDDEN, num_outputs)
    )


def _freia_glow(
    num_targets: int, num_observables: int, num_blocks: int = NUM_BLOCKS
) -> SequenceINN:
    """The network of the original cINN-Clusters scripts."""
    network = SequenceINN(num_targets)
    for block in range(num_blocks):
        network.append(
            GLOWCouplingBlock,
            cond=0,
            cond_shape=(num_observables,),
            subnet_constructor=_subnet,
            clamp=CLAMP,
            clamp_activation="ATAN",
        )
        network.append(PermuteRandom, seed=block)
    return network.double()


def _copy_weights(theirs: SequenceINN, ours: Flow) -> None:
    for mine, other in zip(ours.transforms, theirs.module_list, strict=True):
        if isinstance(mine, Permutation):
            mine.order.copy_(other.perm)
            mine.undo.copy_(other.perm_inv)
        else:
            assert isinstance(mine, Coupling)
            _copy_subnet(other.subnet1, mine.subnet1)
            _copy_subnet(other.subnet2, mine.subnet2)


def _copy_subnet(theirs: nn.Sequential, ours: nn.Module | None) -> None:
    assert isinstance(ours, nn.Sequential)
    for mine, other in zip(ours, theirs, strict=True):
        if isinstance(mine, StackedLinear):
            mine.weight.data[0] = other.weight.data.T
            mine.bias.data[0, 0] = other.bias.data


def _pair(
    num_targets: int, num_observables: int, num_blocks: int = NUM_BLOCKS
) -> tuple[SequenceINN, Flow, Tensor, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(num_targets)
        theirs = _freia_glow(num_targets, num_observables, num_blocks)
        for (
            parameter
        ) in theirs.parameters():  # as after training: log-scales reach into the clamp
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        u = torch.randn(50, num_targets, dtype=torch.float64)
        x = torch.randn(50, num_observables, dtype=torch.float64)
    ours = glow(
        num_targets, num_observables, blocks=num_blocks, hidden=NUM_HIDDEN, clamp=CLAMP
    ).double()
    _copy_weights(theirs, ours)
    return theirs, ours, u, x


def _gap(ours: Tensor, theirs: Tensor) -> float:
    return float(
        ((ours[0] - theirs).abs() / theirs.abs().clamp(min=1.0)).max().detach()
    )


@pytest.mark.parametrize(
    ("num_targets", "num_observables"), [(6, 7), (5, 7), (3, 2), (2, 1)]
)
def test_same_weights_give_the_same_flow(
    num_targets: int, num_observables: int
) -> None:
    theirs, ours, u, x = _pair(num_targets, num_observables)
    z_theirs, log_det_theirs = theirs(u, c=[x])
    assert log_det_theirs.std() > 0.1, "the oracle must do something"
    z, log_det = ours(u[None], x[None])
    assert _gap(z, z_theirs) < TOLERANCE
    assert _gap(log_det, log_det_theirs) < TOLERANCE


@pytest.mark.parametrize(
    ("num_targets", "num_observables"), [(6, 7), (5, 7), (3, 2), (2, 1)]
)
def test_same_weights_give_the_same_inverse(
    num_targets: int, num_observables: int
) -> None:
    # few blocks: a flow that stretches by 1e8 cannot be inverted to 1e-9 by anyone
    theirs, ours, u, x = _pair(num_targets, num_observables, 3)
    noise = theirs(u, c=[x])[0].detach()
    assert float(noise.abs().max()) < 1e3
    back_theirs, log_det_theirs = theirs(noise, c=[x], rev=True)
    back, log_det = ours.inverse(noise[None], x[None])
    assert _gap(back, back_theirs) < TOLERANCE
    assert _gap(log_det, log_det_theirs) < TOLERANCE


def test_same_loss_gives_the_same_gradients() -> None:
    theirs, ours, u, x = _pair(6, 7)
    z, log_det = theirs(u, c=[x])
    (0.5 * z.square().sum(1) - log_det).mean().backward()
    (-ours.log_prob(u[None], x[None])).mean().backward()
    for mine, other in zip(
        ours.transforms[::2], list(theirs.module_list)[::2], strict=True
    ):
        for own, subnet in (
            (mine.subnet1, other.subnet1),
            (mine.subnet2, other.subnet2),
        ):
            assert _gap(own[0].weight.grad, subnet[0].weight.grad.T) < TOLERANCE
            assert _gap(own[2].bias.grad[0], subnet[2].bias.grad) < TOLERANCE
