"""The upper bounds: encoders that learn the ground truth of the training clusters."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from cinn_clusters.embed.method import Method
from cinn_clusters.rng import torch_stream
from cinn_clusters.settings.embedding import SupervisedConfig


class Density(Protocol):
    """What the joint method needs to know of a flow."""

    def loss(self, u: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
        """Loss (1, B) of targets (1, B, D) given features (1, B, L)."""
        ...


class Supervised(Method):
    """Predicts the standardised labels (B, C); maps without labels (NaN) do not count."""

    num_views = 1

    def __init__(
        self, backbone: nn.Module, config: SupervisedConfig, num_labels: int
    ) -> None:
        super().__init__(backbone)
        self.head = nn.Sequential(
            nn.Linear(self.num_features, config.hidden),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(config.hidden, num_labels),
        )

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean absolute error of the labels there are."""
        has_label = torch.isfinite(labels)
        predicted = self.head(self.backbone(views[0]))
        error = (predicted - labels.nan_to_num()).abs()  # NaN would poison the gradient
        return torch.as_tensor((error * has_label).sum() / has_label.sum().clamp(min=1))


class Joint(Method):
    """Encoder and flow trained as one: the log-likelihood of the history given scalars and map.

    Args:
        backbone: Encoder.
        density: Flow of one member; its features are the observables and then the outputs.
        num_targets: D; the labels are the standardised targets and then the observables.
        outputs: Numbers that the map may add to the features.
        seed: Seed of the noise of the flow.
    """

    num_views = 1

    def __init__(
        self,
        backbone: nn.Module,
        *,
        density: Density,
        num_targets: int,
        outputs: int,
        seed: int,
    ) -> None:
        super().__init__(backbone)
        self.density, self.num_targets = density, num_targets
        linear = nn.Linear(self.num_features, outputs)
        self.head = nn.Sequential(linear, nn.BatchNorm1d(outputs, affine=False))
        self.generator = torch_stream(seed, "joint")

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean negative log-likelihood of the rows that have a history."""
        outputs = self.head(self.backbone(views[0]))
        rows = torch.isfinite(labels).all(1)
        u, observables = labels[rows].tensor_split([self.num_targets], 1)
        x = torch.cat([observables, outputs[rows].float()], 1)
        return self.density.loss(u[None], x[None], self.generator).mean()
