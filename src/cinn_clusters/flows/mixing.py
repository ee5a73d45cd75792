"""Layers that mix the targets between couplings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


class ActNorm(Transform):
    """Learned scale and shift of each target (Kingma & Dhariwal 2018, section 3.1).

    The targets of this project are standardised before the first layer, so it starts as the
    identity instead of from the first batch.

    Args:
        num_targets: D.
        num_observables: L.
        num_members: K.
    """

    def __init__(self, num_targets: int, num_observables: int, num_members: int = 1) -> None:
        super().__init__(num_targets, num_observables)
        self.log_scale = nn.Parameter(torch.zeros(num_members, 1, num_targets))
        self.shift = nn.Parameter(torch.zeros(num_members, 1, num_targets))

    def _log_det(self, u: Tensor) -> Tensor:
        return self.log_scale.sum(-1).expand(u.shape[:-1])

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return u * self.log_scale.exp() + self.shift, self._log_det(u)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return (z - self.shift) * (-self.log_scale).exp(), -self._log_det(z)


class Rotation(Transform):
    """Learned rotation of the targets: the Cayley map (I - A)(I + A)^-1 of a skew matrix A, after a fixed permutation.

    Args:
        order: Permutation of 0..D-1 from which the rotation starts.
        num_observables: L.
        num_members: K.
    """

    order: Tensor

    def __init__(self, order: Tensor, num_observables: int, num_members: int = 1) -> None:
        super().__init__(len(order), num_observables)
        self.register_buffer("order", order.clone())
        self.skew = nn.Parameter(torch.zeros(num_members, len(order), len(order)))

    def _matrix(self) -> Tensor:
        lower = self.skew.tril(-1)
        skew, one = lower - lower.mT, torch.eye(self.num_targets).to(lower)
        matrix: Tensor = torch.linalg.solve(one + skew, one - skew)
        return matrix[:, self.order]

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return u @ self._matrix().mT, u.new_zeros(u.shape[:-1])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self._matrix(), z.new_zeros(z.shape[:-1])


class LULinear(Transform):
    """Learned linear map P L U of the targets (Kingma & Dhariwal 2018, section 3.2).

    Args:
        order: The fixed permutation P of 0..D-1; L and U start as the identity.
        num_observables: L.
        num_members: K.
    """

    order: Tensor
    undo: Tensor

    def __init__(self, order: Tensor, num_observables: int, num_members: int = 1) -> None:
        super().__init__(len(order), num_observables)
        self.register_buffer("order", order.clone())
        self.register_buffer("undo", torch.argsort(order))
        self.triangles = nn.Parameter(torch.zeros(num_members, len(order), len(order)))
        self.log_diagonal = nn.Parameter(torch.zeros(num_members, 1, len(order)))

    def _factors(self) -> tuple[Tensor, Tensor]:
        one = torch.eye(self.num_targets).to(self.triangles)
        return self.triangles.tril(-1) + one, self.triangles.triu(1) + torch.diag_embed(
            self.log_diagonal[:, 0].exp()
        )

    def _log_det(self, u: Tensor) -> Tensor:
        return self.log_diagonal.sum(-1).expand(u.shape[:-1])

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        return (u @ upper.mT @ lower.mT).index_select(-1, self.order), self._log_det(u)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        one = torch.eye(self.num_targets).to(z).expand_as(self.triangles)
        lower, upper = self._factors()
        undo_lower = torch.linalg.solve_triangular(lower, one, upper=False, unitriangular=True)
        undo_upper = torch.linalg.solve_triangular(upper, one, upper=True)
        return z.index_select(-1, self.undo) @ undo_lower.mT @ undo_upper.mT, -self._log_det(z)
