"""A scaler of the original scripts: its numbers, read without running its pickle.

Whatever its kind, it is linear: raw = scaled * scale + mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cinn_clusters.documents import read_bytes, reason
from cinn_clusters.errors import DataError
from cinn_clusters.legacy.unpickler import (
    RefusedError,
    ScalerRecord,
    array_of,
    restricted_load,
    tuple_of,
)

_HINT = "in Python: numpy.savez('scaler_X.npz', mean=scaler.mean_, scale=scaler.scale_)"
_LARGEST = 2**24
"""Bytes of a scaler at most, once it is decompressed."""
_COMPRESSED = {b"\x78": zlib.MAX_WBITS, b"\x1f": zlib.MAX_WBITS + 16}
"""First byte of what ``joblib.dump(compress=...)`` writes (zlib, gzip), and the window to read it."""
Attributes = Mapping[str, Any]
"""State of a scaler of scikit-learn by the names of its attributes."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """Shift and scale of C columns: raw = scaled * scale + mean.

    Args:
        mean: Raw values that are scaled to zero, shape (C,).
        scale: Raw values that are scaled to a step of one, shape (C,).
        names: Names of the columns, or empty if the file does not hold them.
        centre: Means of the scaled columns, shape (C,); NaN where nobody knows them.
    """

    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...] = ()
    centre: np.ndarray | float = 0.0

    @property
    def is_valid(self) -> bool:
        """Whether every column has a finite mean and a positive scale, and a name if any has."""
        width = len(np.atleast_1d(self.mean))
        is_table = self.mean.ndim == 1 and self.mean.shape == self.scale.shape
        if not is_table or len(self.names) not in (0, width):
            return False
        numbers = np.stack([self.mean, self.scale])
        return bool(np.isfinite(numbers).all() and (self.scale > 0).all())

    def is_scaled(self, values: np.ndarray) -> bool:
        """Whether the columns (N, C) of a table are scaled, by their means."""
        offset = np.nanmean(values, axis=0) - self.centre
        is_far = np.abs(offset) > np.maximum(1.0, np.abs(self.centre) / 10.0)
        return not is_far.any()

    def is_raw(self, values: np.ndarray) -> bool:
        """Whether the columns (N, C) of a table were never scaled, by their means."""
        offset = np.nanmean(values, axis=0) - self.undo(np.asarray(self.centre))
        return bool((np.abs(offset) < self.scale).all())

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Raw values of a scaled table, (N, C)."""
        return np.asarray(values * self.scale + self.mean)


def read_scaler(path: str | Path) -> Scaler:
    """Read a scaler of scikit-learn, pickled or dumped by joblib, or a ``.npz`` (mean, scale).

    Those are StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler, with any options.

    Raises:
        DataError: If the file cannot be read, or holds anything but a fitted scaler.
    """
    path = Path(path)
    try:
        data = read_bytes(path)
    except OSError as error:
        raise DataError(path, "a readable file", reason(error)) from error
    scaler = _from_npz(path) if path.suffix == ".npz" else _from_pickle(path, data)
    if not scaler.is_valid:
        shapes = f"{scaler.mean.shape} and {scaler.scale.shape}"
        raise DataError(path, "a mean and a positive scale of each column", shapes)
    return scaler


def _from_pickle(path: Path, data: bytes) -> Scaler:
    expected = "a pickled StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler"
    try:
        return _scaler_of(restricted_load(BytesIO(_decompressed(data))))
    except RefusedError as refused:
        raise DataError(path, expected, str(refused), "", _HINT) from refused
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        damage = f"damage or another format ({reason(error)})"
        raise DataError(path, expected, damage, "", _HINT) from error


def _decompressed(data: bytes) -> bytes:
    """The pickle in a file of joblib, which may be compressed; no more than a scaler takes."""
    window = _COMPRESSED.get(data[:1])
    if window is None:
        return data
    stream = zlib.decompressobj(window)
    content = stream.decompress(data, _LARGEST)
    if not stream.eof:
        raise EOFError("compressed data cut short, or more than a scaler")
    return content


def _scaler_of(record: object) -> Scaler:
    if not isinstance(record, ScalerRecord) or not isinstance(record.state, dict):
        raise RefusedError(f"another object ({type(record).__name__})")
    attributes = record.state
    kind = next((kind for mark, kind in _KINDS.items() if mark in attributes), None)
    if kind is None:
        raise RefusedError(f"a {record.kind} that is not fitted")
    scaler = kind(attributes)
    if "feature_names_in_" not in attributes:
        return scaler
    names = array_of(attributes["feature_names_in_"])
    return replace(scaler, names=tuple(map(str, names)))


def _of_standard(attributes: Attributes) -> Scaler:
    """(raw - mean) / deviation; without its mean, or its deviation, where it was told so."""
    width = _width(attributes)
    mean, scale = np.zeros(width), np.ones(width)
    if attributes.get("with_std", True):
        scale = _numbers(attributes, "scale_")
    if attributes.get("with_mean", True):
        return Scaler(_numbers(attributes, "mean_"), scale)
    centre = np.full(width, np.nan)
    if attributes["mean_"] is not None:
        centre = _numbers(attributes, "mean_") / scale
    return Scaler(mean, scale, centre=centre)


def _of_min_max(attributes: Attributes) -> Scaler:
    """Raw * scale + min, so that a column fills a range."""
    scale = 1.0 / _numbers(attributes, "scale_")
    middle = np.mean(tuple_of(attributes["feature_range"]))
    return Scaler(-_numbers(attributes, "min_") * scale, scale, centre=float(middle))


def _of_max_abs(attributes: Attributes) -> Scaler:
    """Raw / largest."""
    scale = _numbers(attributes, "scale_")
    return Scaler(np.zeros_like(scale), scale)


def _of_robust(attributes: Attributes) -> Scaler:
    """(raw - median) / range of the quartiles, each where it was asked for."""
    width = _width(attributes)
    centre, scale = np.zeros(width), np.ones(width)
    if attributes.get("with_scaling", True):
        scale = _numbers(attributes, "scale_")
    if attributes.get("with_centering", True):
        centre = _numbers(attributes, "center_")
        return Scaler(centre, scale)
    return Scaler(centre, scale, centre=np.full(width, np.nan))


_KINDS: dict[str, Callable[[Attributes], Scaler]] = {
    "mean_": _of_standard,
    "min_": _of_min_max,
    "max_abs_": _of_max_abs,
    "center_": _of_robust,
}
"""Kind of a scaler by an attribute that no other has."""


def _width(attributes: Attributes) -> int:
    """Number of columns; old versions do not say it."""
    arrays = (attributes.get(name) for name in ("scale_", "mean_", "center_"))
    stated = attributes.get("n_features_in_")
    if isinstance(stated, int):
        return stated
    return next(len(array_of(array)) for array in arrays if array is not None)


def _numbers(attributes: Attributes, name: str) -> np.ndarray:
    return array_of(attributes[name]).astype(float)


def _from_npz(path: Path) -> Scaler:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Scaler(arrays["mean"].astype(float), arrays["scale"].astype(float))
    except (
        AttributeError,
        BadZipFile,
        EOFError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(path, "arrays mean and scale", str(error), "", _HINT) from error
