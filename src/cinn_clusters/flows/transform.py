"""The contract every layer of a flow keeps, checked once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from cinn_clusters.errors import DataError


class Transform(nn.Module, ABC):
    """Invertible map of u given x, for K members at once.

    Subclasses write ``_forward`` and ``_inverse``; both return the image and log|det J| of the map
    they apply. Their constructors take D and L, a generator of the initial weights and the shape of
    their networks, or for layers of parameters alone the number of members K.

    Args:
        num_targets: D.
        num_observables: L.
    """

    def __init__(self, num_targets: int, num_observables: int) -> None:
        super().__init__()
        self.num_targets = num_targets
        self.num_observables = num_observables

    def forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent space.

        Args:
            u: Targets, (K, B, D).
            x: Observables, (K, B, L).

        Returns:
            Image (K, B, D) and log|det| (K, B).

        Raises:
            DataError: If the shapes do not fit.
        """
        self._check(u, x)
        return self._forward(u, x)

    def inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map latent to data space; arguments and results as in ``forward``."""
        self._check(z, x)
        return self._inverse(z, x)

    @abstractmethod
    def _forward(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _inverse(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def _check(self, u: Tensor, x: Tensor) -> None:
        batch = u.shape[:-1]  # (K, B)
        shapes = (*batch, self.num_targets), (*batch, self.num_observables)
        if len(batch) == 2 and (u.shape, x.shape) == shapes:
            return
        name = type(self).__name__
        targets = f"targets (K, B, {self.num_targets})"
        observables = f"observables (K, B, {self.num_observables})"
        got = f"{tuple(u.shape)} and {tuple(x.shape)}"
        raise DataError(name, f"{targets} and {observables}", got)
