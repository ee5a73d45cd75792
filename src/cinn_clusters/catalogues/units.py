"""Units of one column of a published catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.cosmology import units as cosmology_units
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Mapping, Quantity
from cinn_clusters.cosmology import HUBBLE_CONSTANT
from cinn_clusters.errors import DataError

HUBBLE_POWER = {
    "mass": -1.0,
    "radius": -1.0,
    "gas_mass": -2.5,
    "stellar_mass": -2.0,
    "halo_mass": -1.0,
}
"""How published values scale with the Hubble constant (White & Fabian 1995; gas from X-ray
emission)."""
DEFAULT_UNITS = {
    "mass": u.Msun,
    "gas_mass": u.Msun,
    "stellar_mass": u.Msun,
    "halo_mass": u.Msun,
    "black_hole_mass": u.Msun,
    "radius": u.kpc,
    "temperature": u.keV,
    "lookback_time": u.Gyr,
    "redshift": u.dimensionless_unscaled,
}


LOGARITHM = re.compile(
    r"(?:dex|log10|log|lg)(?:\s*[(\[](.*)[)\]]|\s+(.+))?|\[(.*)\]", re.IGNORECASE
)
"""How tables say that a column is a logarithm: ``dex(solMass)``, ``log10 Msun``, ``[Msun]`` (the
archive at CDS)."""


@dataclass(frozen=True)
class Scale:
    """How the values of a column are meant.

    Args:
        unit: Their unit, or that of which they are the logarithm.
        is_log: Whether they are log10 of it.
    """

    unit: Any
    is_log: bool = False

    def __str__(self) -> str:
        return f"log10 {self.unit}" if self.is_log else str(self.unit)


def read_unit(stated: Any, column: str, default: Any) -> Scale:
    """Read a unit as files and mappings write it.

    Raises:
        DataError: If astropy does not know it.

    Examples:
        >>> print(read_unit("dex(solMass)", "M", u.Msun), read_unit("Msun/h", "M", u.Msun))
        log10 solMass solMass / littleh
    """
    text = str(stated).strip()
    logarithm = LOGARITHM.fullmatch(text)
    if logarithm:
        text = next((part for part in logarithm.groups() if part), "").strip()
    try:
        with u.add_enabled_units(cosmology_units):
            unit = u.Unit(text.replace("/h", " / littleh")) if text else default
    except ValueError as error:
        raise DataError(
            f"unit of '{column}'", "a unit that astropy knows", f"'{stated}'"
        ) from error
    if isinstance(unit, u.function.FunctionUnitBase):
        raise DataError(f"unit of '{column}'", "a linear unit or a log10 of one", f"'{stated}'")
    return Scale(unit, logarithm is not None)


def scale_of(table: Table, quantity: Quantity, name: str) -> Scale:
    """Unit of a column: the mapping's, else the file's, else the default of the quantity; log10 where either says so.

    Raises:
        DataError: If astropy does not know it, it cannot be converted, or the mapping calls a
            logarithm linear.
    """
    stated, target = quantity.unit or unit_in_file(table, quantity.column), DEFAULT_UNITS[name]
    found = Scale(target) if stated is None else read_unit(stated, quantity.column, target)
    what = f"unit of '{quantity.column}' ({name})"
    if not (
        _is_ours(found.unit, target) or (name == "radius" and found.unit.is_equivalent(u.arcmin))
    ):
        raise DataError(
            what,
            f"one that converts to {target}",
            f"'{stated}'",
            "",
            "state the right one in the mapping",
        )
    if quantity.scale == "linear" and found.is_log:
        hint = "leave scale out, or state the unit in the mapping"
        raise DataError(what, "a linear one for scale = 'linear'", f"'{stated}'", "", hint)
    return Scale(found.unit, found.is_log or quantity.scale == "log10")


def unit_in_file(table: Table, column: str) -> str | None:
    """Return what the file says of the unit of a column; None where it says nothing."""
    text = str(getattr(table[column], "unit", None) or "").strip()
    return text or None


def _is_ours(unit: Any, target: Any) -> bool:
    littleh = cosmology_units.littleh
    plain = unit * littleh if littleh in unit.decompose().bases else unit
    return bool(plain.is_equivalent(target))


def factor_to_ours(
    unit: Any, name: str, mapping: Mapping, quantity: Quantity, redshift: np.ndarray
) -> tuple[np.ndarray | float, str]:
    """What a value is multiplied by, and the account of it."""
    published = mapping.cosmology
    told, factor = "", np.ones(len(redshift))
    if name == "radius" and unit.is_equivalent(u.arcmin):
        from astropy.cosmology import FlatLambdaCDM

        distances = FlatLambdaCDM(H0=published.H0, Om0=published.Om0)
        near = np.where(redshift > 0.0, redshift, np.nan)
        scale = np.full(len(near), np.nan)
        known = np.isfinite(near)
        scale[known] = distances.kpc_proper_per_arcmin(near[known]).value
        factor, told = scale * unit.to(u.arcmin), " by the angular distance"
    else:
        hubble = cosmology_units.with_H0(published.H0 * u.km / u.s / u.Mpc)
        factor = factor * (1.0 * unit).to(DEFAULT_UNITS[name], hubble).value
    if name == "radius" and quantity.definition == "comoving":
        factor, told = factor / (1.0 + redshift), told + ", comoving"
    power = HUBBLE_POWER.get(name, 0.0)
    if power and published.H0 != HUBBLE_CONSTANT:
        factor = factor * (HUBBLE_CONSTANT / published.H0) ** power
        told += f", H0 {published.H0:g} to {HUBBLE_CONSTANT:g} (h^{power:g})"
    return factor, told
