"""A published catalogue in the columns of the simulation: values, errors, and what was done."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cinn_clusters import schema
from cinn_clusters.data.error_models.two_piece import mean_shift, standard_deviation


@dataclass(frozen=True, eq=False)
class ConvertedLimits:
    """Limits of one column: -1 upper, 1 lower, 0 none, their values and scatters, (N,) each."""

    side: np.ndarray
    value: np.ndarray
    scatter: np.ndarray


@dataclass(frozen=True, eq=False)
class ConvertedRedshifts:
    """Redshifts (N,), errors below and above (2, N), and slopes of columns with it, (N,) each."""

    redshift: np.ndarray
    errors: np.ndarray
    slopes: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ConvertedCatalogue:
    """A catalogue in the columns of the simulation.

    Args:
        names: Names of the objects, (N,).
        values: Values by column of the simulation, (N,) each; NaN where missing.
        two_sided: Standard errors below and above, (2, N) each, in dex for logarithms and positive
            quantities; zero where none are stated.
        log: What was converted, a line each.
        reasons: What is wrong with a row: a value that was not used, or a contradiction.
        choices: Physical choices that hold for all rows, by attribute of the outputs.
        remarks: What a reader should know of a row whose values were all used.
        stated_errors: Deviations by quantity, without the scatters of conversions, (N,) each.
        limits: Values that are only bounded, by column.
        correlations: Correlation coefficients of the errors of two columns, (N,) each.
        redshifts: Redshifts that have errors, or None.
    """

    names: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    two_sided: dict[str, np.ndarray] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    reasons: defaultdict[int, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    choices: dict[str, str | float] = field(default_factory=dict)
    remarks: defaultdict[int, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    stated_errors: dict[str, np.ndarray] = field(default_factory=dict)
    limits: dict[str, ConvertedLimits] = field(default_factory=dict)
    correlations: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    redshifts: ConvertedRedshifts | None = None

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """Standard deviations of the true values, (N,) each, which a network is conditioned on."""
        return {
            name: standard_deviation(errors) for name, errors in self.two_sided.items()
        }

    def mean(self, name: str) -> np.ndarray:
        """Means of the true values of a column, (N,): the values, where both errors are alike."""
        value = self.values[name]
        if name not in self.two_sided:
            return value
        shift = mean_shift(self.two_sided[name])
        if schema.column(name).is_log:  # whose error is in dex
            return np.asarray(value * 10.0**shift)
        return np.asarray(value + shift)

    @property
    def has_time(self) -> np.ndarray:
        """Whether the lookback time of each row is known, (N,); no row can be answered without."""
        return np.asarray(np.isfinite(self._column(schema.LOOKBACK)))

    def inputs(self, columns: tuple[str, ...]) -> np.ndarray:
        """Inputs of a model, (N, len(columns)): means, and deviations under ``sigma_<name>``."""
        return np.stack([self._column(name) for name in columns], 1)

    def errors_below_and_above(self, columns: tuple[str, ...]) -> np.ndarray:
        """Errors of some columns to both sides, (2, N, len(columns)); zero where none are stated."""
        exact = np.zeros((2, len(self.names)))
        return np.stack([self.two_sided.get(name, exact) for name in columns], 2)

    def note(self, rows: np.ndarray, reason: str) -> None:
        """Note what is wrong with some rows, (N,) bool."""
        for row in np.flatnonzero(rows):
            self.reasons[int(row)].append(reason)

    def remark(self, rows: np.ndarray, text: str) -> None:
        """Say something of some rows, (N,) bool, that is nothing wrong."""
        for row in np.flatnonzero(rows):
            self.remarks[int(row)].append(text)

    def note_values(self, rows: np.ndarray, reason: str, values: Any) -> None:
        """Note what is wrong with some rows, (N,) bool, with the value of each."""
        for row in np.flatnonzero(rows):
            value = str(values[row])[:40]
            self.reasons[int(row)].append(f"{reason} ({value!r})")

    def log_shifts(self) -> None:
        """Say where the value that a network is told is not that of the catalogue."""
        for name, errors in self.two_sided.items():
            shift = mean_shift(errors)
            rows = shift != 0.0
            if rows.any():
                reason = f"errors of {int(rows.sum())} rows differ on both sides"
                median = f"{np.median(shift[rows]):+.3f} dex in the median"
                remedy = "mean and deviation of the two-piece normal are told"
                self.log.append(f"{name}: {reason}: {remedy}, {median}")

    def _column(self, name: str) -> np.ndarray:
        num_rows = len(self.names)
        if name.startswith(schema.ERROR_PREFIX):
            exact = np.zeros(num_rows)
            observable = name.removeprefix(schema.ERROR_PREFIX)
            return self.errors.get(observable, exact)
        if name not in self.values:
            return np.full(num_rows, np.nan)
        return self.mean(name)
