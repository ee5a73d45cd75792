"""MoCo v2 (Chen+20, arXiv:2003.04297) and v3 (Chen+21, arXiv:2104.02057)."""

from __future__ import annotations

import torch
from lightly.models.modules.heads import MoCoProjectionHead, SimSiamPredictionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn
from torch.nn import functional

from cinn_clusters.embed.contrast import info_nce, of_all_processes
from cinn_clusters.embed.method import Method, cosine_momentum, momentum_copy
from cinn_clusters.settings.embedding import MoCoV2Config, MoCoV3Config


class MoCoV2(Method):
    """Keys come from an encoder that follows slowly; negatives from a queue of earlier keys of other clusters.

    Args:
        backbone: Encoder.
        config: Its settings.
    """

    queue: Tensor
    queue_clusters: Tensor

    def __init__(self, backbone: nn.Module, config: MoCoV2Config) -> None:
        super().__init__(backbone)
        self.temperature, self.momentum = config.temperature, config.momentum
        self.head = MoCoProjectionHead(self.num_features, config.hidden, config.outputs)
        self.key_backbone, self.key_head = momentum_copy(backbone), momentum_copy(self.head)
        self.register_buffer("queue", torch.zeros(config.queue, config.outputs))
        self.register_buffer("queue_clusters", torch.full((config.queue,), -1))

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the own key among those of the queue."""
        queries = functional.normalize(self.head(self.backbone(views[0])), dim=1)
        with torch.no_grad():
            keys = functional.normalize(self.key_head(self.key_backbone(views[1])), dim=1)
        unusable = (self.queue_clusters[None] == clusters[:, None]) | (self.queue_clusters < 0)[
            None
        ]
        negatives = (queries @ self.queue.T).masked_fill(unusable, -torch.inf)
        logits = torch.cat([(queries * keys).sum(1, keepdim=True), negatives], 1) / self.temperature
        loss = functional.cross_entropy(
            logits, torch.zeros(len(queries), dtype=torch.long, device=logits.device)
        )
        newest, newest_clusters = (
            of_all_processes(keys.detach().to(self.queue)),
            of_all_processes(clusters),
        )
        self.queue = torch.cat([newest, self.queue])[: len(self.queue)]
        self.queue_clusters = torch.cat([newest_clusters, self.queue_clusters])[
            : len(self.queue_clusters)
        ]
        return loss

    def after_step(self, share: float) -> None:
        """Move the key encoder."""
        update_momentum(self.backbone, self.key_backbone, self.momentum)
        update_momentum(self.head, self.key_head, self.momentum)


class MoCoV3(Method):
    """No queue: negatives are the other clusters of the batch, and the query goes through a predictor.

    Args:
        backbone: Encoder.
        config: Its settings.
    """

    def __init__(self, backbone: nn.Module, config: MoCoV3Config) -> None:
        super().__init__(backbone)
        self.temperature, self.momentum = config.temperature, config.momentum
        hidden, outputs = config.hidden, config.outputs
        self.head = MoCoProjectionHead(self.num_features, hidden, outputs, batch_norm=True)
        self.predictor = SimSiamPredictionHead(outputs, hidden, outputs)
        self.key_backbone, self.key_head = momentum_copy(backbone), momentum_copy(self.head)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        queries = [self.predictor(self.head(self.backbone(view))) for view in views]
        with torch.no_grad():
            keys = [self.key_head(self.key_backbone(view)) for view in views]
        there = info_nce(queries[0], keys[1], clusters, self.temperature)
        return 0.5 * (there + info_nce(queries[1], keys[0], clusters, self.temperature))

    def after_step(self, share: float) -> None:
        """Move the key encoder."""
        momentum = cosine_momentum(self.momentum, share)
        update_momentum(self.backbone, self.key_backbone, momentum)
        update_momentum(self.head, self.key_head, momentum)
