"""Data leakage: how much of the test set stands in training or in early stopping, too."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from cinn_clusters.data.catalogue import SNAPSHOT, Catalogue
from cinn_clusters.data.split import Split

FINGERPRINT = 3
"""Fewer targets do not identify a history: collision times stand on snapshots and are shared by
chance."""
_NAMES_ADVICE = "name each cluster once, or prepare with --merge-shared"
_ENCODER_ADVICE = "train the encoder on this run (embed train)"


@dataclass(frozen=True)
class Overlap:
    """How much of the test set stands in another part, too.

    Args:
        what: Kind of thing counted.
        total: How many the test set has.
        shared: How many of them stand in training.
        shared_with_validation: How many stand in training or validation, which decides when to
            stop.
        advice: What ends such a leak.
    """

    what: str
    total: int
    shared: int
    shared_with_validation: int
    advice: str = "prepare with --protocol cluster"

    @property
    def percent(self) -> float:
        """Share in training, in per cent."""
        return 100.0 * self.shared / self.total

    @property
    def percent_with_validation(self) -> float:
        """Share in training or validation, in per cent."""
        return 100.0 * self.shared_with_validation / self.total


def audit_split(
    catalogue: Catalogue, split: Split, encoder_clusters: Sequence[str] | None = None
) -> tuple[Overlap, ...]:
    """Count what test and training have in common.

    Args:
        catalogue: The table.
        split: Its parts.
        encoder_clusters: Clusters that the encoder of its embeddings was trained on, if it has any.

    Returns:
        Overlap of clusters, of exact target vectors (rows of the test set whose targets stand in
        training), and of projections (rows whose cluster and snapshot stand in training, from
        another direction); with ``encoder_clusters`` that of clusters with the encoder's training.

    Examples:
        >>> import cinn_clusters as cc
        >>> run = cc.open_run("run")
        >>> [overlap.shared for overlap in cc.audit_split(run.catalogue, run.split)]
        [0, 0, 0]
    """
    clusters = catalogue.clusters.tolist()
    histories: list[Hashable] = list(map(tuple, catalogue.theta))
    if len(catalogue.targets) < FINGERPRINT:
        histories = list(zip(clusters, histories, strict=True))
    snapshots = catalogue.table[SNAPSHOT]
    views = list(zip(clusters, snapshots, strict=True))

    tested = sorted({clusters[row] for row in split.test})
    vectors = _overlap("exact target vectors of test rows", histories, split)
    overlaps = (
        _overlap("test clusters", clusters, split, tested),
        replace(vectors, advice=_NAMES_ADVICE),
        _overlap("projections (same cluster and snapshot)", views, split),
    )
    if encoder_clusters is None:
        return overlaps

    # The names in encoder.json are text, whatever they are in the table.
    leaked = set(map(str, tested)).intersection(encoder_clusters)
    num_leaked = len(leaked)
    kind = "test clusters, by the encoder of maps"
    encoder = Overlap(kind, len(tested), num_leaked, num_leaked, _ENCODER_ADVICE)
    return (*overlaps, encoder)


def _overlap(
    kind: str, things: Sequence[Hashable], split: Split, tested: Sequence[Hashable] = ()
) -> Overlap:
    """Count things of test rows, or those named, among those of the other parts."""
    trained = {things[row] for row in split.train}
    validated = {things[row] for row in split.validation}
    decisive = trained | validated
    counted = tested or [things[row] for row in split.test]
    num_trained = sum(thing in trained for thing in counted)
    num_decisive = sum(thing in decisive for thing in counted)
    return Overlap(kind, len(counted), num_trained, num_decisive)
