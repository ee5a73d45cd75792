"""The mock catalogue on disk."""

from __future__ import annotations

from pathlib import Path

from cinn_clusters.files import atomic_directory, write_json
from cinn_clusters.mock.population import mock_catalogue
from cinn_clusters.storage.run import csv_text

FILES = ("observables1.csv", "unobservables1.csv")
MOCK_MARK = "mock.json"
"""Beside the tables: says that they are a mock catalogue, and how it was made."""


def write_mock(
    out: str | Path, *, num_clusters: int = 350, seed: int = 1, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write the two files of a mock catalogue, and a mark beside them that says so.

    Args:
        out: Folder to make.
        num_clusters: Clusters, each at eight snapshots.
        seed: Seed.
        overwrite: Replace a catalogue that stands there.

    Returns:
        Paths of observables and targets.

    Raises:
        ConfigError: If there is no cluster to make.
        OutputError: If the folder is taken or cannot be written.

    Examples:
        >>> path = getfixture("tmp_path") / "mock"
        >>> [file.name for file in write_mock(path, num_clusters=2)]
        ['observables1.csv', 'unobservables1.csv']
    """
    out = Path(out)
    frames = mock_catalogue(num_clusters, seed)
    with atomic_directory(out, overwrite=overwrite, markers=FILES) as scratch:
        for name, frame in zip(FILES, frames, strict=True):
            (scratch / name).write_text(csv_text(frame), encoding="utf-8")
        write_json(scratch / MOCK_MARK, {"clusters": num_clusters, "seed": seed})
    return out / FILES[0], out / FILES[1]
