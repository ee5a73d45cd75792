"""Posterior samples as netCDF in the ArviZ layout, written in pieces so that memory stays bounded.

Groups: ``posterior`` (the samples), ``sample_stats`` (log-densities), ``constant_data`` (the
observables and errors that the posterior is conditioned on) and ``ground_truth`` (parameters of the
simulation, where they are known). The keys of the objects are coordinates of every group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import xarray as xr

from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file
from cinn_clusters.schema import (
    CLUSTER_COLUMN,
    DEFAULT,
    ERROR_PREFIX,
    KEYS,
    PROJECTION,
    Keys,
    Schema,
)
from cinn_clusters.storage.enduring_file import enduring
from cinn_clusters.storage.run import versions

DIMENSIONS = ("chain", "draw", "cluster")
NUM_DENSITIES = 200
"""Samples of each object whose density is written, too: enough for ranks of joint HPD regions."""
_OBJECTS_PER_CHUNK = 64


def library_attributes(seed: int) -> dict[str, str | float]:
    """Return the attributes that say which package made a file, and from which seed."""
    return {
        "inference_library": "cinn-clusters",
        "inference_library_version": versions()["cinn-clusters"],
        "seed": seed,
    }


@dataclass(frozen=True, eq=False)
class SampleLayout:
    """Content of a posterior file but for the samples themselves.

    Args:
        targets: Columns of theta, D of them.
        num_samples: S, posterior samples of each object.
        keys: What identifies each object (HaloID, Snapshot, cluster, object, Projection), N rows;
            the index is the row of the object in its catalogue.
        attributes: Global attributes.
        constant_data: Observables and errors that the posterior is conditioned on, (N,) each.
        ground_truth: Parameters of the simulation, (N, D); None where nobody knows them.
        has_densities: Whether log-densities of samples and ground truth are written, too.
        dtype: Type of the samples.
        schema: What the columns are.
    """

    targets: tuple[str, ...]
    num_samples: int
    keys: pd.DataFrame
    attributes: Mapping[str, str | float] = field(default_factory=dict)
    constant_data: Mapping[str, np.ndarray] = field(default_factory=dict)
    ground_truth: np.ndarray | None = None
    has_densities: bool = False
    schema: Schema = DEFAULT
    dtype: np.dtype = field(default=np.dtype(np.float32), kw_only=True)

    def __len__(self) -> int:
        """Number of objects, N."""
        return len(self.keys)


@dataclass(frozen=True)
class SampleWriter:
    """An open posterior file that takes samples."""

    targets: tuple[str, ...]
    posterior: Any
    sample_stats: Any = None

    def put(self, objects: slice, samples: np.ndarray) -> None:
        """Write the samples (S, n, D) of some objects."""
        for d, name in enumerate(self.targets):
            self.posterior.variables[name][0, :, objects] = samples[:, :, d]

    def put_log_prob(
        self, objects: slice, log_prob: np.ndarray, log_prob_truth: np.ndarray
    ) -> None:
        """Write log-densities of the first samples (S', n) and of the ground truth (n,)."""
        self.sample_stats.variables["lp"][0, : len(log_prob), objects] = log_prob
        self.sample_stats.variables["lp_truth"][objects] = log_prob_truth


@contextmanager
def sample_writer(
    path: Path, layout: SampleLayout, *, overwrite: bool = False
) -> Iterator[SampleWriter]:
    """Open a file for the posterior of some objects; it appears when the block ends well.

    Raises:
        OutputError: If the file is taken or cannot be written whole.
    """
    with (
        atomic_file(path, overwrite=overwrite) as scratch,
        enduring(scratch) as stream,
        h5netcdf.File(stream, "w") as file,
    ):
        file.attrs.update({**layout.attributes, "created_at": _time_of_writing()})
        yield _lay_out(file, layout)


def _time_of_writing() -> str:
    """ISO time in UTC; SOURCE_DATE_EPOCH decides it where set, so that builds can be reproduced."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = (
        datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    )
    return moment.isoformat(timespec="seconds")


def _lay_out(file: Any, layout: SampleLayout) -> SampleWriter:
    """Make the groups; all but samples and densities is written at once."""
    posterior = _add_group(file, "posterior", layout, num_samples=layout.num_samples)
    posterior.attrs.update(layout.attributes)
    chunks = (1, layout.num_samples, min(_OBJECTS_PER_CHUNK, len(layout)))
    for name in layout.targets:
        variable = posterior.create_variable(
            name, DIMENSIONS, layout.dtype, chunks=chunks
        )
        variable.attrs.update(_description(name, layout.schema))
    if layout.constant_data:
        group = _add_group(file, "constant_data", layout)
        _add_columns(group, layout.constant_data, layout.schema)
    if layout.ground_truth is not None:
        group = _add_group(file, "ground_truth", layout)
        parameters = dict(zip(layout.targets, layout.ground_truth.T, strict=True))
        _add_columns(group, parameters, layout.schema)
    if not layout.has_densities:
        return SampleWriter(layout.targets, posterior)
    sample_stats = _add_group(
        file, "sample_stats", layout, num_samples=layout.num_samples
    )
    _add_densities(sample_stats, min(NUM_DENSITIES, layout.num_samples), chunks[-1])
    return SampleWriter(layout.targets, posterior, sample_stats)


def _add_group(file: Any, name: str, layout: SampleLayout, num_samples: int = 0) -> Any:
    """Make a group with its dimensions, and the keys of the objects as coordinates."""
    group = file.create_group(name)
    indices = {"cluster": layout.keys.index.to_numpy()}
    if num_samples:
        indices = {"chain": np.arange(1), "draw": np.arange(num_samples)} | indices
    group.dimensions = {dimension: len(index) for dimension, index in indices.items()}
    for dimension, index in indices.items():
        group.create_variable(dimension, (dimension,), data=index)
    keys = layout.keys.rename(
        columns={"cluster": CLUSTER_COLUMN}
    )  # the name of a dimension
    for key, column in keys.items():
        if pd.api.types.is_numeric_dtype(column):
            group.create_variable(str(key), ("cluster",), data=column.to_numpy())
        else:
            text = column.fillna("").astype(str).to_numpy(object)
            group.create_variable(str(key), ("cluster",), h5py.string_dtype())[:] = text
    group.attrs["coordinates"] = " ".join(map(str, keys))
    return group


def _add_columns(group: Any, columns: Mapping[str, np.ndarray], schema: Schema) -> None:
    for name, values in columns.items():
        variable = group.create_variable(
            name, ("cluster",), data=np.asarray(values, dtype=float)
        )
        variable.attrs.update(_description(name, schema))


def _description(name: str, schema: Schema) -> dict[str, str]:
    """Unit and meaning of a variable; that of an error follows from its observable."""
    observable = name.removeprefix(ERROR_PREFIX)
    column = schema.column(observable)
    if observable == name:
        return {"units": column.unit or "1", "long_name": column.meaning or name}
    is_logarithm = column.is_log or column.unit.startswith("log10")
    units = "dex" if is_logarithm else column.unit or "1"
    return {"units": units, "long_name": f"standard error of {observable}"}


def _add_densities(group: Any, num_densities: int, num_objects: int) -> None:
    chunks = (1, num_densities, num_objects)  # chunks without a value take no room
    samples = group.create_variable(
        "lp", DIMENSIONS, "f4", chunks=chunks, fillvalue=np.nan
    )
    samples.attrs["long_name"] = (
        "log-density of the sample, physical units; NaN where it was not evaluated"
    )
    truth = group.create_variable("lp_truth", ("cluster",), "f8", fillvalue=np.nan)
    truth.attrs["long_name"] = (
        "log-density of the ground truth, physical units, collision time dequantised"
    )


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """Sampled variables of a posterior file, and the keys of its objects."""

    variables: tuple[str, ...]
    keys: pd.DataFrame


def read_index(path: str | Path, declared: Keys = DEFAULT.keys) -> SampleIndex:
    """Read which samples a file holds, of which rows of a simulation.

    The keys stand under their fixed names, or under those that the simulation declares; where it
    declares that it has none, its rows are numbered and all of snapshot 0.

    Raises:
        BundleError: If the file is missing, damaged, not in ArviZ' layout, or does not name its
            objects, each once.
    """
    dimensions, required = ", ".join(DIMENSIONS), " and ".join(declared.row_keys)
    expected = (
        f"a netCDF file with a group posterior, dims {dimensions}, keys {required}"
    )
    with _group(path, "posterior", expected) as dataset:
        names = [
            str(name)
            for name, data in dataset.items()
            if set(data.dims) == set(DIMENSIONS)
        ]
        numbers = _key_numbers(dataset, declared)
    if not names:
        raise BundleError(str(path), f"variables with dims {dimensions}", "none")
    repeated = numbers.duplicated()
    if repeated.any():
        copies = numbers[repeated]
        first = ", ".join(f"{key} {copies[key].iloc[0]}" for key in copies)
        got = f"{int(repeated.sum())} repeated"
        raise BundleError(str(path), "each object once", got, f"first {first}")
    return SampleIndex(tuple(names), numbers)


def _key_numbers(dataset: xr.Dataset, declared: Keys) -> pd.DataFrame:
    """Keys of the N objects under their fixed names."""
    rows = np.arange(dataset.sizes["cluster"])
    numbers = {KEYS[0]: rows, KEYS[1]: np.zeros_like(rows)}
    names = dict(zip(KEYS, (declared.halo, declared.snapshot), strict=True))
    for key in (*KEYS, PROJECTION):
        name = names.get(key)
        if name in dataset.variables:
            numbers[key] = key_values(dataset[name].to_numpy(), str(name))
        elif key in dataset.variables or name is not None:
            numbers[key] = key_values(dataset[key].to_numpy(), key)
    return pd.DataFrame(numbers)


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Read the global attributes of a posterior file.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    with readable(path, "a netCDF file"), h5netcdf.File(path, "r") as file:
        return dict(file.attrs)


def read_samples(path: str | Path, targets: Sequence[str]) -> np.ndarray:
    """Read posterior samples (S, N, D).

    Raises:
        BundleError: If the file is missing, damaged or lacks a target.
    """
    with _group(
        path, "posterior", f"posterior samples of {', '.join(targets)}"
    ) as dataset:
        return np.stack([_by_sample(dataset[name]) for name in targets], -1)


def read_log_prob(path: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Read log-densities of samples (S, N), NaN where not evaluated, and of ground truth (N,).

    Returns None where the file holds none.

    Raises:
        BundleError: If the file is missing or damaged, or the densities do not fit ArviZ' layout.
    """
    expected = "log-densities of samples and ground truth"
    if not _has_densities(path, expected):
        return None
    with _group(path, "sample_stats", expected) as dataset:
        truth = dataset["lp_truth"].transpose("cluster").to_numpy()
        return _by_sample(dataset["lp"]).astype(float), truth.astype(float)


def _has_densities(path: str | Path, expected: str) -> bool:
    with readable(path, expected), h5netcdf.File(path, "r") as file:
        group = file.groups.get("sample_stats")
        return group is not None and {"lp", "lp_truth"} <= set(group.variables)


@contextmanager
def _group(path: str | Path, group: str, expected: str) -> Iterator[xr.Dataset]:
    with (
        readable(path, expected),
        xr.open_dataset(path, group=group, engine="h5netcdf") as dataset,
    ):
        yield dataset


@contextmanager
def readable(path: str | Path, expected: str) -> Iterator[tuple[str, ...]]:
    """Turn what the reader of netCDF raises into an error that names the file; yields its groups."""
    try:
        demand_regular(Path(path))
        with h5py.File(path) as file:  # that of netCDF leaves a damaged one half open
            file.visititems(lambda name, entry: None)
            groups = tuple(
                name for name, entry in file.items() if isinstance(entry, h5py.Group)
            )
        yield groups
    except BundleError:
        raise
    except (
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise BundleError(path, expected, reason(error)) from error


def _by_sample(variable: xr.DataArray) -> np.ndarray:
    """Chains joined, (S, N)."""
    if variable.dtype.kind not in "fiu":
        raise TypeError(f"'{variable.name}' of type {variable.dtype}")
    return (
        variable.stack(sample=("chain", "draw"))
        .transpose("sample", "cluster")
        .to_numpy()
    )
