"""What a posterior is asked: inputs of some objects, and how many samples to draw of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError

OBJECT = "object"
"""Column that names an observed cluster."""


@dataclass(frozen=True)
class Sampling:
    """How posterior samples are drawn.

    Args:
        num_samples: S, posterior samples of each object.
        seed: Samples of an object depend on this seed and on its place in the file only.
        device: ``auto`` (CUDA when present) or any torch device.

    Examples:
        >>> Sampling(200).seed
        0
    """

    num_samples: int = 1000
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse a number of samples that is no count."""
        if self.num_samples < 1:
            raise DataError("num_samples", "a positive number", str(self.num_samples))


@dataclass(frozen=True, eq=False)
class Query:
    """Objects that a posterior is asked about.

    Args:
        inputs: Values, then measurement errors, as ``Posterior.inputs`` names them, shape (N, L);
            NaN where a value is missing.
        places: Row of each object in its file, shape (N,); it decides the random stream of the
            object.
        keys: What identifies each object (HaloID, Snapshot, HaloOrigID, object, Projection), N
            rows.
    """

    inputs: np.ndarray
    places: np.ndarray
    keys: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def from_inputs(cls, inputs: np.ndarray) -> Query:
        """Ask about objects that stand in the order of their inputs, without keys."""
        inputs = np.asarray(inputs, dtype=float)
        return cls(inputs, np.arange(len(inputs)))

    def __len__(self) -> int:
        """Number of objects, N."""
        return len(self.inputs)

    def __repr__(self) -> str:
        """Show the shape of the inputs, not their values."""
        return f"Query({np.shape(self.inputs)}, keys={list(self.keys)})"

    def rows(self, index: np.ndarray | slice) -> Query:
        """Return some of the objects."""
        keys = self.keys.iloc[index] if len(self.keys) else self.keys
        return Query(self.inputs[index], self.places[index], keys)

    def batches(self, num_objects: int) -> Iterator[slice]:
        """Yield slices of at most ``num_objects`` objects, in order."""
        for begin in range(0, len(self), num_objects):
            yield slice(begin, min(begin + num_objects, len(self)))


def as_query(query: Query | np.ndarray) -> Query:
    """Return a query as it is, and make one of an array of inputs (N, L)."""
    if isinstance(query, Query):
        return query
    return Query.from_inputs(query)
