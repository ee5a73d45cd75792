"""Recipes: a new flow is data, not a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from cinn_clusters.errors import ConfigError
from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Affine, Element, Spline
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.matching import FlowMatching
from cinn_clusters.flows.mixing import ActNorm, LULinear, Permutation, Rotation
from cinn_clusters.flows.mixture import GaussianMixture
from cinn_clusters.flows.transform import Transform
from cinn_clusters.rng import torch_stream

Kind = Literal["glow", "spline", "autoregressive", "mixture", "flow-matching"]
Mixing = Literal["permutation", "rotation", "lu"]
LEARNED = {"rotation": Rotation, "lu": LULinear}


@dataclass(frozen=True)
class Recipe:
    """All that makes a flow but its dimensions. Each kind reads what concerns it.

    Args:
        kind: ``glow``: affine couplings; ``spline``: rational-quadratic spline couplings;
            ``autoregressive``: masked autoregressive transforms; ``mixture``: Gaussian-mixture
            density network; ``flow-matching``: a learned velocity field.
        num_members: K, networks trained side by side.
        num_blocks: Couplings or autoregressive transforms, each followed by a mixing of the
            targets.
        num_hidden: Units of each hidden layer.
        num_layers: Hidden layers of each network.
        element: Map of one target in an autoregressive transform.
        clamp: Largest |log-scale| of an affine map.
        num_bins: Bins of a spline.
        bound: Splines act on [-bound, bound].
        num_components: Gaussians of a mixture.
        num_steps: Steps in which a velocity field is followed.
        mixing: A fixed seeded permutation, or a learned rotation or LU map that starts as one.
        act_norm: Put a learned scale and shift before each block.
        dropout: Share of hidden units that are silenced in training.
        zero_last: Start as the identity (up to permutations).
        seed: Fixes permutations and initial weights.
    """

    kind: Kind = "glow"
    num_members: int = 1
    num_blocks: int = 12
    num_hidden: int = 128
    num_layers: int = 1
    element: Literal["affine", "spline"] = "spline"
    clamp: float = 2.0
    num_bins: int = 8
    bound: float = 5.0
    num_components: int = 8
    num_steps: int = 8
    mixing: Mixing = "permutation"
    act_norm: bool = False
    dropout: float = 0.0
    zero_last: bool = False
    seed: int = 42


def make_flow(recipe: Recipe, num_targets: int, num_observables: int) -> Flow:
    """Build an untrained flow.

    Args:
        recipe: What to build.
        num_targets: D.
        num_observables: L.

    Returns:
        The flow.

    Raises:
        ConfigError: If the kind is unknown.

    Examples:
        >>> flow = make_flow(Recipe("autoregressive", num_members=3, num_blocks=2, num_hidden=16), 6, 7)
        >>> flow.log_prob(torch.zeros(3, 5, 6), torch.zeros(3, 5, 7)).shape
        torch.Size([3, 5])
    """
    if recipe.kind not in get_args(Kind):
        raise ConfigError("flow", f"one of {', '.join(get_args(Kind))}", repr(recipe.kind))
    if recipe.kind in ("mixture", "flow-matching"):
        return Flow([_block(recipe, 0, num_targets, num_observables)], recipe.num_members)
    transforms: list[Transform] = []
    for block in range(recipe.num_blocks):
        if recipe.act_norm:
            transforms.append(ActNorm(num_targets, num_observables, recipe.num_members))
        transforms.append(_block(recipe, block, num_targets, num_observables))
        transforms.append(_mixing(recipe, block, num_targets, num_observables))
    return Flow(transforms, recipe.num_members)


def _block(recipe: Recipe, block: int, num_targets: int, num_observables: int) -> Transform:
    generator = torch_stream(recipe.seed, "weights", block)
    members, dropout, zero_last = recipe.num_members, recipe.dropout, recipe.zero_last
    hidden = (recipe.num_hidden,) * recipe.num_layers
    if recipe.kind == "mixture":
        return GaussianMixture(
            num_targets,
            num_observables,
            generator,
            num_components=recipe.num_components,
            num_members=members,
            hidden=hidden,
            dropout=dropout,
        )
    if recipe.kind == "flow-matching":
        return FlowMatching(
            num_targets,
            num_observables,
            generator,
            num_members=members,
            hidden=hidden,
            num_steps=recipe.num_steps,
        )
    layer = Autoregressive if recipe.kind == "autoregressive" else Coupling
    return layer(
        num_targets,
        num_observables,
        generator,
        _element(recipe),
        num_members=members,
        hidden=hidden,
        dropout=dropout,
        zero_last=zero_last,
    )


def _element(recipe: Recipe) -> Element:
    is_affine = recipe.kind == "glow" or (
        recipe.kind == "autoregressive" and recipe.element == "affine"
    )
    return Affine(recipe.clamp) if is_affine else Spline(recipe.num_bins, recipe.bound)


def _mixing(recipe: Recipe, block: int, num_targets: int, num_observables: int) -> Transform:
    order = torch.randperm(num_targets, generator=torch_stream(recipe.seed, "permutation", block))
    if recipe.mixing == "permutation":
        return Permutation(order, num_observables)
    return LEARNED[recipe.mixing](order, num_observables, recipe.num_members)
