"""Rows of a simulation that are most like an object in what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.catalogues.by_name import read_by_name, with_time
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.reading.keys import read_names
from cinn_clusters.data.reading.tables import demand_columns
from cinn_clusters.errors import DataError
from cinn_clusters.ood.support import nearest_analogues
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.schema import is_embedding

_NUM_ANALOGUES = 5


@dataclass(frozen=True, eq=False)
class Analogues:
    """Complete rows of a table of the simulation.

    Args:
        transforms: Of the model; distances are taken in its scalars.
        names: ``snapshot:halo`` of each row, or its number, (M,).
        inputs: Inputs of each row, (M, L), without embeddings.
    """

    transforms: MeasurementTransforms
    names: np.ndarray
    inputs: np.ndarray

    def nearest(self, inputs: np.ndarray) -> list[str]:
        """Names of the most similar rows of each object, (N, L), nearest first."""
        names = self.transforms.inputs
        is_vector = np.array([is_embedding(name) for name in names])
        scalars = np.where(is_vector, np.nan, inputs)
        rows = nearest_analogues(self.transforms, scalars, self.inputs, _NUM_ANALOGUES)
        return [" ".join(nearest) for nearest in self.names[rows]]


def read_analogues(path: str | Path, posterior: Posterior) -> Analogues:
    """Read the rows of a simulated table that have all scalars of a model.

    Raises:
        DataError: If the model takes complete rows only, or the table lacks a column or has too few
            complete rows.
    """
    transforms = posterior.transforms
    if not isinstance(transforms, MeasurementTransforms):
        expected = "a model that accepts missing observables"
        raise DataError("analogues", expected, "another", "", "leave out --analogues")
    keys = transforms.schema.keys.row_keys
    scalars = list(transforms.scalars)
    stored = read_table(path, text=keys)
    table = with_time(stored, transforms.schema)
    header = pd.DataFrame(columns=table.colnames)
    demand_columns(header, [*keys, *scalars], str(path))
    converted = read_by_name(table, scalars, transforms.schema)
    values = converted.inputs(transforms.scalars)
    is_complete = np.isfinite(values).all(1)
    rows = np.flatnonzero(is_complete)
    if len(rows) < _NUM_ANALOGUES:
        expected = f"at least {_NUM_ANALOGUES} complete rows"
        raise DataError(path, expected, str(len(rows)))
    columns = [read_names(table[name])[rows] for name in reversed(keys)] or [rows]
    names = [":".join(map(str, key)) for key in zip(*columns, strict=True)]
    inputs = converted.inputs(transforms.inputs)
    return Analogues(transforms, np.array(names), inputs[rows])
