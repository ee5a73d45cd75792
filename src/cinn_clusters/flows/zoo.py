"""From settings to an untrained flow."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Affine, Element, Spline
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.matching import FlowMatching
from cinn_clusters.flows.mixing import ActNorm, LULinear, Permutation, Rotation
from cinn_clusters.flows.mixture import GaussianMixture
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.config import AutoregressiveConfig, Config

_LEARNED_MIXINGS = {"rotation": Rotation, "lu": LULinear}


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
    members = config.model.members
    make = _MAKERS[config.model.flow]
    if config.model.flow in ("mixture", "flow_matching"):
        generator = torch_stream(config.seed, "weights", 0)
        return Flow([make(config, num_targets, num_observables, generator)], members)
    section = getattr(config, config.model.flow)
    transforms: list[Transform] = []
    for block in range(section.blocks):
        if config.model.act_norm:
            transforms.append(ActNorm(num_targets, num_observables, members))
        generator = torch_stream(config.seed, "weights", block)
        transforms.append(make(config, num_targets, num_observables, generator))
        transforms.append(_mixing(config, block, num_targets, num_observables))
    return Flow(transforms, members)


def _glow(config: Config, num_targets: int, num_observables: int, rng: torch.Generator) -> Coupling:
    network = _network(config, config.glow.hidden, config.glow.layers)
    return Coupling(num_targets, num_observables, rng, Affine(config.glow.clamp), network)


def _spline(
    config: Config, num_targets: int, num_observables: int, rng: torch.Generator
) -> Coupling:
    network = _network(config, config.spline.hidden, config.spline.layers)
    element = Spline(config.spline.bins, config.spline.bound)
    return Coupling(num_targets, num_observables, rng, element, network)


def _autoregressive(
    config: Config, num_targets: int, num_observables: int, rng: torch.Generator
) -> Autoregressive:
    section = config.autoregressive
    network = _network(config, section.hidden, section.layers)
    return Autoregressive(num_targets, num_observables, rng, _element(section), network)


def _element(section: AutoregressiveConfig) -> Element:
    if section.element == "affine":
        return Affine(section.clamp)
    return Spline(section.bins, section.bound)


def _mixture(
    config: Config, num_targets: int, num_observables: int, rng: torch.Generator
) -> GaussianMixture:
    section = config.mixture
    network = _network(config, section.hidden, section.layers)
    return GaussianMixture(num_targets, num_observables, rng, section.components, network)


def _flow_matching(
    config: Config, num_targets: int, num_observables: int, rng: torch.Generator
) -> FlowMatching:
    section = config.flow_matching
    network = _network(config, section.hidden, section.layers)
    return FlowMatching(num_targets, num_observables, rng, section.steps, network)


_MAKERS: dict[str, Callable[[Config, int, int, torch.Generator], Transform]] = {
    "glow": _glow,
    "spline": _spline,
    "autoregressive": _autoregressive,
    "mixture": _mixture,
    "flow_matching": _flow_matching,
}


def _network(config: Config, hidden: int, layers: int) -> NetworkShape:
    model = config.model
    return NetworkShape(model.members, (hidden,) * layers, model.dropout, model.zero_init)


def _mixing(config: Config, block: int, num_targets: int, num_observables: int) -> Transform:
    generator = torch_stream(config.seed, "permutation", block)
    order = torch.randperm(num_targets, generator=generator)
    if config.model.mixing == "permutation":
        return Permutation(order, num_observables)
    layer = _LEARNED_MIXINGS[config.model.mixing]
    return layer(order, num_observables, config.model.members)
