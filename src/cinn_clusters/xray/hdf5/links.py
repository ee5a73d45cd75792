"""The data sets of an HDF5 file that may be maps, each link on its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cinn_clusters.errors import DataError

_MOST_VALUES = 2**26
"""In a data set: a small file may stand for more than there is memory."""
_SHAPES = "a data set of shape (H, W) or (H, W, 3)"


def map_links(file: Any, path: Path) -> tuple[list[str], list[DataError]]:
    """Return the paths of data sets that may be maps, sorted, and what is wrong with other links.

    Texts, numbers and lists of numbers are passed over: they describe maps.
    """
    names: list[str] = []
    errors: list[DataError] = []
    for name, stored in _links(file, path, "", {_identity(file): "/"}):
        error = stored
        if not isinstance(stored, DataError):
            error = _fault(stored, name, path)
        if isinstance(error, DataError):
            errors.append(error)
        elif stored.ndim >= 2:
            names.append(name)
    return sorted(names), errors


def _links(
    group: Any, path: Path, prefix: str, seen: dict[object, str]
) -> Iterator[tuple[str, Any]]:
    """Yield data sets in a group and below, or an error for each link to none, or to one again."""
    import h5py

    for key in group:
        name = f"{prefix}{key}"
        try:
            item = group[key]
            identity = _identity(item)
        except (KeyError, OSError, RuntimeError, ValueError):
            yield name, DataError(path, "a data set", _target(group, key), f"'{name}'")
            continue
        if identity in seen:
            got = f"a further link to '{seen[identity]}'"
            yield name, DataError(path, "a data set of its own", got, f"'{name}'")
            continue
        seen[identity] = name
        if isinstance(item, h5py.Group):
            yield from _links(item, path, f"{name}/", seen)
        elif isinstance(item, h5py.Dataset):
            yield name, item


def _identity(item: Any) -> object:
    """Return what two links to one object have in common."""
    import h5py

    info = h5py.h5o.get_info(item.id)
    return item.file.filename, info.addr


def _target(group: Any, key: str) -> str:
    """Say where a broken link leads."""
    link = group.get(key, getlink=True)
    target = getattr(link, "path", "")
    filename = getattr(link, "filename", "")
    if filename:
        return f"a broken link to '{target}' of {filename}"
    if target:
        return f"a broken link to '{target}'"
    return "an object that cannot be read"


def _fault(stored: Any, name: str, path: Path) -> DataError | None:
    """Return why a data set of two axes or more is no map, or None."""
    place = f"'{name}'"
    shape, kind = stored.shape, stored.dtype.kind
    if shape is None or len(shape) < 2 or 0 in shape:
        return None
    if kind not in "uif":
        return DataError(path, "a data set of numbers", f"{stored.dtype}", place)
    if len(shape) > 3 or (len(shape) == 3 and shape[2] not in (3, 4)):
        return DataError(path, _SHAPES, str(shape), place)
    if stored.size > _MOST_VALUES:
        size = " x ".join(map(str, shape))
        expected = f"a data set of at most {_MOST_VALUES:.3g} values"
        return DataError(path, expected, size, place, "cut the cluster out first")
    return None
