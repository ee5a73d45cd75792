"""Errors of a size, or on a side, that only another unit or another meaning explains."""

from __future__ import annotations

import numpy as np

from cinn_clusters.catalogues.errors.measured import (
    Measured,
    kind_of_error,
    share_of_value,
)
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.errors import DataError

DEX = "dex"
_LARGEST = 2.0
"""An error above this share of its value, or above as many dex, in most rows is in another unit."""
_SMALLEST = 1e-4
"""And so is one below this share of it."""
_SHARE_OF_BOUND = 0.4
"""Lower errors above this share of their values, with upper ones above all of it, are bounds."""


def demand_order(measured: Measured, low: str, high: str) -> None:
    """Refuse bounds whose lower one is above the upper one in most rows."""
    lower, upper = (numbers(measured.table, name)[0] for name in (low, high))
    is_swapped = lower > upper
    num_swapped, num_both = int(is_swapped.sum()), int(np.isfinite(lower - upper).sum())
    if 2 * num_swapped > num_both:
        subject = f"bounds of '{measured.quantity.column}'"
        got = f"{low} above {high} in {num_swapped} of {num_both} rows"
        hint = f"swap them in the mapping: low = '{high}', high = '{low}'"
        raise DataError(subject, "low below high", got, "", hint)


def demand_no_bounds(measured: Measured) -> None:
    """Refuse errors that in most rows lie on both sides of their values, as bounds do."""
    low, high = measured.quantity.error_low, measured.quantity.error_high
    if not (low and high):
        return
    shares = []
    for name in (low, high):
        kind, factor = kind_of_error(measured, name)
        if kind != "linear":
            return
        stated = np.abs(numbers(measured.table, name)[0])
        shares.append(share_of_value(measured, stated * factor, kind))
    below, above = shares
    is_around = (below > _SHARE_OF_BOUND) & (below <= 1.0) & (above >= 1.0)
    num_around, num_both = int(is_around.sum()), int(np.isfinite(below + above).sum())
    if 2 * num_around > num_both:
        column = measured.quantity.column
        got = f"bounds around {column} in {num_around} of {num_both} rows"
        hint = "map them as low and high"
        raise DataError(f"columns {low}, {high}", f"errors of {column}", got, "", hint)


def demand_size(measured: Measured, name: str, error: np.ndarray, unit: str) -> None:
    """Refuse errors, as shares of their values or in dex, whose median is that of another unit."""
    is_stated = measured.has_value & (error > 0.0) & np.isfinite(error)
    if not (measured.remedy and is_stated.any()):
        return
    median = float(np.median(error[is_stated]))
    if not _SMALLEST <= median <= _LARGEST:
        subject = f"errors '{name}' of '{measured.quantity.column}'"
        expected = f"a median between {_SMALLEST:g} and {_LARGEST:g} {unit}"
        raise DataError(subject, expected, f"{median:.3g}", "", measured.remedy)
