"""Posterior samples as netCDF in the ArviZ layout, written piece by piece so that memory stays
bounded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file
from cinn_clusters.storage.run import versions

DIMENSIONS = ("chain", "draw", "cluster")
OBJECTS_A_CHUNK = 64
NUM_DENSITIES = 200
"""Draws an object whose density is written, too: enough for ranks of joint HPD regions."""


def signed(seed: int) -> dict[str, str | int]:
    """Return the attributes that tell who made a file, and from which seed."""
    return {
        "inference_library": "cinn-clusters",
        "inference_library_version": versions()["cinn-clusters"],
        "seed": seed,
    }


@dataclass(frozen=True)
class SampleWriter:
    """Open netCDF group to put draws into."""

    group: Any
    targets: tuple[str, ...]
    statistics: Any = None

    def put(self, objects: slice, samples: np.ndarray) -> None:
        """Write the draws (S, n, D) of some objects."""
        for d, name in enumerate(self.targets):
            self.group.variables[name][0, :, objects] = samples[:, :, d]

    def put_log_prob(
        self, objects: slice, log_prob: np.ndarray, log_prob_truth: np.ndarray
    ) -> None:
        """Write the log-densities of the first draws (S', n) and of the truths (n,) of some
        objects.
        """
        self.statistics.variables["lp"][0, : len(log_prob), objects] = log_prob
        self.statistics.variables["lp_truth"][objects] = log_prob_truth


@contextmanager
def sample_writer(
    path: Path,
    targets: Sequence[str],
    num_draws: int,
    coordinates: pd.DataFrame,
    attributes: Mapping[str, str | float],
    *,
    has_densities: bool = False,
    overwrite: bool = False,
) -> Iterator[SampleWriter]:
    """Open a file for the posterior of some objects; it appears when the block ends well.

    Args:
        path: The netCDF file: group ``posterior``, one float32 variable a target with dims (chain,
            draw, cluster).
        targets: Columns of theta.
        num_draws: S.
        coordinates: Key columns along ``cluster``, one row an object; its index is the row in the
            catalogue.
        attributes: Global attributes.
        has_densities: Make the group ``sample_stats`` for log-densities of draws and truths, too.
        overwrite: Replace a file that stands there.

    Yields:
        Where to put draws.

    Raises:
        OutputError: If the file is taken or cannot be written whole.
    """
    with atomic_file(path, overwrite=overwrite) as scratch, _EnduringFile(scratch, "w+") as stream:
        with h5netcdf.File(stream, "w") as file:
            file.attrs.update(attributes)
            group = file.create_group("posterior")
            _lay_out(group, num_draws, coordinates)
            for name in targets:
                _add_target(group, name, num_draws, coordinates)
            group.attrs.update(attributes)
            statistics = file.create_group("sample_stats") if has_densities else None
            if statistics is not None:
                _lay_out(statistics, num_draws, coordinates)
                _add_densities(statistics, num_draws, len(coordinates))
            yield SampleWriter(group, tuple(targets), statistics)
        stream.demand_written()


class _EnduringFile(io.FileIO):
    """A file that keeps the first failure to write for later.

    HDF5 crashes the process when a flush fails while it closes, so it is told that all went well.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or remember why not."""
        size = memoryview(data).nbytes
        if self.failure is None:
            try:
                written = super().write(data)
                if written != size:
                    super().write(memoryview(data)[written:])
            except OSError as error:
                self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def demand_written(self) -> None:
        """Raise what was remembered."""
        if self.failure is not None:
            raise self.failure


def _lay_out(group: Any, num_draws: int, coordinates: pd.DataFrame) -> None:
    num_objects = len(coordinates)
    group.dimensions = {"chain": 1, "draw": num_draws, "cluster": num_objects}
    for name, values in zip(
        DIMENSIONS, (np.arange(1), np.arange(num_draws), coordinates.index), strict=True
    ):
        group.create_variable(name, (name,), data=np.asarray(values))
    for key, column in coordinates.items():
        values = column.to_numpy()
        is_number = np.issubdtype(values.dtype, np.number)
        if is_number:
            group.create_variable(str(key), ("cluster",), data=values)
        else:
            text = column.fillna("").astype(str).to_numpy(object)
            group.create_variable(str(key), ("cluster",), h5py.string_dtype())[:] = text


def _add_target(group: Any, name: str, num_draws: int, coordinates: pd.DataFrame) -> None:
    chunks = (1, num_draws, min(OBJECTS_A_CHUNK, len(coordinates)))
    variable = group.create_variable(name, DIMENSIONS, "f4", chunks=chunks)
    known = schema.column(name)
    variable.attrs["units"] = known.unit or "1"
    variable.attrs["long_name"] = known.meaning or name
    variable.attrs["coordinates"] = " ".join(map(str, coordinates.columns))


def _add_densities(group: Any, num_draws: int, num_objects: int) -> None:
    chunks = (
        1,
        min(NUM_DENSITIES, num_draws),
        min(OBJECTS_A_CHUNK, num_objects),
    )  # what is not written takes no room
    draws = group.create_variable("lp", DIMENSIONS, "f4", chunks=chunks, fillvalue=np.nan)
    draws.attrs["long_name"] = (
        "log-density of the draw, physical units; NaN where it was not evaluated"
    )
    truth = group.create_variable("lp_truth", ("cluster",), "f8", fillvalue=np.nan)
    truth.attrs["long_name"] = (
        "log-density of the recorded history, physical units, collision time dequantised"
    )


@dataclass(frozen=True)
class Layout:
    """What a posterior file holds: its variables with dims chain, draw and cluster, and the keys
    of its objects.
    """

    variables: tuple[str, ...]
    keys: pd.DataFrame


def read_layout(path: str | Path) -> Layout:
    """Read which samples a file holds, of which objects.

    Raises:
        BundleError: If the file is missing, damaged, not in ArviZ' layout, or does not name its
            objects, each once.
    """
    keys = list(schema.KEYS)
    try:
        with xr.open_dataset(path, group="posterior", engine="h5netcdf") as dataset:
            names = tuple(
                str(name) for name, data in dataset.items() if set(data.dims) == set(DIMENSIONS)
            )
            sides = [schema.PROJECTION] if schema.PROJECTION in dataset.variables else []
            numbers = pd.DataFrame(
                {key: dataset[key].to_numpy().astype("int64") for key in [*keys, *sides]}
            )
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        expected = f"a netCDF file with a group posterior, dims {', '.join(DIMENSIONS)}, keys {' and '.join(keys)}"
        raise BundleError(str(path), expected, reason) from error
    if not names:
        raise BundleError(str(path), f"variables with dims {', '.join(DIMENSIONS)}", "none")
    if (repeated := numbers.duplicated()).any():
        first = ", ".join(f"{key} {value}" for key, value in numbers[repeated].iloc[0].items())
        raise BundleError(
            str(path), "each object once", f"{int(repeated.sum())} repeated", f"first {first}"
        )
    return Layout(names, numbers)


def read_samples(path: str | Path, targets: Sequence[str]) -> np.ndarray:
    """Read draws back, (S, N, D).

    Raises:
        BundleError: If the file is missing, damaged or lacks a target.
    """
    try:
        with xr.open_dataset(path, group="posterior", engine="h5netcdf") as dataset:
            stacked = [
                dataset[name].stack(sample=("chain", "draw")).transpose("sample", "cluster")
                for name in targets
            ]
            return np.stack([values.to_numpy() for values in stacked], -1)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            str(path), f"posterior samples of {', '.join(targets)}", reason
        ) from error


def read_log_prob(path: str | Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Read log-densities of draws (S, N), NaN where not evaluated, and of truths (N,); None if the file has none.

    Raises:
        BundleError: If the file is missing or damaged, or the densities do not fit ArviZ' layout.
    """
    try:
        with h5netcdf.File(path, "r") as file:
            if "sample_stats" not in file.groups or not {"lp", "lp_truth"} <= set(
                file["sample_stats"].variables
            ):
                return None
        with xr.open_dataset(path, group="sample_stats", engine="h5netcdf") as dataset:
            draws = dataset["lp"].stack(sample=("chain", "draw")).transpose("sample", "cluster")
            return draws.to_numpy().astype(float), dataset["lp_truth"].transpose(
                "cluster"
            ).to_numpy().astype(float)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(str(path), "log-densities of draws and truths", reason) from error
