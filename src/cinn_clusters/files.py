"""Files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinn_clusters.errors import BundleError, OutputError

JsonObject = dict[str, Any]
"""Plain values by name, as JSON holds them."""
_UNCHANGED = "nothing was changed"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def demand_free(path: Path, overwrite: bool) -> None:
    """Refuse to write where something stands already.

    Raises:
        OutputError: If ``path`` exists and may not be overwritten.
    """
    if path.exists() and not overwrite:
        expected = "a path that does not exist yet"
        raise OutputError(path, expected, "an existing one", "", "pass --overwrite")


@dataclass(frozen=True)
class Destination:
    """Where a result goes.

    Args:
        path: File or folder to make.
        overwrite: Replace what stands there.
    """

    path: Path
    overwrite: bool = False

    def demand_free(self) -> None:
        """Refuse to write where something stands already.

        Raises:
            OutputError: If the path exists and may not be overwritten.
        """
        demand_free(self.path, self.overwrite)


@contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a scratch path that becomes ``path`` when the block ends well, else vanishes.

    Raises:
        OutputError: If ``path`` may not be overwritten, or writing fails (disk full, no
            permission).
    """
    demand_free(path, overwrite)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        with _write_errors(scratch, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield scratch
            _sync(scratch)
            scratch.replace(path)
    finally:
        with suppress(
            OSError
        ):  # what kept it from being written may keep it from being looked at
            scratch.unlink()


@contextmanager
def atomic_directory(
    path: Path, *, overwrite: bool = False, markers: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Yield a scratch directory that becomes ``path`` when the block ends well.

    Args:
        path: Final place.
        overwrite: Replace a directory that stands there. The old one is moved aside first and put
            back on failure.
        markers: A directory may be replaced only if it is empty or holds one of these entries,
            which prove that it is ours.

    Raises:
        OutputError: If ``path`` may not be overwritten, or writing fails.
    """
    path = Path(path)
    is_empty = path.is_dir() and not any(path.iterdir())
    if not is_empty:
        demand_free(path, overwrite)
        _demand_ours(path, markers)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        )
    except OSError as error:
        raise OutputError(
            path, "a folder that can be written", _reason(error)
        ) from error
    try:
        with _write_errors(scratch, path):
            scratch.chmod(0o755)
            yield scratch
            for entry in scratch.rglob("*"):
                if entry.is_file():
                    _sync(entry)
            _swap(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, values: Any, *, overwrite: bool = True) -> None:
    """Write JSON atomically, without NaN, keys in the order given."""
    with atomic_file(path, overwrite=overwrite) as scratch:
        scratch.write_text(
            json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file of ours.

    Raises:
        BundleError: If the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(path, "a readable file", _reason(error)) from error
    except ValueError as error:
        raise BundleError(
            path, "valid JSON", f"damage ({error})", "", "write it again"
        ) from error


@contextmanager
def _write_errors(scratch: Path, path: Path) -> Iterator[None]:
    """Turn errors of writing into errors about the path asked for, not the scratch beside it."""
    try:
        yield
    except OutputError as error:
        subject = error.subject.replace(str(scratch), str(path))
        raise OutputError(
            subject, error.expected, error.got, error.where, error.hint
        ) from error
    except OSError as error:
        raise OutputError(
            path, "to be written whole", _reason(error), "", _UNCHANGED
        ) from error


def _demand_ours(path: Path, markers: tuple[str, ...]) -> None:
    if (
        path.exists()
        and markers
        and not any((path / name).exists() for name in markers)
    ):
        expected = f"a folder holding {' or '.join(markers)}"
        raise OutputError(
            path, expected, "something else", "", "it is not ours to replace"
        )


def _swap(scratch: Path, path: Path) -> None:
    if not path.exists():
        scratch.rename(path)
        return
    former = scratch.with_suffix(".old")
    path.rename(former)
    try:
        scratch.rename(path)
    except OSError:
        former.rename(path)
        raise
    shutil.rmtree(former)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
