"""Which files are maps: by their first bytes, or by the end of their names where these say nothing."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import DataError

MAP_FORMATS = "PNG, JPEG, TIFF, GIF, FITS or HDF5"
"""What is read."""
_SUFFIX = re.compile(
    r"\.((?P<picture>png|jpe?g|tiff?|gif)"
    r"|(?P<fits>((fits|fit|fts|ftz|img|imh)(\.(gz|bz2|xz|fz))?|fz))"
    r"|(?P<HDF5>h5|hdf5|hdf|he5))$",
    re.IGNORECASE,
)
_MAGIC = {
    b"\x89PNG\r\n": "picture",
    b"\xff\xd8\xff": "picture",
    b"II*\x00": "picture",
    b"MM\x00*": "picture",
    b"GIF8": "picture",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"SIMPLE  =": "fits",
}
PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""First bytes of compressed files, and what opens them."""
_NUM_FIRST = 16
_NUM_NAMED = 8
"""Files passed over that are listed by name."""


@dataclass(frozen=True)
class MapFiles:
    """Files of maps among paths, and the others that folders hold."""

    paths: tuple[Path, ...] = ()
    passed_over: tuple[Path, ...] = ()

    def line(self) -> str:
        """Say which files were passed over, or nothing."""
        if not self.passed_over:
            return ""
        names = [path.name for path in self.passed_over]
        more = len(names) - _NUM_NAMED
        listed = ", ".join(names[:_NUM_NAMED]) + f" and {more} more" * (more > 0)
        count = f"{len(names)} file" + "s" * (len(names) > 1)
        return f"{count} that are not {MAP_FORMATS}, or belong to all maps: {listed}"


def find_files(
    paths: Sequence[str | Path], companions: Iterable[Path] = ()
) -> MapFiles:
    """Return the files among paths and the maps in folders and below, sorted.

    Hidden files are no maps, nor are ``companions``: exposures, backgrounds and masks.

    Raises:
        DataError: If a path does not exist or there is no map.
    """
    belong_to_all = {path.resolve() for path in companions}
    files, passed_over = list[Path](), list[Path]()
    for path in map(Path, paths):
        try:
            demand_regular(path)
        except (OSError, ValueError) as error:
            expected = "a file or folder of X-ray maps"
            raise DataError(path, expected, reason(error)) from error
        if path.is_dir():
            maps, no_maps = _maps_of(path, belong_to_all)
            files += maps
            passed_over += no_maps
        else:
            files.append(path)
    if not files:
        raise DataError(", ".join(map(str, paths)), "files of X-ray maps", "none")
    return MapFiles(tuple(files), tuple(passed_over))


def _maps_of(folder: Path, belong_to_all: set[Path]) -> tuple[list[Path], list[Path]]:
    """Return the maps in a folder, sorted, and its other files."""
    files = sorted(_visible(folder))
    maps = [path for path in files if kind_of(path)]
    alone = [path for path in maps if path.resolve() not in belong_to_all]
    maps = alone or maps  # a file may be a map and its own exposure
    return maps, [path for path in files if path not in set(maps)]


def _visible(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below whose names begin with no dot, and broken links."""
    for path in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        is_file = path.is_file() or (path.is_symlink() and not path.exists())
        if is_file and not is_hidden:
            yield path


def kind_of(path: Path) -> str | None:
    """Return ``picture``, ``fits``, ``HDF5``, or None for a file that is no map."""
    return _kind_of_content(path) or _kind_of_name(path)


def map_name(path: Path) -> str:
    """Return the name of a file without its last suffix, or those of a compressed file."""
    name = _SUFFIX.sub("", path.name)
    return name if name != path.name else path.stem


def _kind_of_name(path: Path) -> str | None:
    match = _SUFFIX.search(path.name)
    if match is None:
        return None
    return next(kind for kind, suffix in match.groupdict().items() if suffix)


def _kind_of_content(path: Path) -> str | None:
    """Return the kind that the first bytes name, also of a compressed FITS file."""
    try:
        first = _first_bytes(path)
    except (OSError, EOFError, lzma.LZMAError):
        return None
    kinds = [kind for magic, kind in _MAGIC.items() if first.startswith(magic)]
    return next(iter(kinds), None)


def _first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with path.open("rb") as file:
        first = file.read(_NUM_FIRST)
        file.seek(0)
        for magic, unpack in PACKED.items():
            if first.startswith(magic):
                with unpack(file) as content:
                    unpacked: bytes = content.read(_NUM_FIRST)
                    return unpacked
    return first
