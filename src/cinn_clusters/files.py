"""Files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinn_clusters.claims import (
    FORMER,
    SCRATCH,
    claim,
    demand_idle,
    is_free,
    remove,
    reserve,
    scratch_stem,
)
from cinn_clusters.documents import parse_json, read_text, reason
from cinn_clusters.errors import BundleError, DataError, OutputError

JsonObject = dict[str, Any]
"""Plain values by name, as JSON holds them."""
_UNCHANGED = "nothing was changed"
_scratches: set[Path] = set()
"""Scratch files and folders of this process."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def demand_free(path: Path, overwrite: bool, *companions: Path) -> None:
    """Refuse to write where something stands already, and where another process writes.

    What this very command line was killed at may be replaced.

    Args:
        path: File or folder to make.
        overwrite: Replace what stands there.
        companions: Files that are made together with it.

    Raises:
        OutputError: If a path exists and may not be overwritten, or another process works on it.
    """
    place = resolved(path)
    if is_stream(path):
        return
    if not path.name:
        raise OutputError(path, "a path with a name", "none", "", "name the result")
    taken = [result for result in (path, *companions) if _is_taken(result)]
    is_ours = not is_scratch(path) and reserve(place)
    if taken and not (overwrite or is_ours):
        raise _taken(taken[0])


def _is_taken(path: Path) -> bool:
    return not (is_free(path) or is_stream(path))


def _taken(path: Path) -> OutputError:
    expected, hint = "a path that does not exist yet", "pass --overwrite"
    return OutputError(path, expected, "an existing one", "", hint)


def is_stream(path: Path) -> bool:
    """Return whether a path is a device or a pipe, which takes bytes and keeps nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_scratch(path: Path) -> bool:
    """Return whether a path is, or lies in, what this process is writing and not yet shown."""
    place = resolved(path)
    return not _scratches.isdisjoint((place, *place.parents))


def resolved(path: Path) -> Path:
    """Return the place that a path stands for: a link stays, and its target is written.

    Raises:
        OutputError: If it is a link that leads nowhere, or where the command prints.
    """
    _demand_unprinted(path)
    place = Path(os.path.realpath(path))
    if path.is_symlink() and (place.is_symlink() or not place.parent.is_dir()):
        raise OutputError(path, "a link to a place that exists", f"one to {place}")
    return place


def _demand_unprinted(path: Path) -> None:
    """Refuse the file or pipe that standard output or error goes to."""
    hint = "name a file of its own"
    for number, name in enumerate(("standard output", "standard error"), 1):
        if _leads_to(path, number):
            raise OutputError(path, "a place for a result alone", name, "", hint)


def _leads_to(path: Path, number: int) -> bool:
    """Return whether a path is what a descriptor writes to, and keeps what is written."""
    try:
        status, printed = path.stat(), os.fstat(number)
    except OSError:
        return False
    return os.path.samestat(status, printed) and not stat.S_ISCHR(status.st_mode)


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

    A link stays and its target is replaced; a device or a pipe gets the bytes in the end.

    Raises:
        OutputError: If ``path`` may not be overwritten, another process works on it, or writing
            fails (disk full, no permission).
    """
    path = Path(path)
    if is_scratch(path):
        demand_free(path, overwrite)
        with _write_errors(path, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
    elif is_stream(path):
        with _write_errors(path, path), _streamed(path) as scratch:
            yield scratch
    else:
        with _replaced_file(path, overwrite) as scratch:
            yield scratch


@contextmanager
def _streamed(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / f"scratch{path.suffix}"
        yield scratch
        with scratch.open("rb") as content, path.open("wb") as stream:
            shutil.copyfileobj(content, stream)


@contextmanager
def _replaced_file(path: Path, overwrite: bool) -> Iterator[Path]:
    demand_no_folder(path)
    with _claimed(path, overwrite) as place:
        name = f"{scratch_stem(place)}.{os.getpid()}{SCRATCH}{path.suffix}"
        with _scratch(place.with_name(name), path) as scratch:
            yield scratch
            _sync(scratch)
            scratch.replace(place)


@contextmanager
def trial_file(path: Path) -> Iterator[Path]:
    """Yield a scratch file beside a path that may be written to try a format, and then vanishes.

    Raises:
        OutputError: If another process works on the path, or writing fails.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "trial"
        return
    with claim(resolved(path)) as held:
        name = f"{scratch_stem(held.place)}.{os.getpid()}{SCRATCH}"
        with _scratch(held.place.with_name(name), path) as scratch:
            yield scratch


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside a path that is gone in the end, or after a kill with the next line.

    Raises:
        OutputError: If another process works on the path, or writing fails.
    """
    with (
        claim(resolved(path)) as held,
        _scratch(_scratch_folder(held.place, path), path) as scratch,
    ):
        yield scratch


def demand_no_folder(path: Path) -> None:
    """Refuse a folder where a file is to be made.

    Raises:
        OutputError: If it is one.
    """
    if path.is_dir():
        hint = f"name a file in it, such as {path / 'result'}{path.suffix}"
        raise OutputError(path, "the name of a file", "a folder", "", hint)


@contextmanager
def _claimed(path: Path, overwrite: bool) -> Iterator[Path]:
    """Claim the place of a path that is free, may be overwritten, or is ours."""
    with claim(resolved(path)) as held:
        if not (overwrite or held.is_resumed or is_free(path)):
            raise _taken(path)
        yield held.place


@contextmanager
def _scratch(scratch: Path, path: Path) -> Iterator[Path]:
    """Yield a scratch path that is gone in the end; errors of writing name the path."""
    _scratches.add(scratch)
    try:
        with _write_errors(scratch, path):
            yield scratch
    finally:
        remove(scratch)
        _scratches.discard(scratch)


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
        OutputError: If ``path`` may not be overwritten, another process works on it, or writing
            fails.
    """
    path = Path(path)
    if is_scratch(path):
        path.mkdir(exist_ok=True)
        yield path
        return
    if is_stream(path):
        raise OutputError(path, "the name of a folder", "a device or a pipe")
    with _claimed(path, overwrite) as place:
        if not is_free(place):
            _demand_ours(path, markers)
        with _scratch(_scratch_folder(place, path), path) as scratch:
            yield scratch
            for entry in scratch.rglob("*"):
                if entry.is_file():
                    _sync(entry)
            demand_idle(place)
            _swap(scratch, place)


def _scratch_folder(place: Path, path: Path) -> Path:
    prefix, folder = f"{scratch_stem(place)}.", place.parent
    try:
        scratch = Path(tempfile.mkdtemp(prefix=prefix, suffix=SCRATCH, dir=folder))
        scratch.chmod(0o755)
    except OSError as error:
        raise OutputError(
            path, "a folder that can be written", reason(error)
        ) from error
    return scratch


def discard(path: Path) -> None:
    """Remove a file or folder of ours that is no longer needed, and what was left of it.

    A folder vanishes at once, before its files do, so that half of one is never taken for one.
    """
    with claim(resolved(path)) as held, suppress(FileNotFoundError):
        scratch = path.with_name(f"{scratch_stem(path)}.{os.getpid()}{SCRATCH}")
        held.place.rename(scratch)
        remove(scratch)


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
        return parse_json(read_text(path))
    except OSError as error:
        raise BundleError(path, "a readable file", reason(error)) from error
    except ValueError as error:
        damage = f"damage ({reason(error)})"
        raise BundleError(path, "valid JSON", damage, "", "write it again") from error


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
            path, "to be written whole", reason(error), "", _UNCHANGED
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
    if is_free(path):
        scratch.rename(path)
        return
    former = scratch.with_suffix(FORMER)
    path.rename(former)
    try:
        scratch.rename(path)
    except OSError:
        former.rename(path)
        raise
    remove(former)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def demand_forward(units: Iterable[Any], path: Path) -> None:
    """Walk through the units (HDUs) of a FITS file; a negative size leads back to the same for ever.

    Raises:
        DataError: If the sizes of a unit are negative.
    """
    for number, unit in enumerate(units):
        place = unit.fileinfo()
        if place and place["datSpan"] < 0:
            expected, got = "sizes (NAXISn, PCOUNT) of 0 or more", "a negative one"
            where, hint = f"header of HDU {number}", "copy the file again"
            raise DataError(path, expected, got, where, hint)
