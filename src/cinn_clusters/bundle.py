"""A model on disk: safetensors and JSON, written whole, hashed and versioned.

A bundle is a directory::

    manifest.json        format version, sha256 of the other files
    bundle.json          architecture, transforms, columns with units, split and table hash, versions
    weights.safetensors  parameters and buffers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_clusters.documents import reason
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.files import (
    JsonObject,
    atomic_directory,
    read_json,
    sha256_of,
    write_json,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

FORMAT_VERSION = 3
"""3: windows of collision times, units of columns, calibrated selection probability; 2: one model for any subset of observables."""
MANIFEST, INFO, WEIGHTS = "manifest.json", "bundle.json", "weights.safetensors"
_VERSION = "format_version"
"""In both JSON files, so that a bit which flips in one of them is found."""
_COPY_AGAIN = "copy the bundle again"
_MISFITS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What building a model from a recipe that is none raises, in Python, numpy or torch."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Content of a bundle: plain values, and tensors by name; the format of the file it came from."""

    info: JsonObject
    tensors: dict[str, Tensor]
    format_version: int = FORMAT_VERSION


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
        version = {_VERSION: FORMAT_VERSION}
        write_json(scratch / INFO, version | dict(info))
        hashes = {name: sha256_of(scratch / name) for name in (INFO, WEIGHTS)}
        write_json(scratch / MANIFEST, version | {"sha256": hashes})


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle after checking its version and the hash of every file.

    Raises:
        BundleError: If it is missing, newer than this package, incomplete or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    demand_bundle(path)
    version, hashes = _read_manifest(path)
    _demand_whole(path, hashes)
    info = read_json(path / INFO)
    if not isinstance(info, dict):
        raise BundleError(
            path / INFO, "values by name", type(info).__name__, "", _COPY_AGAIN
        )
    stated = info.pop(_VERSION, version)
    if stated != version:
        expected = f"the format that {INFO} states"
        got = f"format {version}"
        raise BundleError(path / MANIFEST, expected, got, "", _COPY_AGAIN)
    try:
        tensors = load_file(path / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(
            path / WEIGHTS, "tensors", reason(error), "", _COPY_AGAIN
        ) from error
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            subject = f"{path / WEIGHTS}, '{name}'"
            raise BundleError(
                subject, "finite numbers", "others", "", "train the model again"
            )
    return Bundle(info, tensors, version)


@contextmanager
def rebuilding(
    path: str | Path, expected: str, hint: str = "train it again"
) -> Iterator[None]:
    """Turn what goes wrong while a model is rebuilt from its bundle into an error of the bundle.

    Raises:
        BundleError: If the block finds the bundle other than expected.
    """
    try:
        yield
    except BundleError:
        raise
    except DataError as error:
        raise error.at(str(path)) from error
    except _MISFITS as error:
        raise BundleError(path, expected, reason(error), "", hint) from error


def read_arrays(
    values: Mapping[str, object], axes: Mapping[str, str], **sizes: int
) -> dict[str, np.ndarray]:
    """Read arrays of numbers from lists, whose axes of one letter have one length.

    Args:
        values: Nested lists by name.
        axes: A letter for each axis of each array.
        sizes: Lengths that are known, by letter.

    Raises:
        KeyError: If an array is missing.
        ValueError: If it has another shape, or values that are not finite.

    Examples:
        >>> read_arrays({"a": [1, 2]}, {"a": "N"}, N=2)
        {'a': array([1., 2.])}
    """
    import numpy as np

    arrays = {name: np.array(values[name], dtype=float) for name in axes}
    lengths = dict(sizes)
    for name, array in arrays.items():
        letters = axes[name]
        has_rank = array.ndim == len(letters)
        expected = [
            lengths.setdefault(letter, length)
            for letter, length in zip(letters, array.shape, strict=False)
        ]
        if not has_rank or list(array.shape) != expected:
            raise ValueError(f"'{name}' of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"'{name}' with numbers that are not finite")
    return arrays


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a network of the same recipe.

    Raises:
        ValueError: If a name, a shape or a type differs, or whole numbers are others than the
            recipe's, in any order.
    """
    recipe = network.state_dict()
    for name in sorted(recipe.keys() ^ tensors.keys()):
        raise ValueError(f"tensor '{name}' in one of recipe and weights")
    for name, value in recipe.items():
        _demand_alike(name, value, tensors[name])
    network.load_state_dict(dict(tensors))


def _demand_alike(name: str, recipe: Tensor, stored: Tensor) -> None:
    if (stored.shape, stored.dtype) != (recipe.shape, recipe.dtype):
        got = f"{stored.dtype} of shape {tuple(stored.shape)}"
        expected = f"{recipe.dtype} of shape {tuple(recipe.shape)}"
        raise ValueError(f"tensor '{name}' of {got}, not {expected}")
    if recipe.is_floating_point() or recipe.ndim == 0:
        return
    if not stored.flatten().sort()[0].equal(recipe.flatten().sort()[0]):
        raise ValueError(f"tensor '{name}' with other whole numbers than its recipe")


def demand_bundle(path: Path) -> None:
    """Refuse a path that holds no bundle.

    Raises:
        BundleError: If it has no manifest.
    """
    if not (path / MANIFEST).is_file():
        expected = f"a bundle (a folder with {MANIFEST})"
        raise BundleError(path, expected, "none", "", "train one first")


def _read_manifest(path: Path) -> tuple[int, dict[str, str]]:
    """Format of a bundle, one that this version reads, and hashes of its files."""
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict):
        manifest = {}
    version = manifest.get(_VERSION)
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
    return version, hashes


def _demand_whole(path: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        if not isinstance(expected, str):
            raise BundleError(path / MANIFEST, "a hash", expected, name, _COPY_AGAIN)
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
