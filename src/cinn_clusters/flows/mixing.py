"""Layers that mix the targets between couplings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cinn_clusters.flows.transform import Transform


class Permutation(Transform):
    """Fixed permutation of the targets: image[i] = u[order[i]]."""

    order: Tensor
    undo: Tensor

    def __init__(self, order: Tensor, num_observables: int) -> None:
        super().__init__(len(order), num_observables)
        self.register_buffer("order", order.clone())
        self.register_buffer("undo", torch.argsort(order))

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return u.index_select(-1, self.order), torch.zeros_like(u[..., 0])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return z.index_select(-1, self.undo), torch.zeros_like(z[..., 0])


class ActNorm(Transform):
    """Learned scale and shift of each target (Kingma & Dhariwal 2018, section 3.1).

    Targets are standardised before, so it starts as the identity and not from the first batch.
    """

    def __init__(
        self, num_targets: int, num_observables: int, num_members: int = 1
    ) -> None:
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
    """Learned rotation of the targets, after a fixed permutation.

    The matrix is the Cayley map (I - A)(I + A)^-1 of a skew matrix A, which starts at zero.
    """

    order: Tensor

    def __init__(
        self, order: Tensor, num_observables: int, num_members: int = 1
    ) -> None:
        super().__init__(len(order), num_observables)
        self.register_buffer("order", order.clone())
        self.skew = nn.Parameter(torch.zeros(num_members, len(order), len(order)))

    def _matrix(self) -> Tensor:
        lower = self.skew.tril(-1)
        skew, identity = lower - lower.mT, torch.eye(self.num_targets).to(lower)
        matrix: Tensor = torch.linalg.solve(identity + skew, identity - skew)
        return matrix[:, self.order]

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return u @ self._matrix().mT, torch.zeros_like(u[..., 0])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self._matrix(), torch.zeros_like(z[..., 0])


class LULinear(Permutation):
    """Learned linear map P L U of the targets (Kingma & Dhariwal 2018, section 3.2).

    P is a fixed permutation; L and U start as the identity.
    """

    def __init__(
        self, order: Tensor, num_observables: int, num_members: int = 1
    ) -> None:
        super().__init__(order, num_observables)
        self.triangles = nn.Parameter(torch.zeros(num_members, len(order), len(order)))
        self.log_diagonal = nn.Parameter(torch.zeros(num_members, 1, len(order)))

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(self.num_targets).to(self.triangles)
        diagonal = torch.diag_embed(self.log_diagonal.squeeze(1).exp())
        return self.triangles.tril(-1) + identity, self.triangles.triu(1) + diagonal

    def _log_det(self, u: Tensor) -> Tensor:
        return self.log_diagonal.sum(-1).expand(u.shape[:-1])

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        z, _ = super()._forward(u @ upper.mT @ lower.mT, x)
        return z, self._log_det(u)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        identity = torch.eye(self.num_targets).to(z).expand_as(lower)
        undo_lower = torch.linalg.solve_triangular(
            lower, identity, upper=False, unitriangular=True
        )
        undo_upper = torch.linalg.solve_triangular(upper, identity, upper=True)
        u, _ = super()._inverse(z, x)
        return u @ undo_lower.mT @ undo_upper.mT, -self._log_det(z)
