"""The contrastive loss, with the knowledge that snapshots of one cluster are no strangers."""

from __future__ import annotations

import torch
from lightly.utils.dist import gather, rank
from torch import Tensor, distributed
from torch.nn import functional


def info_nce(
    queries: Tensor, keys: Tensor, clusters: Tensor, temperature: float, *, same: bool = False
) -> Tensor:
    """Cross-entropy of finding each query's own key among the keys of other clusters.

    Args:
        queries: Projections of one view, (B, F).
        keys: Those of the other, (B, F); row i belongs to query i.
        clusters: Number of the cluster of each row, (B,); other maps of the query's cluster are no
            negatives.
        temperature: Divides the cosines.
        same: Whether queries are negatives of each other, too (SimCLR).

    Returns:
        Mean loss, a scalar.

    References:
        van den Oord+18, arXiv:1807.03748, eq. 4; Chen+20, arXiv:2002.05709, eq. 1.
    """
    queries, keys = functional.normalize(queries, dim=1), functional.normalize(keys, dim=1)
    all_keys, all_clusters = of_all_processes(keys), of_all_processes(clusters)
    own = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    related = clusters[:, None] == all_clusters[None]
    is_excluded = related.scatter(1, own[:, None], value=False)
    logits = (queries @ all_keys.T / temperature).masked_fill(is_excluded, -torch.inf)
    if same:
        others = (queries @ of_all_processes(queries).T / temperature).masked_fill(
            related, -torch.inf
        )
        logits = torch.cat([logits, others], 1)
    return functional.cross_entropy(logits, own)


def of_all_processes(rows: Tensor) -> Tensor:
    """Rows (B, ...) of every process that trains along, in the order of their ranks; gradients
    flow back to each.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    return torch.cat(list(gather(rows)))
