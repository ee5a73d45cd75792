"""Compare the posteriors of several models for the same objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cinn_clusters.evaluation.comparison import (
    Comparison,
    SeedFiles,
    compare_posteriors,
)
from cinn_clusters.evaluation.matched import TruthFiles, match_ground_truth

SEPARATOR = ","


def compare(
    models: Sequence[str | Path],
    files: TruthFiles | None = None,
    *,
    with_common: bool = False,
) -> Comparison:
    """Score posterior files on the same objects; differences are paired, each minus the first.

    Args:
        models: A file each; several files of one model, trained with other seeds, are joined by
            commas.
        files: Tables of the ground truth; not needed for files that lie in runs.
        with_common: Compare what is in common where files hold different objects.

    Returns:
        Scores side by side with errors over clusters and seeds, and differences with 99 % bands.

    Raises:
        BundleError: If a posterior is missing or damaged.
        DataError: If a posterior cannot be matched with its ground truth, or files hold different
            objects.

    Examples:
        >>> import cinn_clusters as cc
        >>> comparison = cc.compare(["run/posterior.nc", "run/posterior.nc"])
        >>> comparison.differences[0]["energy score"].value
        0.0
    """
    seeds = [_read_model(str(model), files) for model in models]
    return compare_posteriors(seeds, with_common=with_common)


def _read_model(model: str, files: TruthFiles | None) -> SeedFiles:
    """Files of one model; a path that holds a comma itself is one file."""
    names = (model,) if Path(model).is_file() else tuple(model.split(SEPARATOR))
    posteriors = tuple(match_ground_truth(name, files) for name in names)
    return SeedFiles(names, posteriors)
