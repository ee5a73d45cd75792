"""The contrastive loss, with the knowledge that snapshots of one cluster are no strangers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(queries: Tensor, keys: Tensor, clusters: Tensor, temperature: float, *, same: bool = False) -> Tensor:
    """Cross-entropy of finding each query's own key among the keys of other clusters.

    Args:
        queries: Projections of one view, (B, F).
        keys: Those of the other, (B, F); row i belongs to query i.
        clusters: Number of the cluster of each row, (B,); other maps of the query's cluster are no negatives.
        temperature: Divides the cosines.
        same: Whether queries are negatives of each other, too (SimCLR).

    Returns:
        Mean loss, a scalar.

    References:
        van den Oord+18, arXiv:1807.03748, eq. 4; Chen+20, arXiv:2002.05709, eq. 1.
    """
    queries, keys = functional.normalize(queries, dim=1), functional.normalize(keys, dim=1)
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    related = clusters[:, None] == clusters[None]
    logits = (queries @ keys.T / temperature).masked_fill(related & ~own, -torch.inf)
    if same:
        others = (queries @ queries.T / temperature).masked_fill(related, -torch.inf)
        logits = torch.cat([logits, others], 1)
    return functional.cross_entropy(logits, torch.arange(len(queries), device=queries.device))
