"""A StandardScaler of the original scripts: its numbers, read without running a line of its
pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.legacy.unpickler import (
    FROM_BUFFER,
    NUMBER,
    RECONSTRUCT,
    SCALER,
    Note,
    RefusedError,
    dtype_of,
    interpret,
    told,
)

HINT = "in Python: numpy.savez('scaler_X.npz', mean=scaler.mean_, scale=scaler.scale_)"


@dataclass(frozen=True)
class Scaler:
    """Shift and scale of some columns: raw = scaled * scale + mean.

    Args:
        mean: (C,).
        scale: (C,).
        names: Columns, or empty if the file does not tell.
    """

    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...] = ()


def read_scaler(path: str | Path) -> Scaler:
    """Read mean and scale of a StandardScaler, pickled or dumped by joblib, or kept as ``.npz`` (mean, scale).

    Args:
        path: The file.

    Returns:
        Its numbers; no code of the file is run.

    Raises:
        DataError: If the file cannot be read, or holds anything but a fitted StandardScaler.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), "a readable file", error.strerror or str(error)) from error
    if path.suffix == ".npz":
        return _from_npz(path)
    try:
        found = interpret(BytesIO(data))
        if not (
            isinstance(found, Note) and found.of.name in SCALER and isinstance(found.state, dict)
        ):
            raise RefusedError(f"another object ({told(found)})")
        mean, scale = (
            np.asarray(_value(found.state[key]), dtype=float) for key in ("mean_", "scale_")
        )
        names = tuple(
            str(name) for name in np.ravel(_value(found.state.get("feature_names_in_", ())))
        )
    except RefusedError as refused:
        raise DataError(str(path), "a pickled StandardScaler", str(refused), "", HINT) from refused
    except KeyError as error:
        raise DataError(
            str(path), "a fitted StandardScaler", f"one without {error}", "", HINT
        ) from error
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            str(path), "a pickled StandardScaler", f"damage or another format ({reason})", "", HINT
        ) from error
    return _checked(Scaler(mean, scale, names), path)


def _checked(scaler: Scaler, path: Path) -> Scaler:
    mean, scale = scaler.mean, scaler.scale
    is_fine = (
        mean.ndim == 1
        and mean.shape == scale.shape
        and np.isfinite([mean, scale]).all()
        and (scale > 0).all()
    )
    if not is_fine or len(scaler.names) not in (0, len(mean)):
        raise DataError(
            str(path),
            "a mean and a positive scale of each column",
            f"{mean.shape} and {scale.shape}",
        )
    return scaler


def _from_npz(path: Path) -> Scaler:
    from zipfile import BadZipFile, ZipFile

    def array(archive: ZipFile, name: str) -> np.ndarray:
        with archive.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            shape, _, dtype = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )(member)
            if dtype.hasobject:
                raise ValueError("pickled objects")
            return np.frombuffer(member.read(), dtype).reshape(shape).astype(float)

    try:
        with ZipFile(path) as archive:
            scaler = Scaler(array(archive, "mean"), array(archive, "scale"))
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(str(path), "arrays mean and scale", str(error), "", HINT) from error
    return _checked(scaler, path)


def _value(note: Any) -> Any:
    """The array or number that a note tells of."""
    if not isinstance(note, Note):
        return note
    if note.of.name in RECONSTRUCT:
        _, shape, dtype, is_fortran, content = note.state
        kind = dtype_of(dtype)
        if kind.hasobject:
            return np.array(content, dtype=object).reshape(shape)
        return np.frombuffer(content, kind).reshape(shape, order="F" if is_fortran else "C")
    if note.of.name in FROM_BUFFER:
        content, dtype, shape, order = note.given
        return np.frombuffer(content, dtype_of(dtype)).reshape(shape, order=order)
    if note.of.name in NUMBER:
        return np.frombuffer(note.given[1], dtype_of(note.given[0]))[0]
    raise RefusedError(f"a value of {told(note)}")
