"""Layers that mix the targets between couplings."""

from __future__ import annotations

import torch
from torch import Tensor

from cinn_clusters.flows.transform import Transform


class Permutation(Transform):
    """Fixed permutation of the targets: image[i] = u[order[i]].

    Args:
        order: Permutation of 0..D-1.
        num_observables: L.
    """

    order: Tensor
    undo: Tensor

    def __init__(self, order: Tensor, num_observables: int) -> None:
        super().__init__(len(order), num_observables)
        self.register_buffer("order", order.clone())
        self.register_buffer("undo", torch.argsort(order))

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return u.index_select(-1, self.order), u.new_zeros(u.shape[:-1])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return z.index_select(-1, self.undo), z.new_zeros(z.shape[:-1])
