"""Posterior samples as netCDF in the ArviZ layout, written piece by piece so that memory stays bounded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from cinn_clusters import schema
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file
from cinn_clusters.pipeline.run import versions

DIMENSIONS = ("chain", "draw", "cluster")
OBJECTS_A_CHUNK = 64


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

    def put(self, objects: slice, samples: np.ndarray) -> None:
        """Write the draws (S, n, D) of some objects."""
        for d, name in enumerate(self.targets):
            self.group.variables[name][0, :, objects] = samples[:, :, d]


@contextmanager
def sample_writer(
    path: Path,
    targets: Sequence[str],
    num_draws: int,
    coordinates: pd.DataFrame,
    attributes: Mapping[str, str | int],
    *,
    overwrite: bool = False,
) -> Iterator[SampleWriter]:
    """Open a file for the posterior of some objects; it appears when the block ends well.

    Args:
        path: The netCDF file: group ``posterior``, one float32 variable a target with dims (chain, draw, cluster).
        targets: Columns of theta.
        num_draws: S.
        coordinates: Key columns along ``cluster``, one row an object; its index is the row in the catalogue.
        attributes: Global attributes.
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
            _lay_out(group, targets, num_draws, coordinates)
            group.attrs.update(attributes)
            yield SampleWriter(group, tuple(targets))
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


def _lay_out(group: Any, targets: Sequence[str], num_draws: int, coordinates: pd.DataFrame) -> None:
    num_objects = len(coordinates)
    group.dimensions = {"chain": 1, "draw": num_draws, "cluster": num_objects}
    for name, values in zip(DIMENSIONS, (np.arange(1), np.arange(num_draws), coordinates.index), strict=True):
        group.create_variable(name, (name,), data=np.asarray(values))
    for key, column in coordinates.items():
        values = column.to_numpy()
        is_number = np.issubdtype(values.dtype, np.number)
        group.create_variable(
            str(key), ("cluster",), data=values if is_number else column.fillna("").astype(str).to_numpy(object)
        )
    for name in targets:
        chunks = (1, num_draws, min(OBJECTS_A_CHUNK, num_objects))
        variable = group.create_variable(name, DIMENSIONS, "f4", chunks=chunks)
        known = schema.column(name)
        variable.attrs["units"] = known.unit or "1"
        variable.attrs["long_name"] = known.meaning or name
        variable.attrs["coordinates"] = " ".join(map(str, coordinates.columns))


def read_samples(path: str | Path, targets: Sequence[str]) -> np.ndarray:
    """Read draws back, (S, N, D).

    Raises:
        BundleError: If the file is missing, damaged or lacks a target.
    """
    try:
        with xr.open_dataset(path, group="posterior", engine="h5netcdf") as dataset:
            stacked = [dataset[name].stack(sample=("chain", "draw")).transpose("sample", "cluster") for name in targets]
            return np.stack([values.to_numpy() for values in stacked], -1)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(str(path), f"posterior samples of {', '.join(targets)}", reason) from error
