"""Destinations that one process works on, and what a killed one left beside them.

A claim on ``run`` is the file ``.run.claim`` beside it, locked (flock) while the process lives. The
kernel frees the lock of a killed process but leaves the file, which then says which command line did
not come to its end: the same line may take its own half-made results up again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cinn_clusters.errors import OutputError

CLAIM, SCRATCH, FORMER = ".claim", ".tmp", ".old"
"""Endings of the names of claims, of what is being written, and of what is being replaced."""
_LONGEST_STEM = 120
"""Bytes of a name that scratch names repeat; file systems allow 255 in all."""


@dataclass(eq=False)
class Claim:
    """Right of this process to write at a place.

    Args:
        place: The file or folder.
        descriptor: Of the lock.
        is_resumed: Whether this very command line was killed, having begun with nothing there.
        folders: Parents made for it, the innermost first.
        holders: Blocks under way that need it.
    """

    place: Path
    descriptor: int
    is_resumed: bool
    folders: tuple[Path, ...]
    holders: int = 0


_claims: dict[Path, Claim] = {}
_reservations: list[ExitStack] = []


def _leave_to_parent() -> None:
    """Let go of claims in a copy of this process: they end with the process that made them."""
    for held in _claims.values():
        os.close(held.descriptor)
    _claims.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def reserving() -> Iterator[None]:
    """Keep the destinations that are reserved inside the block until it ends."""
    with ExitStack() as stack:
        _reservations.append(stack)
        try:
            yield
        finally:
            _reservations.remove(stack)


def reserve(place: Path) -> bool:
    """Claim a place until the block of ``reserving`` ends, and return whether it is resumed.

    Raises:
        OutputError: If another process works on it, or it cannot be written.
    """
    if not _reservations:
        return place in _claims and _claims[place].is_resumed
    return _reservations[-1].enter_context(claim(place)).is_resumed


@contextmanager
def claim(place: Path) -> Iterator[Claim]:
    """Claim a place for a block, and clean it of what a killed process left beside it.

    Raises:
        OutputError: If another process works on it, or it cannot be written.
    """
    held = _claims.get(place)
    if held is None:
        held = _claims[place] = _acquire(place)
    held.holders += 1
    try:
        yield held
    finally:
        held.holders -= 1
        if not held.holders:
            _release(held)


def clean_up(place: Path) -> None:
    """Remove what a killed process left beside a result that is whole and not made again.

    Raises:
        OutputError: If another process works on it, or it cannot be written.
    """
    if _lock_path(place).exists():
        with claim(place):
            return


def demand_idle(folder: Path) -> None:
    """Refuse to replace a folder that another process writes into.

    Raises:
        OutputError: If one does.
    """
    own = {_lock_path(place) for place in _claims}
    for lock in set(folder.rglob(f".*{CLAIM}")) - own:
        with suppress(OSError), lock.open("rb") as stream:
            _demand_lock(stream.fileno(), folder)


def scratch_stem(place: Path) -> str:
    """Return how the names of what is written for a place begin."""
    name = place.name
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_STEM:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        name = encoded[: _LONGEST_STEM // 2].decode(errors="ignore") + digest
    return f".{name}"


def _lock_path(place: Path) -> Path:
    return place.with_name(scratch_stem(place) + CLAIM)


def _acquire(place: Path) -> Claim:
    for folder in place.parents:
        if folder.name and folder not in _claims:
            _take_over(_lock_path(folder), place)
    folders = tuple(folder for folder in place.parents if not folder.exists())
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(_lock_path(place))
    except OSError as error:
        _remove_empty(folders)
        raise _unwritable(place, error) from error
    if descriptor is None:
        raise _busy(place)
    _clean(place)
    is_resumed = _begin(descriptor, place)
    return Claim(place, descriptor, is_resumed, folders)


def _release(held: Claim) -> None:
    """Give a claim up: the file first, so that it is never seen unlocked by another process."""
    del _claims[held.place]
    with suppress(OSError):
        _lock_path(held.place).unlink()
    os.close(held.descriptor)
    _remove_empty(held.folders)


def _remove_empty(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _locked(path: Path) -> int | None:
    """Open and lock a file; None if another process has locked it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(descriptor):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # its owner removed it in the meantime


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file; where the file system has no locks there is nobody to ask."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno != errno.EACCES
    return True


def _begin(descriptor: int, place: Path) -> bool:
    """Note which line begins with nothing at its place; return whether the same was killed there."""
    line = json.dumps(sys.argv).encode()
    is_resumed = os.read(descriptor, len(line) + 1) == line
    with suppress(OSError):  # a full disk is told when results are written
        os.ftruncate(descriptor, 0)
        if is_resumed or is_free(place):
            os.pwrite(descriptor, line, 0)
    return is_resumed


def is_free(place: Path) -> bool:
    """Return whether nothing stands at a place but an empty folder."""
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def _take_over(lock: Path, place: Path) -> None:
    """Refuse a folder that another process makes; take one of a killed process as it is."""
    with suppress(OSError), lock.open("rb") as stream:
        _demand_lock(stream.fileno(), place)
        lock.unlink()


def _demand_lock(descriptor: int, place: Path) -> None:
    if not _try_lock(descriptor, fcntl.LOCK_SH):
        raise _busy(place)


def _clean(place: Path) -> None:
    """Remove what a killed process was writing for a place; put back what it was replacing."""
    stem = re.escape(scratch_stem(place))
    pattern = re.compile(rf"{stem}\.[^.]+({SCRATCH}|{FORMER})(\.[^.]+)?")
    for path in sorted(place.parent.iterdir()):
        kind = pattern.fullmatch(path.name)
        if kind and kind[1] == FORMER and not place.exists():
            path.rename(place)
        elif kind:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _busy(place: Path) -> OutputError:
    expected, hint = "one process at a time", "wait for it, or name another place"
    return OutputError(place, expected, "another one that works on it", "", hint)


def _unwritable(place: Path, error: OSError) -> OutputError:
    expected, reason = "to be written whole", error.strerror or str(error)
    return OutputError(place, expected, reason, "", "nothing was changed")
