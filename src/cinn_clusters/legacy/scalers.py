"""A StandardScaler of the original scripts: its numbers, read without running its pickle."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.legacy.unpickler import (
    RefusedError,
    ScalerRecord,
    array_of,
    restricted_load,
)

_HINT = "in Python: numpy.savez('scaler_X.npz', mean=scaler.mean_, scale=scaler.scale_)"


@dataclass(frozen=True, eq=False)
class Scaler:
    """Shift and scale of C columns: raw = scaled * scale + mean.

    Args:
        mean: Means, shape (C,).
        scale: Standard deviations, shape (C,).
        names: Names of the columns, or empty if the file does not hold them.
    """

    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...] = ()


def read_scaler(path: str | Path) -> Scaler:
    """Read a StandardScaler, pickled, dumped by joblib, or kept as ``.npz`` (mean, scale).

    Raises:
        DataError: If the file cannot be read, or holds anything but a fitted StandardScaler.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            path, "a readable file", error.strerror or str(error)
        ) from error
    scaler = _from_npz(path) if path.suffix == ".npz" else _from_pickle(path, data)
    is_valid = (
        scaler.mean.ndim == 1
        and scaler.mean.shape == scaler.scale.shape
        and np.isfinite([scaler.mean, scaler.scale]).all()
        and (scaler.scale > 0).all()
    )
    if not is_valid or len(scaler.names) not in (0, len(scaler.mean)):
        shapes = f"{scaler.mean.shape} and {scaler.scale.shape}"
        raise DataError(path, "a mean and a positive scale of each column", shapes)
    return scaler


def _from_pickle(path: Path, data: bytes) -> Scaler:
    expected = "a pickled StandardScaler"
    try:
        return _scaler_of(restricted_load(BytesIO(data)))
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
    ) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        damage = f"damage or another format ({reason})"
        raise DataError(path, expected, damage, "", _HINT) from error


def _scaler_of(record: object) -> Scaler:
    if not isinstance(record, ScalerRecord) or not isinstance(record.state, dict):
        raise RefusedError(f"another object ({type(record).__name__})")
    attributes = record.state
    missing = [name for name in ("mean_", "scale_") if name not in attributes]
    if missing:
        raise RefusedError(f"one that is not fitted, without '{missing[0]}'")
    mean, scale = (
        array_of(attributes[name]).astype(float) for name in ("mean_", "scale_")
    )
    if "feature_names_in_" not in attributes:
        return Scaler(mean, scale)
    return Scaler(
        mean, scale, tuple(map(str, array_of(attributes["feature_names_in_"])))
    )


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
