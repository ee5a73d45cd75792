"""What figures 1 to 4 draw: posterior samples of objects with ground truth and point estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.schema import Column

TRUTH_LABEL = "ground truth"


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
