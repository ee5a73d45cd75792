"""What figures 1 to 4 draw: posterior samples of objects with ground truth and point estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cinn_clusters.schema import Column

TRUTH_LABEL = "ground truth"
_PLAIN = 1e-4, 1e7
"""Sizes of values that are drawn as they are."""


def _power_of_ten(values: np.ndarray) -> int:
    """Exponent of the unit that values (N,) are drawn in; 0 where they are neither large nor small."""
    size = float(np.quantile(np.abs(values), 0.9))
    if size == 0.0 or _PLAIN[0] <= size < _PLAIN[1]:
        return 0
    return math.floor(math.log10(size))


def _in_unit(column: Column, power: int) -> Column:
    """The column with its values in units of a power of ten."""
    if power == 0:
        return column
    unit = f"1e{power} {column.unit}".strip()
    lower, upper = (end / 10.0**power for end in column.bounds)
    return replace(column, unit=unit, bounds=(lower, upper))


@dataclass(frozen=True, eq=False)
class Inference:
    """Posteriors of N objects with known histories.

    Args:
        samples: Posterior samples in catalogue units, (S, N, D).
        truth: Ground-truth parameters, (N, D).
        estimate: Point estimate of each object, (N, D).
        estimate_name: Name of the estimate in legends, such as ``posterior median``.
        targets: Columns of theta, D of them.
    """

    samples: np.ndarray
    truth: np.ndarray
    estimate: np.ndarray
    estimate_name: str
    targets: tuple[Column, ...]

    def in_plain_units(self) -> Inference:
        """Return the same in units of a power of ten, where values are very large or small."""
        powers = [_power_of_ten(values) for values in self.truth.T]
        columns = zip(self.targets, powers, strict=True)
        units = np.array([10.0**power for power in powers])
        return Inference(
            self.samples / units,
            self.truth / units,
            self.estimate / units,
            self.estimate_name,
            tuple(_in_unit(column, power) for column, power in columns),
        )

    def thinned(self, num_objects: int) -> Inference:
        """Return at most so many of the objects, evenly through their list.

        More marks than a few hundred hide each other, and make files of megabytes.
        """
        num_all = len(self.truth)
        num_kept = min(num_all, num_objects)
        kept = np.linspace(0, num_all, num_kept, endpoint=False)
        return self.rows(kept.astype(int))

    @property
    def labels(self) -> list[str]:
        """Axis labels of the targets with their units."""
        return [target.label for target in self.targets]

    def rows(self, rows: np.ndarray) -> Inference:
        """Return the posteriors of some of the objects."""
        samples, truth, estimate = (
            self.samples[:, rows],
            self.truth[rows],
            self.estimate[rows],
        )
        return Inference(samples, truth, estimate, self.estimate_name, self.targets)
