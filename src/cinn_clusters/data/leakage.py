"""Does anything of a test cluster stand in training?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split

FINGERPRINT = 3
"""Fewer targets do not identify a history: collision times stand on snapshots and are shared by
chance."""


@dataclass(frozen=True)
class Overlap:
    """How much of the test set stands in another part, too.

    Args:
        what: Kind of thing counted.
        total: How many the test set has.
        shared: How many of them stand in training.
        shared_with_validation: How many stand in training or validation, which decides when to
            stop.
    """

    what: str
    total: int
    shared: int
    shared_with_validation: int

    @property
    def percent(self) -> float:
        """Share in training, in per cent."""
        return 100.0 * self.shared / self.total

    @property
    def percent_with_validation(self) -> float:
        """Share in training or validation, in per cent."""
        return 100.0 * self.shared_with_validation / self.total


def audit_split(
    catalogue: Catalogue, split: Split, seen: Sequence[str] | None = None
) -> tuple[Overlap, ...]:
    """Count what test and training have in common.

    Args:
        catalogue: The table.
        split: Its parts.
        seen: Clusters that the encoder of its embeddings was trained on, if it has any.

    Returns:
        Overlap of clusters, of exact target vectors (rows of the test set whose six numbers stand
        in training), and of projections (rows whose cluster and snapshot stand in training, seen
        from another side); with ``seen`` that of clusters with the encoder's training.
    """
    clusters = catalogue.clusters.tolist()
    histories: list[Hashable] = [tuple(row) for row in catalogue.theta]
    if len(catalogue.targets) < FINGERPRINT:
        histories = list(zip(clusters, histories, strict=True))
    views = list(zip(clusters, catalogue.table[schema.KEYS[1]], strict=True))
    found = (
        _overlap("test clusters", clusters, split, sorted({clusters[row] for row in split.test})),
        _overlap(
            "exact target vectors of test rows",
            histories,
            split,
            [histories[row] for row in split.test],
        ),
        _overlap(
            "projections (same cluster and snapshot)",
            views,
            split,
            [views[row] for row in split.test],
        ),
    )
    if seen is None:
        return found
    tested = {str(clusters[row]) for row in split.test}
    known = len(tested & set(seen))
    return (*found, Overlap("test clusters, by the encoder of maps", len(tested), known, known))


def _overlap(
    what: str, things: Sequence[Hashable], split: Split, tested: Sequence[Hashable]
) -> Overlap:
    trained = {things[row] for row in split.train}
    seen = trained | {things[row] for row in split.validation}
    return Overlap(
        what, len(tested), sum(t in trained for t in tested), sum(t in seen for t in tested)
    )
