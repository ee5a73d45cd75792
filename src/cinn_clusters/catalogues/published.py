"""A published catalogue converted with all that its mapping says of errors.

Values and one error each go through ``convert``; limits, correlations and errors of redshifts stand
beside them, for realisations of the true observables.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.table import Table

from cinn_clusters.catalogues.convert import SIMULATED_COLUMNS, convert
from cinn_clusters.catalogues.converted import (
    ConvertedCatalogue,
    ConvertedLimits,
    ConvertedRedshifts,
)
from cinn_clusters.catalogues.errors.correlation import (
    coefficient_matrices,
    coefficients,
    is_possible,
)
from cinn_clusters.catalogues.errors.limits import (
    LOWER,
    UPPER,
    detections,
    only_limits,
    read_limits,
    without_limits,
)
from cinn_clusters.catalogues.errors.redshift_errors import (
    redshift_errors,
    slopes_with_redshift,
)
from cinn_clusters.catalogues.mapping import Mapping

_REALISED = "answered by realisations"


def convert_published(table: Table, mapping: Mapping) -> ConvertedCatalogue:
    """Convert a catalogue, with its limits, correlations and errors of redshifts.

    Raises:
        DataError: If a mapped column is missing, its unit cannot be converted, or a flag is none.
    """
    plain, limits = read_limits(table, mapping)
    mapping = without_limits(mapping)
    detected = detections(plain, mapping, limits)
    converted = convert(detected, mapping)
    if limits:
        _add_limits(converted, plain, mapping, limits)
    for correlation in mapping.correlation:
        _add_correlation(
            converted, correlation.quantities, coefficients(correlation, table)
        )
    if converted.correlations:
        _demand_possible(converted)
    return _with_redshifts(converted, detected, mapping)


def _add_limits(
    converted: ConvertedCatalogue,
    table: Table,
    mapping: Mapping,
    limits: dict[str, np.ndarray],
) -> None:
    """Add limits in the columns of the simulation; a detection of another column stands before."""
    bounds = convert(*only_limits(table, mapping, limits))
    for name, stated in limits.items():
        column = SIMULATED_COLUMNS[name]
        value = bounds.values[column]
        is_detected = np.isfinite(converted.values[column])
        is_usable = np.isfinite(value) & ~is_detected
        side = np.where(is_usable, stated, 0)
        is_limit = side != 0
        scatter = np.where(is_limit, bounds.errors[column], 0.0)
        converted.limits[column] = ConvertedLimits(side, value, scatter)
        is_unused = (stated != 0) & ~is_limit & ~is_detected
        converted.note(is_unused, f"{name}: a limit that cannot be used")
        _remark_limits(converted, name, side)


def _remark_limits(converted: ConvertedCatalogue, name: str, side: np.ndarray) -> None:
    """Say of each row, and in the log, which values of a quantity are limits."""
    for direction, kind in ((UPPER, "an upper"), (LOWER, "a lower")):
        rows = side == direction
        converted.remark(rows, f"{name}: {kind} limit, {_REALISED}")
    num_limits = int(np.count_nonzero(side))
    count = f"{num_limits} of {len(side)} rows"
    converted.log.append(f"{name}: limits in {count}, {_REALISED}")


def _add_correlation(
    converted: ConvertedCatalogue, names: tuple[str, str], coefficient: np.ndarray
) -> None:
    """Add the correlation of the whole errors of two columns: their scatters are independent."""
    wrong = np.isnan(coefficient)
    subject = " and ".join(names)
    reason = f"correlation of {subject}: expected a number in [-1, 1]"
    converted.note(wrong, f"{reason}: taken as 0")
    product = np.nan_to_num(coefficient)
    for name in names:
        column = SIMULATED_COLUMNS[name]
        error = converted.errors[column]
        has_error = error > 0.0
        divisor = np.where(has_error, error, 1.0)
        stated_share = converted.stated_errors[name] / divisor
        share = np.minimum(stated_share, 1.0)
        product = product * np.where(has_error, share, 0.0)
    first, second = (SIMULATED_COLUMNS[name] for name in names)
    converted.correlations[first, second] = product
    rows = product != 0.0
    converted.remark(rows, f"errors of {subject} are correlated, {_REALISED}")
    median = np.median(product[rows]) if rows.any() else 0.0
    of_whole = f"coefficient {median:.2f} of errors with scatter, in the median"
    converted.log.append(f"correlation: {subject}: {of_whole}")


def _demand_possible(converted: ConvertedCatalogue) -> None:
    """Take rows whose coefficients no distribution has as independent, and say so."""
    pairs = converted.correlations
    columns = sorted({column for pair in pairs for column in pair})
    num_rows = len(converted.names)
    possible = is_possible(coefficient_matrices(pairs, columns, num_rows))
    for pair, coefficient in pairs.items():
        pairs[pair] = np.where(possible, coefficient, 0.0)
    reason = "correlations: no distribution has these coefficients: taken as 0"
    converted.note(~possible, reason)


def _with_redshifts(
    converted: ConvertedCatalogue, table: Table, mapping: Mapping
) -> ConvertedCatalogue:
    """The catalogue with errors of its redshifts, where any are stated."""
    stated = redshift_errors(table, mapping, converted)
    if stated is None:
        return converted
    redshift, errors = stated
    slopes = slopes_with_redshift(table, mapping, redshift, errors)
    rows = np.asarray(errors.any(0))
    converted.remark(rows, f"the redshift has an error, {_REALISED}")
    count = f"{int(rows.sum())} of {len(rows)} rows"
    followed = "conversions follow, what the catalogue derived itself does not"
    converted.log.append(f"time: redshifts of {count} have errors: {followed}")
    return replace(converted, redshifts=ConvertedRedshifts(redshift, errors, slopes))
