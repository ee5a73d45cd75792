"""Units of one column of a published catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Mapping, PublishedCosmology, Quantity
from cinn_clusters.catalogues.unit_text import parse_unit, without_h
from cinn_clusters.cosmology import HUBBLE_CONSTANT
from cinn_clusters.errors import DataError

_HUBBLE_POWER = {
    "mass": -1.0,
    "radius": -1.0,
    "gas_mass": -2.5,
    "stellar_mass": -2.0,
    "halo_mass": -1.0,
}
"""How published values scale with the Hubble constant (White & Fabian 1995; gas from X-ray
emission)."""
_MASSES = ("mass", "gas_mass", "stellar_mass", "halo_mass", "black_hole_mass")
_DEFAULT_UNITS = {
    **dict.fromkeys(_MASSES, u.Msun),
    "radius": u.kpc,
    "temperature": u.keV,
    "lookback_time": u.Gyr,
    "redshift": u.dimensionless_unscaled,
}
_LOGARITHM = re.compile(
    r"(?:dex|log10|log|lg)(?:\s*[(\[](.*)[)\]]|\s+(.+))?|\[(.*)\]", re.IGNORECASE
)
"""How tables say that a column is a logarithm: ``dex(solMass)``, ``log10 Msun``, ``[Msun]`` (the
archive at CDS)."""
_BRACKETED_NUMBER = re.compile(r"\[\s*[\dx].*\]")
"""``[10^14 Msun]``: a logarithm at CDS, a unit in brackets elsewhere."""
_COMOVING = re.compile(r"\bc(?:om|[kM]?pc)", re.IGNORECASE)
_LOG_NAME = re.compile(
    r"(?:^|[^A-Za-z])(?:[Ll]og|lg)(?:10)?(?=[^a-z]|m(?:ass|\d|_|$)|$)|(?:^|_)LOG"
)
"""In the name of a column: logM500, log10_M, lgM, M_log, logmass."""


@dataclass(frozen=True)
class Scale:
    """How the values of a column are meant.

    Args:
        unit: Their unit, or that of which they are the logarithm.
        is_log: Whether they are log10 of it.
    """

    unit: Any
    is_log: bool = False

    def linear(self, values: np.ndarray) -> np.ndarray:
        """Values in the unit itself."""
        if self.is_log:
            return 10.0**values
        return values

    def logarithm(self, values: np.ndarray) -> np.ndarray:
        """log10 of the values in the unit."""
        if self.is_log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithm: np.ndarray = np.log10(values)
        return logarithm

    def __str__(self) -> str:
        prefix = "log10 " * self.is_log
        return f"{prefix}{self.unit}"


def read_unit(stated: Any, column: str, default: Any) -> Scale:
    """Read a unit as files and mappings write it, an ``h`` in any of its forms included.

    Raises:
        DataError: If astropy does not know it, or it may be a logarithm or not.

    Examples:
        >>> print(read_unit("dex(solMass)", "M", u.Msun), read_unit("Msun / h", "M", u.Msun))
        log10 solMass solMass / littleh
    """
    text = str(stated).strip()
    subject, got = f"unit of '{column}'", f"'{stated}'"
    if _BRACKETED_NUMBER.fullmatch(text):
        expected = "one that says whether it is a logarithm, as brackets do at CDS"
        hint = "state scale = 'linear' or scale = 'log10' in the mapping"
        raise DataError(subject, expected, got, "", hint)
    logarithm = _LOGARITHM.fullmatch(text)
    if logarithm:
        text = next((part for part in logarithm.groups() if part), "").strip()
    unit = default
    try:
        if text:
            unit = parse_unit(text, default)
    except (ValueError, TypeError) as error:
        hint = "write it as in '1e14 Msun', 'Mpc/h', 'keV' in the mapping"
        if _COMOVING.search(text):
            hint = "write it without 'c', and definition = 'comoving', in the mapping"
        expected = "a unit that astropy knows"
        raise DataError(subject, expected, got, "", hint) from error
    if isinstance(unit, u.function.FunctionUnitBase):
        raise DataError(subject, "a linear unit or a log10 of one", got)
    return Scale(unit, logarithm is not None)


def _stated_scale(quantity: Quantity, stated: str, default: Any) -> Scale:
    """Scale of a unit, of which the mapping may say whether brackets mean a logarithm."""
    if quantity.scale is None or not _BRACKETED_NUMBER.fullmatch(stated.strip()):
        return read_unit(stated, quantity.column, default)
    return read_unit(stated.strip(" []"), quantity.column, default)


def scale_of(table: Table, quantity: Quantity, name: str) -> Scale:
    """Return the unit of a column: the mapping's, else the file's, else the quantity's default.

    Values are log10 where the mapping or the unit says so.

    Raises:
        DataError: If astropy does not know it, it cannot be converted, or the mapping calls a
            logarithm linear.
    """
    stated = quantity.unit or unit_in_file(table, quantity.column)
    default = _DEFAULT_UNITS[name]
    scale = Scale(default)
    if stated is not None:
        scale = _stated_scale(quantity, stated, default)
    subject = f"unit of '{quantity.column}' ({name})"
    is_angle = name == "radius" and scale.unit.is_equivalent(u.arcmin)
    if not (_converts(scale.unit, default) or is_angle):
        hint = "state the right one in the mapping"
        expected = f"one that converts to {default}"
        raise DataError(subject, expected, f"'{stated}'", "", hint)
    if quantity.scale == "linear" and scale.is_log:
        hint = "leave scale out, or state the unit in the mapping"
        expected = "a linear one for scale = 'linear'"
        raise DataError(subject, expected, f"'{stated}'", "", hint)
    _demand_no_logarithm(quantity, scale)
    return Scale(scale.unit, scale.is_log or quantity.scale == "log10")


def _demand_no_logarithm(quantity: Quantity, scale: Scale) -> None:
    """Refuse a column whose name says that it holds logarithms, where nothing else says it."""
    column, is_stated = quantity.column, quantity.scale is not None or scale.is_log
    if not is_stated and _LOG_NAME.search(column):
        expected = "one that says whether values are logarithms, as their name does"
        hint = "state scale = 'log10' or scale = 'linear' in the mapping"
        raise DataError(f"unit of '{column}'", expected, f"'{scale}'", "", hint)


def unit_in_file(table: Table, column: str) -> str | None:
    """Return what the file says of the unit of a column; None where it says nothing."""
    unit = getattr(table[column], "unit", None)
    if unit is None:
        return None
    return str(unit).strip() or None


def conversion_factor(unit: Any, target: Any, hubble: float = HUBBLE_CONSTANT) -> float:
    """Return what brings one unit to another; an ``h`` stands for H0 [km/s/Mpc] over 100.

    Raises:
        UnitConversionError: If the units are of different kinds.
    """
    from astropy.cosmology.units import with_H0

    hubble_constant = hubble * u.km / u.s / u.Mpc
    with_h = with_H0(hubble_constant)
    quantity = 1.0 * unit
    return float(quantity.to_value(target, [*with_h, *u.temperature_energy()]))


def factor_to_default(
    unit: Any, name: str, mapping: Mapping, redshift: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return what a value is multiplied by to stand in its default unit, (N,), and a remark."""
    published, default = mapping.cosmology, _DEFAULT_UNITS[name]
    remark, factor = "", np.ones(len(redshift))
    if name == "radius" and unit.is_equivalent(u.arcmin):
        factor = _kpc_per_arcmin(published, redshift) * unit.to(u.arcmin)
        remark = " by the angular distance"
    else:
        factor = factor * conversion_factor(unit, default, published.H0)
    definition = mapping.quantities[name].definition
    if name == "radius" and definition == "comoving":
        factor, remark = factor / (1.0 + redshift), f"{remark}, comoving"
    power = _HUBBLE_POWER.get(name, 0.0)
    if power and published.H0 != HUBBLE_CONSTANT:
        ratio = HUBBLE_CONSTANT / published.H0
        factor = factor * ratio**power
        remark += f", H0 {published.H0:g} to {HUBBLE_CONSTANT:g} (h^{power:g})"
    return factor, remark


def _kpc_per_arcmin(published: PublishedCosmology, redshift: np.ndarray) -> np.ndarray:
    """Physical kpc of an arcminute, (N,); NaN without a redshift and at redshift 0."""
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=published.H0, Om0=published.Om0)
    kpc = np.full(len(redshift), np.nan)
    is_far = redshift > 0.0  # NaN: no
    kpc[is_far] = cosmology.kpc_proper_per_arcmin(redshift[is_far]).value
    return kpc


def _converts(unit: Any, default: Any) -> bool:
    plain = without_h(unit)
    return bool(plain.is_equivalent(default, u.temperature_energy()))
