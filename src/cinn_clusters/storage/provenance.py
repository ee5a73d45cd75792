"""Where the answer for a catalogue comes from, in the metadata of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from cinn_clusters.catalogues.metadata import COMMENTS, lines_of

SAMPLE_KEYS = {"CINNMMD": "sample_mmd2", "CINNMMDP": "sample_p"}
"""Two-sample test: header of the table, attribute of the samples. Absent with fewer than 10
objects."""


def with_provenance(
    meta: Mapping[str, Any],
    attributes: Mapping[str, str | float],
    num_draws: int,
    seed: int,
    errors: str,
    account: Sequence[str],
) -> dict[str, Any]:
    """Metadata of an answer: those of the observer, then ours.

    Args:
        meta: Of the catalogue.
        attributes: Global attributes of the posterior.
        num_draws: Draws an object.
        seed: Seed.
        errors: How errors entered.
        account: What was converted.

    Returns:
        All of them; comments of both.
    """
    return {
        **meta,
        "CINNVER": version("cinn-clusters"),
        "CINNMOD": attributes["model_sha256"],
        "CINNSRC": attributes["catalogue_sha256"],
        "CINNMAP": attributes["mapping"],
        "CINNDRAW": num_draws,
        "CINNSEED": seed,
        "CINNERR": errors,
        **{key: attributes[name] for key, name in SAMPLE_KEYS.items() if name in attributes},
        COMMENTS: [
            *lines_of(dict(meta), COMMENTS),
            f"cinn-clusters: {attributes['conditional']}",
            *account,
        ],
    }
