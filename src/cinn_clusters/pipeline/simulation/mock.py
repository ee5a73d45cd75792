"""The mock catalogue on disk."""

from __future__ import annotations

from pathlib import Path

from cinn_clusters.files import atomic_directory
from cinn_clusters.mock.population import mock_catalogue
from cinn_clusters.storage.run import csv_text

FILES = ("observables1.csv", "unobservables1.csv")


def write_mock(
    out: str | Path, *, num_clusters: int = 350, seed: int = 1, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write the two files of a mock catalogue.

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
    """
    out = Path(out)
    frames = mock_catalogue(num_clusters, seed)
    with atomic_directory(out, overwrite=overwrite, markers=FILES) as scratch:
        for name, frame in zip(FILES, frames, strict=True):
            (scratch / name).write_text(csv_text(frame), encoding="utf-8")
    return out / FILES[0], out / FILES[1]
