"""Public tables by name, downloaded once, their hash checked, and cut into the two files that
``prepare`` reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cinn_clusters import schema
from cinn_clusters.claims import reserving
from cinn_clusters.data.reading.tables import demand_columns, read_csv
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.storage.run import csv_text


@dataclass(frozen=True)
class Source:
    """A public file.

    Args:
        address: Where it is.
        sha256: Of the file.
        cite: What to cite.
    """

    address: str
    sha256: str
    cite: str


SOURCES = {
    "tng-cluster": Source(
        "https://raw.githubusercontent.com/Shera1999/MAPS_CINN/main/data/processed_features.csv",
        "fab2b9a9a561e9d57d1f080f6b91023dc26164a0903a9feff40904cebae608e8",
        "Nelson+24 (arXiv:2311.06338); Lee+24 (arXiv:2311.06340)",
    )
}
FILES = ("observables1.csv", "unobservables1.csv")


@reserving()
def fetch(
    name: str,
    out: str | Path,
    *,
    address: str | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Download a public table and cut it into observables and targets.

    Args:
        name: ``tng-cluster``.
        out: Folder to make.
        address: Another place of the same file (a mirror).
        sha256: Its hash, if it is another file.
        overwrite: Replace a folder that stands there.

    Returns:
        The two files.

    Raises:
        ConfigError: If the name is unknown, or pooch is not installed.
        DataError: If the file cannot be downloaded, or is not the one of that hash.
        OutputError: If the folder is taken.
    """
    if name not in SOURCES:
        listed = ", ".join(SOURCES)
        raise ConfigError(f"table '{name}'", f"one of {listed}", "another name")
    out = Path(out)
    demand_free(out, overwrite)
    source = SOURCES[name]
    address = address or source.address
    file_hash = sha256 or source.sha256
    table = read_csv(_downloaded(address, file_hash))
    keys = [*schema.KEYS, schema.CLUSTER_COLUMN]
    demand_columns(table, keys, str(address))
    columns = list(map(str, table))
    targets = [column for column in columns if column.startswith(("last_", "mean_"))]
    observables = [column for column in columns if column not in targets]
    parts = (observables, [*keys, *targets])
    with atomic_directory(out, overwrite=overwrite, markers=FILES[:1]) as scratch:
        for file, names in zip(FILES, parts, strict=True):
            text = csv_text(table[names])
            (scratch / file).write_text(text, encoding="utf-8")
    first, second = FILES
    return out / first, out / second


def _downloaded(address: str, sha256: str) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ConfigError(
            "fetch", "pooch", "none", "", "pip install 'cinn-clusters[fetch]'"
        ) from error
    try:
        return Path(
            pooch.retrieve(
                address, f"sha256:{sha256}", path=pooch.os_cache("cinn-clusters")
            )
        )
    except ValueError as error:  # of pooch, where the hash differs
        hint = "the public file changed or the download was cut short; try again"
        raise DataError(
            address, f"sha256 {sha256[:12]}...", "another file", "", hint
        ) from error
    except OSError as error:  # requests' errors are of this kind
        reason = str(error).splitlines()[0][:120]
        raise DataError(
            address, "to be downloaded", reason, "", "or --address a mirror"
        ) from error
