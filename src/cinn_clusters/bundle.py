"""A model on disk: safetensors and JSON, written whole, hashed and versioned.

A bundle is a directory::

    manifest.json        format version, sha256 of the other files
    bundle.json          architecture, transforms, columns with units, split and table hash, versions
    weights.safetensors  parameters and buffers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_clusters.errors import BundleError
from cinn_clusters.files import (
    JsonObject,
    atomic_directory,
    read_json,
    sha256_of,
    write_json,
)

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 2
MANIFEST, INFO, WEIGHTS = "manifest.json", "bundle.json", "weights.safetensors"
_COPY_AGAIN = "copy the bundle again"


@dataclass(frozen=True, eq=False)
class Bundle:
    """Content of a bundle: plain values, and tensors by name."""

    info: JsonObject
    tensors: dict[str, Tensor]


def pack_tensors(
    tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> bytes:
    """Return tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    on_cpu = {
        name: value.detach().cpu().contiguous() for name, value in tensors.items()
    }
    return save(on_cpu, metadata)


def write_bundle(
    path: Path,
    info: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    overwrite: bool = False,
) -> None:
    """Write a bundle, whole or not at all.

    Args:
        path: Directory to make.
        info: Plain values for ``bundle.json``.
        tensors: What goes into the weights file.
        overwrite: Replace a bundle that stands there.

    Raises:
        OutputError: If the path is taken or writing fails.
    """
    with atomic_directory(path, overwrite=overwrite, markers=(MANIFEST,)) as scratch:
        (scratch / WEIGHTS).write_bytes(pack_tensors(tensors))
        write_json(scratch / INFO, info)
        hashes = {name: sha256_of(scratch / name) for name in (INFO, WEIGHTS)}
        write_json(
            scratch / MANIFEST, {"format_version": FORMAT_VERSION, "sha256": hashes}
        )


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle after checking its version and the hash of every file.

    Raises:
        BundleError: If it is missing, newer than this package, incomplete or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    demand_bundle(path)
    _demand_whole(path, _read_manifest(path))
    info = read_json(path / INFO)
    if not isinstance(info, dict):
        raise BundleError(
            path / INFO, "values by name", type(info).__name__, "", _COPY_AGAIN
        )
    try:
        return Bundle(info, load_file(path / WEIGHTS))
    except SafetensorError as error:
        raise BundleError(
            path / WEIGHTS, "tensors", str(error), "", _COPY_AGAIN
        ) from error


def demand_bundle(path: Path) -> None:
    """Refuse a path that holds no bundle.

    Raises:
        BundleError: If it has no manifest.
    """
    if not (path / MANIFEST).is_file():
        expected = f"a bundle (a folder with {MANIFEST})"
        raise BundleError(path, expected, "none", "", "train one first")


def _read_manifest(path: Path) -> dict[str, str]:
    """Hashes of the files of a bundle, of a format that this version reads."""
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict):
        manifest = {}
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleError(
            path / MANIFEST, "a format version", repr(version), "", _COPY_AGAIN
        )
    if version > FORMAT_VERSION:
        expected = f"bundle format up to {FORMAT_VERSION}"
        raise BundleError(
            path, expected, f"format {version}", "", "upgrade cinn-clusters"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != {INFO, WEIGHTS}:
        expected = f"hashes of {INFO} and {WEIGHTS}"
        raise BundleError(path / MANIFEST, expected, "others", "", _COPY_AGAIN)
    return hashes


def _demand_whole(path: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise BundleError(
                path / name, "a file of the bundle", "nothing", "", _COPY_AGAIN
            )
        got = sha256_of(path / name)
        if got != expected:
            hint = f"damaged: {_COPY_AGAIN}"
            raise BundleError(
                path / name, f"sha256 {expected[:12]}...", f"{got[:12]}...", "", hint
            )
