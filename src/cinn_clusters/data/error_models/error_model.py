"""What a catalogue says of its errors beyond one standard deviation a value.

Such rows are answered by realisations of their true observables (posterior/realisations.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class MeasuredLimits:
    """Values that are only bounded, M rows and U observables.

    Args:
        side: -1 for an upper limit, 1 for a lower one, 0 for none, (M, U).
        value: The limit, in the unit of its observable, (M, U).
        scatter: Of the observable about what was limited, as errors are stated, (M, U).
    """

    side: np.ndarray
    value: np.ndarray
    scatter: np.ndarray

    def at(self, places: np.ndarray) -> MeasuredLimits:
        """Those of some rows."""
        return MeasuredLimits(
            self.side[places], self.value[places], self.scatter[places]
        )


@dataclass(frozen=True, eq=False)
class RedshiftErrors:
    """Redshifts with errors, M rows.

    Args:
        redshift: Measured redshift, (M,).
        errors: Deviations below and above it, (2, M); zero where it is exact.
        slopes: How much a converted value changes with the redshift, in the unit of its error, (M,
            U).
    """

    redshift: np.ndarray
    errors: np.ndarray
    slopes: np.ndarray

    def at(self, places: np.ndarray) -> RedshiftErrors:
        """Those of some rows."""
        errors = self.errors[:, places]
        return RedshiftErrors(self.redshift[places], errors, self.slopes[places])


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Errors of M rows of a file and U observables.

    Args:
        two_sided: Errors below and above the values, (2, M, U), or None.
        correlation: Correlation coefficients of the errors, (M, U, U), or None.
        limits: Values that are only bounded, or None.
        redshift: Errors of the redshifts, or None.
    """

    two_sided: np.ndarray | None = None
    correlation: np.ndarray | None = None
    limits: MeasuredLimits | None = None
    redshift: RedshiftErrors | None = None

    def at(self, places: np.ndarray) -> ErrorModel:
        """That of some rows."""
        two_sided, correlation = self.two_sided, self.correlation
        if two_sided is not None:
            two_sided = two_sided[:, places]
        if correlation is not None:
            correlation = correlation[places]
        limits = self.limits and self.limits.at(places)
        redshift = self.redshift and self.redshift.at(places)
        return ErrorModel(two_sided, correlation, limits, redshift)

    def is_correlated(self, num_rows: int) -> np.ndarray:
        """Whether errors of a row are correlated, (M,)."""
        if self.correlation is None:
            return np.zeros(num_rows, dtype=bool)
        off_diagonal = self.correlation - np.eye(self.correlation.shape[-1])
        return np.asarray(off_diagonal.any((1, 2)))

    def is_bounded(self, num_rows: int) -> np.ndarray:
        """Whether a value of a row is only bounded, or its redshift has an error, (M,)."""
        rows = np.zeros(num_rows, dtype=bool)
        if self.limits is not None:
            rows |= self.limits.side.any(1)
        if self.redshift is not None:
            rows |= self.redshift.errors.any(0)
        return rows

    def is_skewed(self, num_rows: int) -> np.ndarray:
        """Whether only the two sides of an error of a row differ, (M,)."""
        if self.two_sided is None:
            return np.zeros(num_rows, dtype=bool)
        below, above = self.two_sided
        differs = (below != above).any(1)
        return np.asarray(differs & ~self.needs_realisations(num_rows))

    def needs_realisations(self, num_rows: int) -> np.ndarray:
        """Whether one deviation a value does not say what a row states, (M,)."""
        rows: np.ndarray = self.is_correlated(num_rows) | self.is_bounded(num_rows)
        return rows
