"""Where the posteriors of a catalogue come from, in the metadata of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinn_clusters.catalogues.formats.metadata import COMMENTS, lines_of

_HEADER_KEYS = {
    "CINNVER": "inference_library_version",
    "CINNMOD": "model_sha256",
    "CINNSRC": "catalogue_sha256",
    "CINNEMB": "embeddings_sha256",
    "CINNMAP": "mapping",
    "CINNDRAW": "num_samples",
    "CINNSEED": "seed",
    "CINNERR": "errors",
    "CINNCAL": "mass_calibration",
    "CINNMOFF": "mass_offset_dex",
    "CINNMSCA": "mass_scatter_dex",
    "CINNRAT": "major_ratio",
    "CINNGYR": "recent_gyr",
    "CINNMMD": "sample_mmd2",
    "CINNMMDP": "sample_p",
}
"""Key in the header of a table, and the attribute of the posterior file that it repeats."""


_NOTES = ("conditional", "caution")
"""Attributes that stand among the comments of a table."""


def with_provenance(
    meta: Mapping[str, Any], attributes: Mapping[str, str | float], log: Sequence[str]
) -> dict[str, Any]:
    """Return the metadata of a catalogue with those of its posteriors after them.

    Args:
        meta: Of the catalogue.
        attributes: Of the posterior file.
        log: What was converted.
    """
    keys = {
        key: attributes[name]
        for key, name in _HEADER_KEYS.items()
        if name in attributes
    }
    comments = [
        *lines_of(dict(meta), COMMENTS),
        *(
            f"cinn-clusters: {attributes[name]}"
            for name in _NOTES
            if name in attributes
        ),
    ]
    return {**meta, **keys, COMMENTS: [*comments, *log]}
