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
        num_targets = len(order)
        super().__init__(num_targets, num_observables)
        undo = torch.argsort(order)
        self.register_buffer("order", order.clone())
        self.register_buffer("undo", undo)

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z = u.index_select(-1, self.order)
        return z, torch.zeros_like(z[..., 0])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u = z.index_select(-1, self.undo)
        return u, torch.zeros_like(u[..., 0])


class ActNorm(Transform):
    """Learned scale and shift of each target (Kingma & Dhariwal 2018, section 3.1).

    Targets are standardised before, so it starts as the identity and not from the first batch.
    """

    def __init__(
        self, num_targets: int, num_observables: int, num_members: int = 1
    ) -> None:
        super().__init__(num_targets, num_observables)
        zeros = torch.zeros(num_members, 1, num_targets)
        self.log_scale = nn.Parameter(zeros)
        self.shift = nn.Parameter(zeros.clone())

    def _log_det(self, u: Tensor) -> Tensor:
        log_det = self.log_scale.sum(-1)  # (K, 1)
        return log_det.expand(u.shape[:-1])

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z = u * self.log_scale.exp() + self.shift
        return z, self._log_det(u)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        inverse_scale = (-self.log_scale).exp()
        u = (z - self.shift) * inverse_scale
        return u, -self._log_det(z)


class Rotation(Transform):
    """Learned rotation of the targets, after a fixed permutation.

    The matrix is the Cayley map (I - A)(I + A)^-1 of a skew matrix A, which starts at zero.
    """

    order: Tensor

    def __init__(
        self, order: Tensor, num_observables: int, num_members: int = 1
    ) -> None:
        num_targets = len(order)
        super().__init__(num_targets, num_observables)
        self.register_buffer("order", order.clone())
        zeros = torch.zeros(num_members, num_targets, num_targets)
        self.skew = nn.Parameter(zeros)

    def _matrix(self) -> Tensor:
        """Orthogonal matrix of each member, (K, D, D), its rows permuted."""
        lower = self.skew.tril(-1)
        skew = lower - lower.mT
        identity = torch.eye(self.num_targets).to(lower)
        # (I + A)^-1 (I - A), which commute
        rotation: Tensor = torch.linalg.solve(identity + skew, identity - skew)
        return rotation[:, self.order]

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z = u @ self._matrix().mT
        return z, torch.zeros_like(z[..., 0])

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u = z @ self._matrix()  # the inverse of an orthogonal matrix is its transpose
        return u, torch.zeros_like(u[..., 0])


class LULinear(Permutation):
    """Learned linear map P L U of the targets (Kingma & Dhariwal 2018, section 3.2).

    P is a fixed permutation; L and U start as the identity.
    """

    def __init__(
        self, order: Tensor, num_observables: int, num_members: int = 1
    ) -> None:
        super().__init__(order, num_observables)
        num_targets = len(order)
        zeros = torch.zeros(num_members, num_targets, num_targets)
        self.triangles = nn.Parameter(zeros)
        self.log_diagonal = nn.Parameter(torch.zeros(num_members, 1, num_targets))

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U of each member, both (K, D, D)."""
        identity = torch.eye(self.num_targets).to(self.triangles)
        lower = self.triangles.tril(-1) + identity
        diagonal = self.log_diagonal.squeeze(1).exp()
        upper = self.triangles.triu(1) + torch.diag_embed(diagonal)
        return lower, upper

    def _log_det(self, u: Tensor) -> Tensor:
        log_det = self.log_diagonal.sum(-1)  # (K, 1)
        return log_det.expand(u.shape[:-1])

    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        mixed = u @ upper.mT @ lower.mT
        z, _ = super()._forward(mixed, x)
        return z, self._log_det(u)

    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        # D is small and B large: the factors are inverted, not solved for every row
        identity = torch.eye(self.num_targets).to(z).expand_as(lower)
        undo_lower = torch.linalg.solve_triangular(
            lower, identity, upper=False, unitriangular=True
        )
        undo_upper = torch.linalg.solve_triangular(upper, identity, upper=True)
        mixed, _ = super()._inverse(z, x)
        u = mixed @ undo_lower.mT @ undo_upper.mT
        return u, -self._log_det(z)
