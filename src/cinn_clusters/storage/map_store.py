"""The store of X-ray maps: one HDF5 file with a map a row.

``log_brightness`` (N, H, W) holds the maps and ``filename`` (N,) their names; mock maps have
``counts`` and ``exposure`` beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cinn_clusters.data.reading.map_names import MapNaming
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import DataError
from cinn_clusters.files import atomic_file
from cinn_clusters.memory import demand_room
from cinn_clusters.storage.enduring_file import enduring

STORE = "maps.h5"
_BYTES_PER_PIXEL = 12
"""In memory: a value as stored and as single precision, and a mask or a copy."""
Variant = Literal["ideal", "observed"]
"""Of a map: log surface brightness, or counts over exposure."""


@dataclass(frozen=True)
class StoreFacts:
    """What is true of all maps of a store."""

    source: str  # command that wrote it
    half_width: float = 0.0  # half the side of a map [R500]; 0 where it is unknown
    stretch: str = "log"  # or asinh
    unit: str = "log10, relative"


@dataclass(frozen=True, eq=False)
class MapStore:
    """Maps (N, H, W) of log10 surface brightness; NaN where nothing was exposed.

    The table holds the ``filename`` of each, and HaloID, Snapshot and Projection where names do.
    """

    values: np.ndarray
    table: pd.DataFrame
    half_width: float  # half the side of a map [R500]; 0 where it is unknown
    source: str
    variant: Variant = "ideal"


class StoreWriter:
    """Appends maps to a store that is being written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._num_written = 0

    def append(
        self,
        names: Sequence[str],
        log_brightness: np.ndarray,
        counts: np.ndarray | None = None,
        exposure: np.ndarray | None = None,
    ) -> None:
        """Write maps (M, H, W), with the counts and the exposures [ks] that a telescope made."""
        rows = slice(self._num_written, self._num_written + len(names))
        self._file["filename"][rows] = list(names)
        self._file["log_brightness"][rows] = log_brightness
        if counts is not None:
            self._file["counts"][rows] = counts
            self._file["exposure"][rows] = exposure
        self._num_written = rows.stop


@contextmanager
def store_writer(
    path: Path,
    num_maps: int,
    size: int,
    facts: StoreFacts,
    *,
    has_counts: bool = False,
    dtype: Literal["f2", "f4"] = "f2",
) -> Iterator[StoreWriter]:
    """Yield the writer of a store, which exists under its name once all is written.

    Args:
        path: HDF5 file to make.
        num_maps: Maps that will be appended.
        size: Pixels a side.
        facts: What is true of all maps.
        has_counts: Whether counts and exposures are stored, too.
        dtype: Of the log10 brightness; half precision has steps of 0.03 at 36.

    Raises:
        OutputError: If the file cannot be written.
    """
    import h5py

    layers: list[tuple[str, str, str]] = [("log_brightness", dtype, facts.unit)]
    if has_counts:
        layers += [("counts", "u4", "photons"), ("exposure", "f2", "ks")]
    options = {
        "shape": (num_maps, size, size),
        "chunks": (1, size, size),
        "compression": "lzf",
    }
    with (
        atomic_file(path) as scratch,
        enduring(scratch) as stream,
        h5py.File(stream, "w") as file,
    ):
        for name, kind, unit in layers:
            file.create_dataset(name, dtype=kind, **options).attrs["unit"] = unit
        file.create_dataset("filename", (num_maps,), h5py.string_dtype())
        file.attrs.update(
            source=facts.source, half_width_r500=facts.half_width, stretch=facts.stretch
        )
        yield StoreWriter(file)


def is_store(path: str | Path) -> bool:
    """Return whether a file is a store of maps."""
    import h5py

    try:
        demand_regular(Path(path))
        with h5py.File(path) as file:
            return "log_brightness" in file and "filename" in file
    except (OSError, LookupError, RuntimeError):  # of a damaged HDF5 file
        return False


def read_stored(path: str | Path) -> tuple[tuple[str, ...], np.ndarray, StoreFacts]:
    """Return names, values as stored (N, H, W) and facts of a store of any stretch."""
    with _opened(Path(path)) as file:
        return _names(file), file["log_brightness"][:], _facts(file)


def read_store(
    path: str | Path, variant: Variant = "ideal", naming: MapNaming | None = None
) -> MapStore:
    """Read a store of maps of log10 brightness.

    Args:
        path: HDF5 file of the command ``mock --maps`` or ``maps``, or a folder with ``maps.h5``.
        variant: ``ideal`` or ``observed``.
        naming: How the names say whose the maps are; None: known patterns, or names of objects.

    Raises:
        DataError: If it is no such file, or of another stretch than log.
    """
    path = Path(path)
    if (path / STORE).is_file():
        path = path / STORE
    with _opened(path) as file:
        facts = _facts(file)
        if facts.stretch != "log":
            got = f"the stretch {facts.stretch}"
            raise DataError(path, "log brightness, as encoders see", got)
        table = _table(_names(file), naming)
        values = _values(file, variant)
    _demand_brightness(values, table["filename"], path)
    return MapStore(values, table, facts.half_width, str(path), variant)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a store whose datasets are what they should be."""
    import h5py

    try:
        demand_regular(path)
        with h5py.File(path) as file:
            _demand_layout(file)
            yield file
    except DataError:
        raise
    except (OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        expected = f"a store of maps ({STORE} of cinn-clusters mock --maps)"
        raise DataError(path, expected, reason(error)) from error
    except RuntimeError as error:  # of HDF5, whose words name its own functions
        raise DataError(path, "a store of maps", "a damaged HDF5 file") from error


def _demand_layout(file: Any) -> None:
    """Demand maps (N, H, H), what a telescope made of them, and N names."""
    maps = file["log_brightness"]
    names = file["filename"]
    shape = maps.shape
    if maps.ndim != 3 or shape[1] != shape[2] or 0 in shape:
        raise ValueError(f"log_brightness of shape {shape}, not (N, H, H)")
    if maps.dtype.kind != "f" or names.shape != shape[:1]:
        numbers = f"log_brightness of {maps.dtype}"
        raise ValueError(f"{numbers} with filename of shape {names.shape}")
    for layer in ("counts", "exposure"):
        if layer in file and file[layer].shape != shape:
            shapes = f"{file[layer].shape}, not {shape}"
            raise ValueError(f"{layer} of shape {shapes}")
    num_bytes = _BYTES_PER_PIXEL * maps.size
    demand_room(num_bytes, file.filename, "write smaller stores")


def _demand_brightness(values: np.ndarray, names: pd.Series, path: Path) -> None:
    """Demand maps without infinities, each with a pixel that was exposed."""
    is_unusable = np.isinf(values).any((1, 2)) | np.isnan(values).all((1, 2))
    if is_unusable.any():
        first = names[np.flatnonzero(is_unusable)[0]]
        got = f"{is_unusable.sum()} with infinite pixels or none"
        raise DataError(path, "maps with finite pixels", got, f"first '{first}'")


def _facts(file: Any) -> StoreFacts:
    attributes = file.attrs  # older stores do not name their stretch, which is log
    half_width = float(attributes["half_width_r500"])
    if not 0.0 <= half_width < np.inf:
        raise ValueError(f"half_width_r500 of {half_width:g}")
    return StoreFacts(
        str(attributes.get("source", "unknown origin")),
        half_width,
        str(attributes.get("stretch", "log")),
        str(file["log_brightness"].attrs.get("unit", "")),
    )


def _names(file: Any) -> tuple[str, ...]:
    """Names of the maps, each its own."""
    names = tuple(file["filename"].asstr()[:])
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise ValueError(f"the name '{name}' {count} times")
    if any(not name.isprintable() or not name for name in names):
        raise ValueError("names that are empty or cannot be printed")
    return names


def _table(names: Sequence[str], naming: MapNaming | None) -> pd.DataFrame:
    """Return whose maps are by their names, or only how they are called."""
    pattern = naming or MapNaming()
    if pattern.pattern is not None or pattern.reads(names):
        return pattern.keys(names, STORE)
    return pd.DataFrame({"filename": names})


def _values(file: Any, variant: Variant) -> np.ndarray:
    """Return log10 surface brightness (N, H, W); of observed maps that of (counts + 1/2) / exposure.

    Pixels with a tenth of the longest exposure or less are NaN.
    """
    if variant == "ideal":
        return np.asarray(file["log_brightness"][:], dtype=np.float32)
    if variant != "observed":
        raise DataError("variant", "ideal or observed", variant)
    if "counts" not in file:
        expected = "counts and exposure, since observed maps were asked for"
        raise DataError(file.filename, expected, "neither")
    counts = file["counts"][:].astype(np.float32)
    exposure = file["exposure"][:].astype(np.float32)
    longest = exposure.max((1, 2), keepdims=True)
    with np.errstate(divide="ignore"):
        log_rate = np.log10((counts + 0.5) / exposure)
    return np.where(exposure > 0.1 * longest, log_rate, np.nan)
