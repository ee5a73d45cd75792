"""From the quantities of a published catalogue to the columns of the simulation.

Units, definitions, apertures and the Hubble constant are converted one quantity at a time; what was
done stands in a log of conversions, and what is wrong with a row in its reasons. Nothing is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.blanked import blank_mapped
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.errors.measured import Measured
from cinn_clusters.catalogues.errors.uncertainties import describe_errors, errors_of
from cinn_clusters.catalogues.mapping import MASS_SOURCES, Mapping, Quantity
from cinn_clusters.catalogues.masses.apertures import ApertureOffset, aperture_offset
from cinn_clusters.catalogues.masses.calibrations import (
    calibration_attributes,
    calibration_of,
    describe_calibration,
    follows_mass,
)
from cinn_clusters.catalogues.masses.definitions import (
    CONVERSION,
    conversion_scatter,
    log_mass_500c,
)
from cinn_clusters.catalogues.masses.temperature import (
    TEMPERATURE_RELATION,
    TEMPERATURE_SCATTER,
    TEMPERATURE_SLOPE,
    log_mass_of_temperature,
)
from cinn_clusters.catalogues.table_files import names_of, numbers
from cinn_clusters.catalogues.units import (
    conversion_factor,
    factor_to_default,
    scale_of,
)
from cinn_clusters.cosmology import (
    HUBBLE_CONSTANT,
    HUBBLE_H,
    MAX_REDSHIFT,
    log_radius_crit500,
    lookback_at_redshift,
    max_lookback,
    redshift_at_lookback,
)
from cinn_clusters.data.error_models.two_piece import standard_deviation, with_scatter
from cinn_clusters.errors import DataError

CONTRADICTION = 0.1
"""M500 and R500, or M500 and a temperature, contradict each other when their masses differ by more
[dex] than this and twice their errors, the scatter of the relation among them."""
_BLACK_HOLE = "bcg_SubhaloBHMass"
_MASSES = {
    "gas_mass": "GroupGasMass",
    "stellar_mass": "bcg_StellarMass",
    "halo_mass": "bcg_SubhaloMass",
    "black_hole_mass": _BLACK_HOLE,
}
SIMULATED_COLUMNS = {"mass": schema.MASS, **_MASSES}
"""Column of the simulation that holds a quantity."""
_TIMES = ("redshift", "lookback_time")
_Logs = tuple[np.ndarray, np.ndarray]
"""log10 of a quantity, (N,), and its errors below and above [dex], (2, N)."""


def convert(table: Table, mapping: Mapping) -> ConvertedCatalogue:
    """Convert a catalogue to the columns of the simulation, errors in dex.

    Raises:
        DataError: If a mapped column is missing or its unit cannot be converted.
    """
    _demand_mapped(table, mapping)
    table, marks = blank_mapped(table, mapping)
    converted = ConvertedCatalogue(names_of(table, mapping.object_name), log=marks)
    redshift = _redshift(table, mapping, converted)
    conversion = _Conversion(table, mapping, converted, redshift)
    converted.values[schema.LOOKBACK] = _lookback(redshift)
    measured = [name for name in mapping.quantities if name not in _TIMES]
    logs = {name: _logged(conversion, name) for name in measured}
    for name, (_, errors) in logs.items():
        converted.stated_errors[name] = standard_deviation(errors)
    if logs.keys() & set(MASS_SOURCES):
        mass, errors = _mass(conversion, logs)
        converted.values[schema.MASS] = mass
        converted.two_sided[schema.MASS] = errors
    for name, column in _MASSES.items():
        if name in logs:
            value, errors = _to_aperture(conversion, name, logs[name])
            converted.values[column] = value
            converted.two_sided[column] = errors
    if _BLACK_HOLE in converted.values:  # linear, 1e10 Msun/h
        log_mass = converted.values[_BLACK_HOLE]
        mass = 10.0 ** (log_mass - 10.0)
        converted.values[_BLACK_HOLE] = mass * HUBBLE_H
    for column in SIMULATED_COLUMNS.values():
        _drop_impossible(converted, column)
    if schema.MASS in converted.values:  # comoving, as in the simulation's table
        mass = converted.values[schema.MASS]
        converted.values[schema.RADIUS] = log_radius_crit500(mass, redshift)
    converted.log_shifts()
    return converted


@dataclass(frozen=True, eq=False)
class _Conversion:
    """A catalogue under conversion; redshifts (N,) are NaN where a row has none."""

    table: Table
    mapping: Mapping
    converted: ConvertedCatalogue
    redshift: np.ndarray


def _demand_mapped(table: Table, mapping: Mapping) -> None:
    names = [
        name for quantity in mapping.quantities.values() for name in quantity.columns
    ]
    if mapping.object_name:
        names.append(mapping.object_name)
    missing = [name for name in names if name not in table.colnames]
    if not missing:
        return
    listed = [*table.colnames[:12], *["..."][: len(table.colnames) > 12]]
    expected = f"a column of the table ({mapping.name})"
    hint = f"the file has {', '.join(listed)}; name yours in a mapping (--mapping)"
    raise DataError(f"column '{missing[0]}'", expected, "none", "", hint)


def _redshift(
    table: Table, mapping: Mapping, converted: ConvertedCatalogue
) -> np.ndarray:
    """Redshifts (N,), NaN where a row cannot be answered."""
    quantity = mapping.redshift or mapping.lookback_time
    assert quantity is not None
    redshift, is_text = numbers(table, quantity.column)
    if mapping.redshift is None:
        redshift = _redshift_of_lookback(
            table, quantity, redshift, mapping.cosmology.H0
        )
    is_zero = (redshift == 0.0) & quantity.shows_marks
    if mapping.redshift is None:
        is_zero[:] = False  # no time before the present is a time
    redshift = np.where(is_zero, np.nan, redshift)
    is_missing = np.isnan(redshift)
    is_outside = ~is_missing & ~((redshift >= 0.0) & (redshift < MAX_REDSHIFT))
    column, stated = quantity.column, table[quantity.column]
    converted.note_values(is_text, f"{column}: expected a number", stated)
    expected = f"a redshift in [0, {MAX_REDSHIFT:g}]"
    converted.note_values(is_outside, f"{column}: expected {expected}", redshift)
    _note_missing_redshifts(converted, quantity.column, is_missing & ~is_text, is_zero)
    clock = f"clock of the simulation (H0 {HUBBLE_CONSTANT:g})"
    converted.log.append(f"time: lookback time from {quantity.column}, {clock}")
    return np.where(is_outside, np.nan, redshift)


def _note_missing_redshifts(
    converted: ConvertedCatalogue,
    column: str,
    is_missing: np.ndarray,
    is_zero: np.ndarray,
) -> None:
    """Note rows without a redshift, and those where it is 0: no cluster has one of 0."""
    reason = f"{column}: no redshift"
    converted.note(is_missing & ~is_zero, reason)
    if not is_zero.any():
        return
    remedy = "[redshift] missing = [] takes it as a value"
    converted.note(is_zero, f"{reason} (0; {remedy})")
    count = f"{int(is_zero.sum())} of {len(is_zero)} rows"
    converted.log.append(f"{column}: 0 in {count} stands for no redshift; {remedy}")


def _redshift_of_lookback(
    table: Table, quantity: Quantity, value: np.ndarray, hubble: float
) -> np.ndarray:
    scale = scale_of(table, quantity, "lookback_time")
    in_gyr = conversion_factor(scale.unit, u.Gyr, hubble)
    lookback = scale.linear(value) * in_gyr
    is_possible = (lookback >= 0) & (lookback <= max_lookback())
    possible = np.where(is_possible, lookback, 0.0)
    redshift = redshift_at_lookback(possible)
    return np.where(is_possible, redshift, np.nan)


def _lookback(redshift: np.ndarray) -> np.ndarray:
    lookback = lookback_at_redshift(np.nan_to_num(redshift))
    return np.asarray(np.where(np.isnan(redshift), np.nan, lookback))


def _logged(conversion: _Conversion, name: str) -> _Logs:
    """log10 of a quantity in its default unit, and its errors."""
    converted, quantity = conversion.converted, conversion.mapping.quantities[name]
    column = quantity.column
    value, is_text = numbers(conversion.table, column)
    stated = conversion.table[column]
    converted.note_values(is_text, f"{column}: expected a number", stated)
    scale = scale_of(conversion.table, quantity, name)
    is_infinite = np.isinf(value)
    is_negative = ~is_infinite & (value <= 0.0) & (not scale.is_log)
    converted.note(is_infinite, f"{column}: not finite, taken as missing")
    converted.note(is_negative, f"{column}: not positive, taken as missing")
    is_bad = is_infinite | is_negative
    value = scale.logarithm(np.where(is_bad, np.nan, value))
    mapping, redshift = conversion.mapping, conversion.redshift
    hubble = mapping.cosmology.H0
    measured = Measured(conversion.table, quantity, value, scale, hubble)
    errors, filled = errors_of(measured, converted.note)

    factor, remark = factor_to_default(scale.unit, name, mapping, redshift)
    is_near = np.isnan(factor) & np.isfinite(redshift)
    reason = f"{column}: has no size at redshift 0, taken as missing"
    converted.note(np.isfinite(value) & is_near, reason)
    value = np.where(np.isnan(errors).any(0), np.nan, value + np.log10(factor))
    converted.log.append(
        f"{name}: {column} [{scale}]{remark}, {describe_errors(quantity)}"
    )
    converted.log.extend(filled)
    return value, np.where(np.isnan(value), 0.0, errors)


def _mass(conversion: _Conversion, logs: dict[str, _Logs]) -> _Logs:
    """log10 M500c from a mass, else from R500, else from a temperature; contradictions are noted."""
    sources = [name for name in MASS_SOURCES if name in logs]
    published = {
        name: _published_mass(conversion, name, logs[name]) for name in sources
    }
    masses = {name: _calibrated(conversion, name, published[name]) for name in sources}
    for name in sources:
        is_alike = follows_mass(conversion.mapping, name)
        compared = (
            published if is_alike else masses
        )  # what both share contradicts nothing
        _note_contradictions(conversion.converted, compared, name)
    first, *fallbacks = sources
    chosen = calibration_of(conversion.mapping, first)
    conversion.converted.choices.update(calibration_attributes(chosen))
    mass, errors = masses[first]
    for source in fallbacks:
        value, its_errors = masses[source]
        is_filled = np.isnan(mass) & np.isfinite(value)
        if is_filled.any():
            count = f"{int(is_filled.sum())} of {len(mass)}"
            conversion.converted.log.append(f"mass: {count} from {source}")
        mass = np.where(is_filled, value, mass)
        errors = np.where(is_filled, its_errors, errors)
    return mass, errors


def _calibrated(conversion: _Conversion, name: str, published: _Logs) -> _Logs:
    """log10 of the true M500c of a published one, by its calibration."""
    value, errors = published
    calibration = calibration_of(conversion.mapping, name)
    line = describe_calibration(conversion.mapping, name)
    conversion.converted.log.append(line)
    scatter = calibration.total_scatter
    return value + calibration.offset, with_scatter(errors, scatter)


def _published_mass(conversion: _Conversion, name: str, logs: _Logs) -> _Logs:
    """log10 M500c as the catalogue has it; the scatter of a relation is added to its errors."""
    (value, errors), redshift = logs, conversion.redshift
    if name == "radius":
        return _mass_of_radius(value, redshift), 3.0 * errors
    if name == "temperature":
        conversion.converted.log.append(f"temperature: {TEMPERATURE_RELATION}")
        mass = log_mass_of_temperature(10.0**value, redshift)
        return mass, with_scatter(TEMPERATURE_SLOPE * errors, TEMPERATURE_SCATTER)
    definition = conversion.mapping.quantities[name].definition or "500c"
    if definition == "500c":
        return value, errors
    scatter = conversion_scatter(value, redshift, definition)
    median = f"scatter {_median(scatter):.3f} dex in the median"
    conversion.converted.log.append(f"mass: {definition} {CONVERSION}, {median}")
    mass = log_mass_500c(value, redshift, definition)
    return mass, with_scatter(errors, np.nan_to_num(scatter))


def _mass_of_radius(log_radius: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """log10 M500c [Msun] of log10 R500c [physical kpc]."""
    log_mass = np.zeros(len(redshift))
    one_solar_mass = log_radius_crit500(log_mass, redshift)  # comoving
    physical = one_solar_mass - np.log10(1.0 + redshift)
    log_ratio = log_radius - physical
    return np.asarray(3.0 * log_ratio)


def _note_contradictions(
    converted: ConvertedCatalogue, masses: dict[str, _Logs], name: str
) -> None:
    """Note rows whose radius or temperature does not fit their mass."""
    if "mass" not in masses or name == "mass":
        return
    mass, errors = masses["mass"]
    value, its_errors = masses[name]
    tolerance = CONTRADICTION + 2.0 * np.hypot(errors, its_errors).mean(0)
    subject = {"radius": "R500"}.get(name, name)
    reason = f"{subject} and redshift give another M500"
    converted.note(
        np.abs(value - mass) > tolerance,
        f"contradiction: {reason} (by more than {CONTRADICTION:g} dex)",
    )


def _to_aperture(conversion: _Conversion, name: str, logs: _Logs) -> _Logs:
    """Bring an aperture to that of the simulation's table."""
    value, errors = logs
    quantity = conversion.mapping.quantities[name]
    offset, scatter, source = _aperture(conversion, quantity)
    if np.any(offset) or np.any(scatter):
        line = f"{name}: {_range(offset)} dex, scatter {_median(scatter):.2f} dex"
        if quantity.definition:
            line += f", for aperture {quantity.definition}"
        conversion.converted.log.append(f"{line} ({source})")
    errors = with_scatter(errors, scatter)
    return value + offset, np.where(np.isnan(value), 0.0, errors)


def _aperture(conversion: _Conversion, quantity: Quantity) -> ApertureOffset:
    """Offset and scatter of an aperture, replaced by what the mapping states."""
    converted, redshift = conversion.converted, conversion.redshift
    unknown = np.full(len(redshift), np.nan)
    log_mass = converted.values.get(schema.MASS, unknown)
    errors = converted.errors.get(schema.MASS, unknown)
    default = aperture_offset(quantity.definition or "", log_mass, errors, redshift)
    stated = quantity.source or "as the mapping states"
    if quantity.offset is not None:
        offset = np.full_like(redshift, quantity.offset)
        default = default._replace(offset=offset, source=stated)
    if quantity.scatter is None:
        return default
    scatter = np.full_like(redshift, quantity.scatter)
    source = "; ".join(dict.fromkeys((default.source, stated)))
    return default._replace(scatter=scatter, source=source)


def _range(values: np.ndarray) -> str:
    """Median of values, and 5 and 95 % of them where they differ."""
    low, high = np.quantile(values, [0.05, 0.95])
    if high - low < 0.005:
        return f"{np.median(values):+.2f}"
    return f"{np.median(values):+.2f} ({low:+.2f} to {high:+.2f})"


def _median(values: np.ndarray) -> float:
    """Median of those that are there; 0 where none is."""
    present = values[np.isfinite(values)]
    return float(np.median(present)) if len(present) else 0.0


def _drop_impossible(converted: ConvertedCatalogue, column: str) -> None:
    """Take values as missing that cannot be right in the unit of their column."""
    if column not in converted.values:
        return
    declared, value = schema.column(column), converted.values[column]
    (lower, upper), unit = declared.bounds, declared.unit
    is_outside = (value < lower) | (value > upper)  # NaN: no
    num_outside = int(is_outside.sum())
    if num_outside and num_outside == np.isfinite(value).sum():
        subject, expected = f"values of {column}", f"[{lower:g}, {upper:g}] [{unit}]"
        got = f"{np.median(value[is_outside]):.3g} in the median of {num_outside} rows"
        hint = "state the unit of its column in the mapping, or correct it"
        raise DataError(subject, expected, f"{got}, all outside", "", hint)
    reason = f"outside [{lower:g}, {upper:g}] [{unit}], taken as missing"
    converted.note(is_outside, f"{column}: {reason}")
    converted.values[column] = np.where(is_outside, np.nan, value)
    converted.two_sided[column] = np.where(is_outside, 0.0, converted.two_sided[column])
