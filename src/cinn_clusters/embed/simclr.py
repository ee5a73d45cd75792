r"""SimCLR: Chen+20, arXiv:2002.05709.

.. math:: -\log \frac{e^{q_i \cdot k_i / \tau}}{\sum_j e^{q_i \cdot k_j / \tau}}

(eq. 1; InfoNCE of van den Oord+18, arXiv:1807.03748, eq. 4), where j runs over the maps of other
clusters: snapshots of one cluster are no negatives of each other.
"""

from __future__ import annotations

import torch
from lightly.models.modules.heads import SimCLRProjectionHead
from lightly.utils.dist import gather, rank
from torch import Tensor, distributed, nn
from torch.nn import functional

from cinn_clusters.embed.method import Method
from cinn_clusters.settings.embedding import SimCLRConfig


class SimCLR(Method):
    """Two views of a map find each other among all maps of a batch."""

    def __init__(self, backbone: nn.Module, config: SimCLRConfig) -> None:
        super().__init__(backbone)
        self.temperature = config.temperature
        self.head = SimCLRProjectionHead(
            self.num_features, config.hidden, config.outputs
        )

    def loss(self, views: list[Tensor], clusters: Tensor, labels: Tensor) -> Tensor:
        """Mean of both directions."""
        first, second = (self.head(self.backbone(view)) for view in views)
        there = info_nce(first, second, clusters, self.temperature, same=True)
        back = info_nce(second, first, clusters, self.temperature, same=True)
        return 0.5 * (there + back)


def info_nce(
    queries: Tensor,
    keys: Tensor,
    clusters: Tensor,
    temperature: float,
    *,
    same: bool = False,
) -> Tensor:
    """Cross-entropy of finding the key of each query among the keys of other clusters.

    Args:
        queries: Projections of one view, (B, F).
        keys: Those of the other, (B, F); row i belongs to query i.
        clusters: Number of the cluster of each row, (B,).
        temperature: Divides the cosines.
        same: Whether queries are negatives of each other, too (SimCLR).

    Returns:
        Mean loss, a scalar.
    """
    queries, keys = (
        functional.normalize(queries, dim=1),
        functional.normalize(keys, dim=1),
    )
    position = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    is_related = clusters[:, None] == of_all_processes(clusters)
    is_excluded = is_related.scatter(1, position[:, None], value=False)
    cosines = queries @ of_all_processes(keys).T
    logits = cosines.masked_fill(is_excluded, -torch.inf)
    if same:
        cosines = queries @ of_all_processes(queries).T
        among_queries = cosines.masked_fill(is_related, -torch.inf)
        logits = torch.cat([logits, among_queries], 1)
    return functional.cross_entropy(logits / temperature, position)


def of_all_processes(rows: Tensor) -> Tensor:
    """Rows (B, ...) of every process in the order of their ranks; gradients flow back to each."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    return torch.cat(list(gather(rows)))
