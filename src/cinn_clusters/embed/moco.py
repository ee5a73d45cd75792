"""MoCo v2 (Chen+20, arXiv:2003.04297) and v3 (Chen+21, arXiv:2104.02057).

Both lower InfoNCE with keys of a slow copy (He+20, arXiv:1911.05722, eqs. 1-2).
"""

from __future__ import annotations

import copy

import torch
from lightly.models.modules.heads import MoCoProjectionHead, SimSiamPredictionHead
from torch import Tensor, nn
from torch.nn import functional

from cinn_clusters.embed.method import MomentumMethod, num_features_of
from cinn_clusters.embed.simclr import info_nce, of_all_processes
from cinn_clusters.settings.embedding import MoCoV2Config, MoCoV3Config


class MoCoV2(MomentumMethod):
    """Negatives come from a queue of earlier keys of other clusters."""

    queue: Tensor
    queue_clusters: Tensor

    def __init__(self, backbone: nn.Module, config: MoCoV2Config) -> None:
        num_features = num_features_of(backbone)
        head = MoCoProjectionHead(num_features, config.hidden, config.outputs)
        super().__init__(backbone, head, copy.deepcopy(head), config.momentum)
        self.temperature = config.temperature
        self.register_buffer("queue", torch.zeros(config.queue, config.outputs))
        self.register_buffer("queue_clusters", torch.full((config.queue,), -1))

    def momentum_at(self, share: float) -> float:
        """The momentum, which does not change."""
        return self.momentum

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of finding the key of each query among those of the queue."""
        queries = functional.normalize(self.head(self.backbone(views[0])), dim=1)
        keys = functional.normalize(self.keys(views[1]), dim=1)
        is_related = self.queue_clusters == clusters[:, None]
        is_excluded = is_related | (self.queue_clusters < 0)  # -1: not filled yet
        positives = (queries * keys).sum(1, keepdim=True)
        negatives = (queries @ self.queue.T).masked_fill(is_excluded, -torch.inf)
        logits = torch.cat([positives, negatives], 1) / self.temperature
        target = torch.zeros(len(queries), dtype=torch.long, device=logits.device)
        self._enqueue(keys, clusters)
        return functional.cross_entropy(logits, target)

    def _enqueue(self, keys: Tensor, clusters: Tensor) -> None:
        """Put keys of all processes first; the oldest fall out."""
        newest = of_all_processes(keys.to(self.queue))
        newest_clusters = of_all_processes(clusters)
        size = len(self.queue)
        self.queue = torch.cat([newest, self.queue])[:size]
        self.queue_clusters = torch.cat([newest_clusters, self.queue_clusters])[:size]


class MoCoV3(MomentumMethod):
    """Negatives are the other clusters of the batch; queries go through a predictor."""

    def __init__(self, backbone: nn.Module, config: MoCoV3Config) -> None:
        num_features = num_features_of(backbone)
        hidden, outputs = config.hidden, config.outputs
        head = MoCoProjectionHead(num_features, hidden, outputs, batch_norm=True)
        super().__init__(backbone, head, copy.deepcopy(head), config.momentum)
        self.temperature = config.temperature
        self.predictor = SimSiamPredictionHead(outputs, hidden, outputs)

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (
            self.predictor(self.head(self.backbone(view))) for view in views
        )
        there = info_nce(first, self.keys(views[1]), clusters, self.temperature)
        back = info_nce(second, self.keys(views[0]), clusters, self.temperature)
        return 0.5 * (there + back)
