"""The upper bounds: encoders that see the answers of the training clusters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cinn_clusters.embed.method import Method
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.embedding import SupervisedConfig


class Supervised(Method):
    """Predicts the standardised labels; maps without labels (NaN) do not count.

    Args:
        backbone: Encoder.
        config: Its settings.
        num_labels: C.
    """

    num_views = 1

    def __init__(self, backbone: nn.Module, config: SupervisedConfig, num_labels: int) -> None:
        super().__init__(backbone)
        self.head = nn.Sequential(
            nn.Linear(self.num_features, config.hidden),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(config.hidden, num_labels),
        )

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean absolute error of the labels that are known."""
        is_known = torch.isfinite(labels)
        error = (
            self.head(self.backbone(views[0])) - labels.nan_to_num()
        ).abs()  # NaN would poison the gradient
        return torch.as_tensor((error * is_known).sum() / is_known.sum().clamp(min=1))


class Joint(Method):
    """Encoder and density trained as one: the log-likelihood of the history given scalars and map.

    Args:
        backbone: Encoder.
        density: Module with ``loss(u, x, generator)`` -> (1, B), its context the observables and
            then the outputs.
        num_targets: D; the labels are the standardised targets and then the standardised
            observables.
        outputs: Numbers that the map may add to the context.
        seed: Seed of the density's noise.
    """

    num_views = 1

    def __init__(
        self, backbone: nn.Module, *, density: nn.Module, num_targets: int, outputs: int, seed: int
    ) -> None:
        super().__init__(backbone)
        self.density, self.num_targets = density, num_targets
        self.head = nn.Sequential(
            nn.Linear(self.num_features, outputs), nn.BatchNorm1d(outputs, affine=False)
        )
        self.generator = torch_stream(seed, "joint")

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean negative log-likelihood of the rows that have a history."""
        told = self.head(self.backbone(views[0]))
        rows = torch.isfinite(labels).all(1)
        u, x = labels[rows].split([self.num_targets, labels.shape[1] - self.num_targets], 1)
        context = torch.cat([x, told[rows].float()], 1)
        return torch.as_tensor(self.density.loss(u[None], context[None], self.generator)).mean()  # type: ignore[operator]
