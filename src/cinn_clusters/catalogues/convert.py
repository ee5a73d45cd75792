"""From what a catalogue states to what the simulation calls it: units, definitions, errors, with
an account.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from astropy import units as u
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.files import names_of, numbers
from cinn_clusters.catalogues.mapping import Mapping, Quantity
from cinn_clusters.catalogues.masses import (
    CONVERSION_SCATTER,
    TEMPERATURE_SCATTER,
    log_mass_500c,
    log_mass_of_temperature,
)
from cinn_clusters.catalogues.uncertainties import Measured, errors_of, told_errors
from cinn_clusters.catalogues.units import factor_to_ours, scale_of
from cinn_clusters.cosmology import (
    HUBBLE_CONSTANT,
    HUBBLE_H,
    MAX_REDSHIFT,
    log_radius_crit500,
    lookback_at_redshift,
    max_lookback,
    redshift_at_lookback,
)
from cinn_clusters.errors import DataError

OFFSETS = {
    "gas_mass": {"group": (0.0, 0.0), "500c": (0.25, 0.08)},
    "stellar_mass": {
        "whole": (0.0, 0.0),
        "bcg": (0.75, 0.25),
        "30kpc": (1.0, 0.25),
        "50kpc": (0.85, 0.25),
        "100kpc": (0.5, 0.2),
    },
}
"""Offset and scatter [dex] from an aperture to what the simulation's table holds: the gas of the whole group is 0.25
dex above that within R500, stars of the central subhalo 0.5 to 1 dex above those of 30 to 100 kpc. Scatter: ours."""
CONTRADICTS = "contradiction"
CONTRADICTION = 0.1
"""M500 and R500, or M500 and a temperature, contradict each other when their masses differ by more [dex] than this and
twice their errors, the scatter of the relation among them."""


@dataclass
class Converted:
    """A catalogue in the simulation's terms.

    Args:
        names: Names of the objects, (N,).
        values: Catalogue values of the simulation's columns, (N,) each; NaN where missing.
        sides: Standard errors below and above [dex], (2, N) each; zero where none are stated.
        account: What was done to each quantity.
        reasons: Rows and what is wrong with them: a value that was given and not used, or a
            contradiction.
        unusable: Rows without a usable redshift, (N,).
    """

    names: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    sides: dict[str, np.ndarray] = field(default_factory=dict)
    account: list[str] = field(default_factory=list)
    reasons: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    unusable: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """Standard errors [dex], (N,) each: the mean of both sides, all that the network can be
        told.
        """
        return {name: sides.mean(0) for name, sides in self.sides.items()}

    def both_sides(self, columns: tuple[str, ...]) -> np.ndarray:
        """Errors below and above of some columns [dex], (2, N, len(columns)); zero if absent."""
        none = np.zeros((2, len(self.names)))
        return np.stack([self.sides.get(name, none) for name in columns], 2)

    def inputs(self, columns: tuple[str, ...]) -> np.ndarray:
        """Inputs of a model, (N, len(columns)): values, errors by ``sigma_`` and name; NaN and
        zero if absent.
        """
        num, errors = len(self.names), self.errors

        def column(name: str) -> np.ndarray:
            if name.startswith(schema.ERROR_PREFIX):
                return errors.get(name.removeprefix(schema.ERROR_PREFIX), np.zeros(num))
            return self.values.get(name, np.full(num, np.nan))

        return np.stack([column(name) for name in columns], 1)

    def tell(self, rows: np.ndarray, reason: str) -> None:
        """Note what is wrong with some rows, (N,) bool."""
        for row in np.flatnonzero(rows):
            self.reasons[int(row)].append(reason)


def convert(table: Table, mapping: Mapping) -> Converted:
    """Convert a catalogue.

    Args:
        table: As read.
        mapping: What its columns mean.

    Returns:
        Values and errors in the simulation's terms; nothing is dropped, rows that lack something
        say so.

    Raises:
        DataError: If a mapped column is missing or its unit cannot be converted.
    """
    _demand_columns(table, mapping)
    found = Converted(names_of(table, mapping.object_name), unusable=np.zeros(len(table), bool))
    redshift = _redshift(table, mapping, found)
    found.values[schema.LOOKBACK] = _lookback(redshift)
    log = {
        name: _logged(table, mapping, name, redshift, found)
        for name in mapping.quantities
        if name not in TIMES
    }
    _mass(log, mapping, redshift, found)
    for name, column in COLUMNS.items():
        if name in log:
            value, sides = _with_offset(*log[name], name, mapping.quantities[name], found)
            found.values[column] = (
                10.0 ** (value - 10.0) * HUBBLE_H if column == BLACK_HOLE else value
            )
            found.sides[column] = sides
    for column in (*COLUMNS.values(), schema.MASS):
        _demand_bounds(column, found)
    return found


TIMES = ("redshift", "lookback_time")
BLACK_HOLE = "bcg_SubhaloBHMass"
COLUMNS = {
    "gas_mass": "GroupGasMass",
    "stellar_mass": "bcg_StellarMass",
    "halo_mass": "bcg_SubhaloMass",
    "black_hole_mass": BLACK_HOLE,
}


def _demand_columns(table: Table, mapping: Mapping) -> None:
    names = [name for quantity in mapping.quantities.values() for name in quantity.columns]
    names += [mapping.object_name] if mapping.object_name else []
    missing = [name for name in names if name not in table.colnames]
    if missing:
        have = ", ".join(table.colnames[:12]) + (", ..." if len(table.colnames) > 12 else "")
        hint = f"the file has {have}; name yours in a mapping (--mapping)"
        raise DataError(
            f"column '{missing[0]}'", f"a column of the table ({mapping.name})", "none", "", hint
        )


def _redshift(table: Table, mapping: Mapping, found: Converted) -> np.ndarray:
    """Redshifts (N,), NaN where a row cannot be used."""
    quantity = mapping.redshift or mapping.lookback_time
    assert quantity is not None
    value, is_text = numbers(table, quantity.column)
    found.tell(is_text, f"{quantity.column}: expected a number")
    if mapping.redshift is None:
        scale = scale_of(table, quantity, "lookback_time")
        value = (10.0**value if scale.is_log else value) * scale.unit.to(u.Gyr)
        value = np.where((value >= 0) & (value <= max_lookback()), value, np.nan)
        value = np.where(np.isnan(value), np.nan, redshift_at_lookback(np.nan_to_num(value)))
    wrong = ~np.isnan(value) & ~((value >= 0.0) & (value < MAX_REDSHIFT))
    found.tell(wrong, f"{quantity.column}: expected a redshift in [0, {MAX_REDSHIFT:g}]")
    found.tell(np.isnan(value) & ~is_text, f"{quantity.column}: no redshift")
    found.unusable = wrong | np.isnan(value)
    found.account.append(
        f"time: lookback time from {quantity.column}, clock of the simulation (H0 {HUBBLE_CONSTANT:g})"
    )
    return np.where(found.unusable, np.nan, value)


def _lookback(redshift: np.ndarray) -> np.ndarray:
    return np.asarray(
        np.where(np.isnan(redshift), np.nan, lookback_at_redshift(np.nan_to_num(redshift)))
    )


def _logged(
    table: Table, mapping: Mapping, name: str, redshift: np.ndarray, found: Converted
) -> tuple[np.ndarray, np.ndarray]:
    """log10 of a quantity in the simulation's unit, (N,), and its errors below and above [dex],
    (2, N).
    """
    quantity = mapping.quantities[name]
    value, is_text = numbers(table, quantity.column)
    found.tell(is_text, f"{quantity.column}: expected a number")
    scale = scale_of(table, quantity, name)
    bad = np.isinf(value) if scale.is_log else np.isinf(value) | (value <= 0.0)
    found.tell(
        bad, f"{quantity.column}: not {'finite' if scale.is_log else 'positive'}, taken as missing"
    )
    value = np.where(bad, np.nan, value)
    value = value if scale.is_log else np.log10(value)
    sides, filled = errors_of(
        Measured(table, quantity, value, scale, mapping.cosmology.H0), found.tell
    )
    factor, told = factor_to_ours(scale.unit, name, mapping, quantity, redshift)
    lost = np.isfinite(value) & np.isnan(factor) & ~found.unusable
    found.tell(lost, f"{quantity.column}: has no size at redshift 0, taken as missing")
    value = np.where(np.isnan(sides).any(0), np.nan, value + np.log10(factor))
    found.account += [
        f"{name}: {quantity.column} [{scale}]{told}, {told_errors(quantity)}",
        *filled,
    ]
    return value, np.where(np.isnan(value), 0.0, sides)


def _mass(
    log: dict[str, tuple[np.ndarray, np.ndarray]],
    mapping: Mapping,
    redshift: np.ndarray,
    found: Converted,
) -> None:
    """M500c from a mass, else from R500, else from a temperature; contradictions of a mass with
    these are told.
    """
    num = len(redshift)
    mass, error = np.full(num, np.nan), np.zeros((2, num))
    sources = []
    if "mass" in log:
        definition = mapping.quantities["mass"].definition or "500c"
        value, stated = log["mass"]
        mass = log_mass_500c(value, redshift, definition)
        if definition != "500c":
            found.account.append(
                f"mass: {definition} to 500c by NFW profiles and the concentrations of Duffy+08"
            )
        own = mapping.quantities["mass"]
        scatter = own.scatter if own.scatter is not None else CONVERSION_SCATTER[definition]
        mass, error = mass + (own.offset or 0.0), np.hypot(stated, scatter)
    if "radius" in log:
        radius, radius_error = log["radius"]
        of_radius = _log_mass_of_radius(radius, redshift)
        sources.append(("R500", of_radius, 3.0 * radius_error))
    if "temperature" in log:
        value, stated = log["temperature"]
        of_heat = log_mass_of_temperature(10.0**value, redshift)
        sources.append(
            ("temperature (Vikhlinin+09)", of_heat, np.hypot(1.53 * stated, TEMPERATURE_SCATTER))
        )
    for told, value, stated in sources:
        name = told.split(" ")[0]
        off = np.abs(value - mass) > CONTRADICTION + 2.0 * np.hypot(error, stated).mean(
            0
        )  # NaN: no
        found.tell(
            off,
            f"{CONTRADICTS}: {name} and redshift give another M500 (by more than {CONTRADICTION:g} dex)",
        )
    for told, value, stated in sources:
        filled = np.isnan(mass) & np.isfinite(value)
        if filled.any():
            found.account.append(f"mass: {int(filled.sum())} of {num} from {told}")
        mass, error = np.where(filled, value, mass), np.where(filled, stated, error)
    if "mass" in log or sources:
        found.values[schema.MASS], found.sides[schema.MASS] = mass, error


def _log_mass_of_radius(log_radius: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """log10 M500c [Msun] of log10 R500 [physical kpc]."""
    unit = log_radius_crit500(np.zeros(len(redshift)), redshift) - np.log10(
        1.0 + redshift
    )  # of one solar mass
    return np.asarray(3.0 * (log_radius - unit))


def _with_offset(
    value: np.ndarray, error: np.ndarray, name: str, quantity: Quantity, found: Converted
) -> tuple[np.ndarray, np.ndarray]:
    """Bring an aperture to that of the simulation's table."""
    offset, scatter = OFFSETS.get(name, {}).get(quantity.definition or "", (0.0, 0.0))
    offset = quantity.offset if quantity.offset is not None else offset
    scatter = quantity.scatter if quantity.scatter is not None else scatter
    if offset or scatter:
        why = f", for aperture {quantity.definition}" if quantity.definition else ""
        found.account.append(f"{name}: {offset:+.2f} dex, scatter {scatter:.2f} dex{why}")
    return value + offset, np.where(np.isnan(value), 0.0, np.hypot(error, scatter))


def _demand_bounds(column: str, found: Converted) -> None:
    """Take values as missing that cannot be right in the unit of their column."""
    if column not in found.values:
        return
    lower, upper = schema.column(column).bounds
    value = found.values[column]
    with np.errstate(invalid="ignore"):
        bad = (value < lower) | (value > upper)
    found.tell(
        bad,
        f"{column}: outside [{lower:g}, {upper:g}] [{schema.column(column).unit}], taken as missing",
    )
    found.values[column] = np.where(bad, np.nan, value)
    found.sides[column] = np.where(bad, 0.0, found.sides[column])
