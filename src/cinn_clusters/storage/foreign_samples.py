"""Posterior samples of anyone: npz or netCDF, any number of targets, any names of keys.

Samples stand as an array a target, (draw, object), or as one array ``samples`` (draw, object,
target) beside the names ``targets``. Chains may come apart, axes in any order where the lengths of
``targets`` and of the keys tell them apart, or ``dims`` names them. Every one-dimensional array with
an entry an object is a key.
"""

from __future__ import annotations

import zipfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.documents import reason
from cinn_clusters.errors import BundleError
from cinn_clusters.storage.posterior_file import readable

_DRAW, _OBJECT, _TARGET = "draw", "object", "target"
_DRAWS = ("chain", "draw", "sample", "samples", "draws")
_NAMES = ("targets", "parameters", "names", "param_names")
_EXPECTED = "posterior samples of several objects"
_HINT = (
    "write an array samples (draw, object, target) with targets, the names of its columns, "
    "dims = ['draw', 'object', 'target'], and an array for each key such as HaloID"
)


@dataclass(frozen=True, eq=False)
class ForeignSamples:
    """Samples of N objects of any origin.

    Args:
        targets: Names of D targets.
        samples: Posterior samples, (S, N, D).
        keys: What the file says of each object, N rows; without columns where it says nothing.
    """

    targets: tuple[str, ...]
    samples: np.ndarray
    keys: pd.DataFrame


def read_foreign(path: str | Path) -> ForeignSamples:
    """Read samples of any origin.

    Raises:
        BundleError: If the file is damaged, or does not say which axis is which.
    """
    path = Path(path)
    arrays = _read(path)
    samples = {name: array for name, array in arrays.items() if _TARGET in array.dims}
    single = {
        name: array
        for name, array in arrays.items()
        if set(array.dims) == {_DRAW, _OBJECT}
    }
    if len(samples) + bool(single) != 1:
        got = f"{', '.join(arrays) or 'no array'}"
        raise BundleError(path, _EXPECTED, got, "", _HINT)
    keys = {name: array for name, array in arrays.items() if array.dims == (_OBJECT,)}
    if single:
        values = [
            array.transpose(_DRAW, _OBJECT).to_numpy() for array in single.values()
        ]
        return _foreign(tuple(single), np.stack(values, axis=-1), keys)
    (stacked,) = samples.values()
    names = tuple(str(name) for name in stacked[_TARGET].to_numpy())
    return _foreign(names, stacked.transpose(_DRAW, _OBJECT, _TARGET).to_numpy(), keys)


def _foreign(
    targets: tuple[str, ...], samples: np.ndarray, keys: Mapping[str, xr.DataArray]
) -> ForeignSamples:
    columns = {name: key_values(array.to_numpy(), name) for name, array in keys.items()}
    index = pd.RangeIndex(samples.shape[1])
    return ForeignSamples(targets, samples, pd.DataFrame(columns, index=index))


def _read(path: Path) -> dict[str, xr.DataArray]:
    """Arrays of a file by name, their axes called draw, object and target."""
    if zipfile.is_zipfile(path):
        return _read_arrays(path)
    return _read_dataset(path)


def _read_arrays(path: Path) -> dict[str, xr.DataArray]:
    """Arrays of an npz file by name, their axes called draw, object and target."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(path, "arrays in an npz file", reason(error)) from error
    named = next((arrays.pop(name) for name in _NAMES if name in arrays), None)
    dims = tuple(str(name) for name in arrays.pop("dims", ()))
    num_objects = _num_objects(path, arrays)
    result = {}
    for name, array in arrays.items():
        axes = _Axes(path, name, array.shape, num_objects, named)
        result[name] = axes.named(array, dims)
    return result


def _num_objects(path: Path, arrays: Mapping[str, np.ndarray]) -> int | None:
    """Length of the keys; None without any."""
    keys = {name: len(array) for name, array in arrays.items() if array.ndim == 1}
    if len(set(keys.values())) > 1:
        got = ", ".join(f"{name} of {length}" for name, length in keys.items())
        raise BundleError(path, "keys with an entry an object", got, "", _HINT)
    return next(iter(keys.values()), None)


@dataclass(frozen=True, eq=False)
class _Axes:
    """What is known of the axes of an array."""

    path: Path
    name: str
    shape: tuple[int, ...]
    num_objects: int | None
    targets: np.ndarray | None

    def named(self, array: np.ndarray, dims: tuple[str, ...]) -> xr.DataArray:
        """Name the axes: those that the file gives, or the only ones that fit."""
        names = dims
        if len(dims) != array.ndim:
            names = self._only_order()
        coordinates = {}
        if _TARGET in names:
            coordinates[_TARGET] = self._names(self.shape[names.index(_TARGET)])
        return xr.DataArray(array, coordinates, names)

    def _names(self, num_targets: int) -> Sequence[Any]:
        expected = f"names of the {num_targets} targets of {self.name}"
        if self.targets is None:
            raise BundleError(self.path, expected, "none", "", _HINT)
        names = [str(name) for name in self.targets]
        if len(names) != num_targets:
            raise BundleError(self.path, expected, f"{len(names)} names", "", _HINT)
        return names

    def _only_order(self) -> tuple[str, ...]:
        """The order draw, object, target, unless lengths rule it out; refused where two fit."""
        orders = {1: (_OBJECT,), 2: (_DRAW, _OBJECT), 3: (_DRAW, _OBJECT, _TARGET)}
        usual = orders.get(len(self.shape))
        if usual is None:
            raise self._refusal(f"{len(self.shape)} axes")
        if usual == (_OBJECT,):
            return usual
        candidates = [usual, (usual[1], usual[0], *usual[2:])]
        fitting = [order for order in candidates if self._fits(order)]
        if len(fitting) != 1:
            problem = "which axis is of objects does not show"
            raise self._refusal(f"shape {self.shape}: {problem}")
        return fitting[0]

    def _fits(self, order: tuple[str, ...]) -> bool:
        sizes = dict(zip(order, self.shape, strict=True))
        if self.num_objects is None:  # without keys, the axes say nothing
            return order[0] == _DRAW
        return sizes[_OBJECT] == self.num_objects

    def _refusal(self, got: str) -> BundleError:
        expected = f"axes draw, object and target of {self.name}"
        return BundleError(self.path, expected, got, "", _HINT)


def _read_dataset(path: Path) -> dict[str, xr.DataArray]:
    """Variables of a netCDF file, of its group posterior if it has one, with axes renamed."""
    with readable(path, "a netCDF or npz file of samples") as groups:
        group = "posterior" if "posterior" in groups else None
        with xr.open_dataset(path, group=group, engine="h5netcdf") as dataset:
            loaded = dataset.load()
    return _renamed(path, loaded)


def _renamed(path: Path, dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Variables with axes draw, object and target; others are left out."""
    draws = [name for name in dataset.dims if name in _DRAWS]
    names = _axis_names(path, dataset, draws)
    targets = tuple(name for name in names if names[name] == _TARGET)
    result = {}
    for name, array in {**dataset.data_vars, **dataset.coords}.items():
        if set(array.dims) - {*draws, *names} or array.dims in ((), targets):
            continue
        if set(draws) <= set(array.dims):
            joined = array.reset_coords(drop=True)
            result[str(name)] = _with_axes(joined, draws, names)
        else:
            result[str(name)] = _with_axes(array, [], names)
    return result


def _axis_names(
    path: Path, dataset: xr.Dataset, draws: Sequence[Hashable]
) -> dict[Hashable, str]:
    """Which of the further dims of samples is of objects, and which of targets, if any."""
    sampled = [v for v in dataset.data_vars.values() if set(draws) & set(v.dims)]
    further = {name for array in sampled for name in array.dims} - set(draws)
    targets = [name for name in further if _is_text(dataset.coords.get(name))]
    if len(further) == 1:
        targets = []
    objects = further - set(targets)
    if not draws or len(objects) != 1 or len(targets) > 1:
        got = f"dims {', '.join(map(str, dataset.dims)) or 'none'}"
        raise BundleError(path, "dims of draws and one of objects", got, "", _HINT)
    return dict.fromkeys(objects, _OBJECT) | dict.fromkeys(targets, _TARGET)


def _with_axes(
    array: xr.DataArray, draws: Sequence[Hashable], names: Mapping[Hashable, str]
) -> xr.DataArray:
    """Chains joined, axes renamed."""
    if draws:
        array = array.stack({"joined": draws}).reset_index("joined", drop=True)
        array = array.rename(joined=_DRAW)
    axes = {old: new for old, new in names.items() if old in array.dims}
    coordinates = {}
    for old, new in axes.items():
        if new == _TARGET:
            coordinates[new] = array[old].to_numpy()
    dims = [axes.get(name, str(name)) for name in array.dims]
    return xr.DataArray(array.to_numpy(), coordinates, dims)


def _is_text(coordinate: xr.DataArray | None) -> bool:
    return coordinate is not None and coordinate.dtype.kind in "UOST"
