"""What a posterior is asked: inputs of some objects, and how many samples to draw of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from cinn_clusters.errors import DataError
from cinn_clusters.rng import number_of
from cinn_clusters.schema import PROJECTION

OBJECT = "object"
"""Column that names an observed cluster."""
Kernels: TypeAlias = Literal["auto", "compiled", "reference"]
NUM_DRAWS_COMPILED = 500_000
"""Draws of a job from which compiled kernels pay, although compiling them takes some seconds."""


@dataclass(frozen=True)
class Sampling:
    """How posterior samples are drawn.

    Args:
        num_samples: S, posterior samples of each object.
        seed: Samples of an object depend on this seed, its inputs and its name only.
        device: ``auto`` (CUDA when present) or any torch device.
        kernels: ``compiled``, ``reference`` (PyTorch), which agree to 1e-4, or ``auto``: compiled
            kernels for jobs of ``NUM_DRAWS_COMPILED`` draws or more, objects times samples.

    Examples:
        >>> Sampling(200).seed
        0
        >>> Sampling(200).for_job(5000).kernels
        'compiled'
    """

    num_samples: int = 1000
    seed: int = 0
    device: str = "auto"
    kernels: Kernels = "auto"

    def __post_init__(self) -> None:
        """Refuse a number of samples that is no count, and a seed that is none."""
        counts = {"num_samples": (self.num_samples, 1), "seed": (self.seed, 0)}
        for name, (value, least) in counts.items():
            if not isinstance(value, (int, np.integer)) or value < least:
                expected = f"a whole number of {least} or more"
                raise DataError(name, expected, repr(value))
        if self.kernels not in get_args(Kernels):
            expected = " or ".join(get_args(Kernels))
            raise DataError("kernels", expected, repr(self.kernels))

    def for_job(self, num_objects: int) -> Sampling:
        """Choose the kernels by the size of a whole job, whatever batches it is done in."""
        if self.kernels != "auto":
            return self
        kernels: Kernels = "reference"
        if num_objects * self.num_samples >= NUM_DRAWS_COMPILED:
            kernels = "compiled"
        return replace(self, kernels=kernels)


@dataclass(frozen=True, eq=False)
class Query:
    """Objects that a posterior is asked about.

    Args:
        inputs: Values, then measurement errors, as ``Posterior.inputs`` names them, shape (N, L);
            NaN where a value is missing.
        places: Row of each object in its file, shape (N,).
        keys: What identifies each object (HaloID, Snapshot, HaloOrigID, object, Projection), N
            rows.
        is_named: Whether keys name the objects in any file; else they number rows of this one.
    """

    inputs: np.ndarray
    places: np.ndarray
    keys: pd.DataFrame = field(default_factory=pd.DataFrame)
    is_named: bool = True

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

    @property
    def streams(self) -> list[int]:
        """Random stream of each object, N numbers, by its inputs and its name wherever it stands.

        A projection is one view of an object, which its inputs tell from the others. Inputs count
        in single precision, so that a file of other digits asks for the same samples.

        Examples:
            >>> query = Query.from_inputs(np.array([[14.5, 0.1], [14.2, np.nan]]))
            >>> query.streams[1] == query.rows(np.array([1, 0])).streams[0]
            True
        """
        with np.errstate(over="ignore"):
            single = self.inputs.astype(np.float32) + np.float32(0.0)  # -0 is 0
        single[np.isnan(single)] = np.nan  # one of the many NaN
        contents = [row.tobytes() for row in single]
        if not (self.is_named and len(self.keys)):
            return [number_of(content) for content in contents]
        of_object = self.keys.drop(columns=PROJECTION, errors="ignore")
        names = map("\n".join, of_object.astype(str).to_numpy())
        return [
            number_of(content + name.encode(errors="surrogateescape"))
            for content, name in zip(contents, names, strict=True)
        ]

    def rows(self, index: np.ndarray | slice) -> Query:
        """Return some of the objects."""
        keys = self.keys.iloc[index] if len(self.keys) else self.keys
        return replace(
            self, inputs=self.inputs[index], places=self.places[index], keys=keys
        )

    def batches(self, num_objects: int) -> Iterator[slice]:
        """Yield slices of at most ``num_objects`` objects, in order."""
        for begin in range(0, len(self), num_objects):
            yield slice(begin, min(begin + num_objects, len(self)))
