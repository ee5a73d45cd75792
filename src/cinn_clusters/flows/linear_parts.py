"""Linear parts of a flow as arrays, for whatever computes with them outside PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import MaskedLinear, StackedLinear


def layer_arrays(layer: StackedLinear) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, I, O) and biases (K, O) of a layer; what its mask leaves out is zero."""
    weight: Tensor = layer.weight.detach()
    if isinstance(layer, MaskedLinear):
        weight = weight * layer.mask
    bias = torch.zeros_like(weight[:, :1])
    if layer.bias is not None:
        bias = layer.bias.detach()
    return weight.cpu().numpy(), bias.squeeze(1).cpu().numpy()


def linear_map(
    transforms: Sequence[Transform],
    num_targets: int,
    num_members: int,
    *,
    is_inverse: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrix (K, D, D), shift (K, D) and log|det| (K,) of maps in turn that no x changes.

    They are read off the images of zero and of the unit vectors, in double precision: a point u
    goes to ``u @ matrix + shift``.
    """
    exact = [deepcopy(transform).cpu().double() for transform in transforms]
    if is_inverse:
        exact = exact[::-1]
    points = torch.cat((torch.zeros(1, num_targets), torch.eye(num_targets)))
    images = points.double().expand(num_members, -1, -1)
    log_det = np.zeros(num_members)
    with torch.no_grad():
        for transform in exact:
            x = images.new_zeros(num_members, len(points), transform.num_observables)
            apply = transform.inverse if is_inverse else transform.forward
            images, log_slopes = apply(images, x)
            log_det += log_slopes[:, 0].numpy()
    shift = images[:, 0].numpy()
    return images[:, 1:].numpy() - shift[:, None], shift, log_det
