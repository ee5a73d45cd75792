"""From settings to an untrained flow."""

from __future__ import annotations

import torch

from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Affine, Spline
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.matching import FlowMatching
from cinn_clusters.flows.mixing import ActNorm, LULinear, Permutation, Rotation
from cinn_clusters.flows.mixture import GaussianMixture
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.config import (
    AutoregressiveConfig,
    Config,
    FlowMatchingConfig,
    GlowConfig,
    MixtureConfig,
    SplineConfig,
)


def make_flow(config: Config, num_targets: int, num_observables: int) -> Flow:
    """Build an untrained flow of K members.

    Args:
        config: Settings; ``model.flow`` names the flow, the section of that name its arguments.
        num_targets: D.
        num_observables: L.

    Returns:
        The flow, its initial weights and permutations fixed by ``config.seed``.

    Examples:
        >>> flow = make_flow(Config(), 6, 7)
        >>> flow.log_prob(torch.zeros(10, 5, 6), torch.zeros(10, 5, 7)).shape
        torch.Size([10, 5])
    """
    members, section = config.model.members, config.flow
    if isinstance(section, MixtureConfig | FlowMatchingConfig):
        return Flow([_block(config, 0, num_targets, num_observables)], members)
    transforms: list[Transform] = []
    for number in range(section.blocks):
        if config.model.act_norm:
            transforms.append(ActNorm(num_targets, num_observables, members))
        transforms.append(_block(config, number, num_targets, num_observables))
        transforms.append(_mixing(config, number, num_targets, num_observables))
    return Flow(transforms, members)


def _block(
    config: Config, number: int, num_targets: int, num_observables: int
) -> Transform:
    model, section = config.model, config.flow
    hidden = (section.hidden,) * section.layers
    shape = NetworkShape(model.members, hidden, model.dropout, model.zero_init)
    size = (num_targets, num_observables, torch_stream(config.seed, "weights", number))
    match section:
        case GlowConfig():
            return Coupling(*size, Affine(section.clamp), shape)
        case SplineConfig():
            return Coupling(*size, Spline(section.bins, section.bound), shape)
        case AutoregressiveConfig(element="affine"):
            return Autoregressive(*size, Affine(section.clamp), shape)
        case AutoregressiveConfig():
            return Autoregressive(*size, Spline(section.bins, section.bound), shape)
        case MixtureConfig():
            return GaussianMixture(*size, section.components, shape)
        case FlowMatchingConfig():
            return FlowMatching(*size, section.steps, shape)


def _mixing(
    config: Config, number: int, num_targets: int, num_observables: int
) -> Transform:
    generator = torch_stream(config.seed, "permutation", number)
    order = torch.randperm(num_targets, generator=generator)
    match config.model.mixing:
        case "permutation":
            return Permutation(order, num_observables)
        case "rotation":
            return Rotation(order, num_observables, config.model.members)
        case "lu":
            return LULinear(order, num_observables, config.model.members)
