"""A model on disk: safetensors and JSON, written whole, hashed, versioned, without a line of pickle.

A bundle is a directory::

    manifest.json        format version, sha256 of the other files bundle.json
    architecture, transforms, columns with units, split and table hash, versions, seed
    weights.safetensors  parameters and buffers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_directory, read_json, sha256_of, write_json

FORMAT_VERSION = 2
MANIFEST, INFO, WEIGHTS = "manifest.json", "bundle.json", "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """Content of a bundle: plain values, and tensors by name."""

    info: dict[str, Any]
    tensors: dict[str, Tensor]


def pack_tensors(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Return tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    return save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata
    )


def write_bundle(
    path: Path, info: Mapping[str, Any], tensors: Mapping[str, Tensor], *, overwrite: bool = False
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
    with atomic_directory(path, overwrite=overwrite, kept=(MANIFEST,)) as scratch:
        (scratch / WEIGHTS).write_bytes(pack_tensors(tensors))
        write_json(scratch / INFO, info)
        hashes = {name: sha256_of(scratch / name) for name in (INFO, WEIGHTS)}
        write_json(scratch / MANIFEST, {"format_version": FORMAT_VERSION, "sha256": hashes})


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle after checking its version and the hash of every file.

    Raises:
        BundleError: If it is missing, newer than this package, incomplete or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise BundleError(
            str(path), f"a bundle (a folder with {MANIFEST})", "none", "", "train one first"
        )
    manifest = read_json(path / MANIFEST)
    _demand_version(manifest, path)
    for name, expected in _hashes(manifest, path).items():
        if not (path / name).is_file():
            raise BundleError(
                str(path / name), "a file of the bundle", "nothing", "", "copy the bundle again"
            )
        got = sha256_of(path / name)
        if got != expected:
            raise BundleError(
                str(path / name),
                f"sha256 {expected[:12]}...",
                f"{got[:12]}...",
                "",
                "damaged: copy the bundle again",
            )
    info = read_json(path / INFO)
    if not isinstance(info, dict):
        raise BundleError(
            str(path / INFO), "values by name", type(info).__name__, "", "copy the bundle again"
        )
    try:
        return Bundle(info, load_file(path / WEIGHTS))
    except SafetensorError as error:
        raise BundleError(
            str(path / WEIGHTS), "tensors", str(error), "", "copy the bundle again"
        ) from error


def _demand_version(manifest: Any, path: Path) -> None:
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError(
            str(path / MANIFEST), "a format version", repr(version), "", "copy the bundle again"
        )
    if version > FORMAT_VERSION:
        raise BundleError(
            str(path),
            f"bundle format up to {FORMAT_VERSION}",
            f"format {version}",
            "",
            "upgrade cinn-clusters",
        )


def _hashes(manifest: dict[str, Any], path: Path) -> dict[str, str]:
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != {INFO, WEIGHTS}:
        raise BundleError(
            str(path / MANIFEST),
            f"hashes of {INFO} and {WEIGHTS}",
            "others",
            "",
            "copy the bundle again",
        )
    return hashes
