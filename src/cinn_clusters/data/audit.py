"""Does anything of a test cluster stand in training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split


@dataclass(frozen=True)
class Overlap:
    """How much of the test set stands in another part, too.

    Args:
        what: Kind of thing counted.
        shared: How many of the test set's stand there.
        total: How many the test set has.
    """

    what: str
    shared: int
    total: int

    @property
    def percent(self) -> float:
        """Share in per cent."""
        return 100.0 * self.shared / self.total if self.total else 0.0


def audit_split(catalogue: Catalogue, split: Split) -> tuple[Overlap, ...]:
    """Count what test and training have in common.

    Args:
        catalogue: The table.
        split: Its parts; validation rows steer the training and count as training.

    Returns:
        Overlap of clusters, of exact target vectors (rows of the test set whose six numbers stand in training), and
        of projections (rows whose cluster and snapshot stand in training, seen from another side).
    """
    seen = np.concatenate([split.train, split.validation])
    clusters = np.unique(catalogue.clusters[split.test])
    histories = [tuple(row) for row in catalogue.theta]
    views = list(zip(catalogue.clusters, catalogue.table[schema.KEYS[1]], strict=True))
    return (
        Overlap("test clusters", int(np.isin(clusters, catalogue.clusters[seen]).sum()), len(clusters)),
        _shared_rows("exact target vectors of test rows", histories, seen, split.test),
        _shared_rows("projections (same cluster and snapshot)", views, seen, split.test),
    )


def _shared_rows(what: str, things: Sequence[tuple[object, ...]], seen: np.ndarray, test: np.ndarray) -> Overlap:
    known = {things[row] for row in seen}
    return Overlap(what, sum(things[row] in known for row in test), len(test))
