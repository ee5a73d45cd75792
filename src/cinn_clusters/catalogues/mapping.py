"""What the columns of a published catalogue mean: a TOML file for each, presets shipped for the
well-known ones.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cinn_clusters.cosmology import HUBBLE_CONSTANT, OMEGA_MATTER
from cinn_clusters.errors import ConfigError

PRESETS = files("cinn_clusters.catalogues") / "presets"


class Part(BaseModel):
    """A part of a mapping; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedCosmology(Part):
    """Cosmology in which the published values were derived."""

    H0: float = Field(default=HUBBLE_CONSTANT, gt=20, lt=200, description="km/s/Mpc")
    Om0: float = Field(default=OMEGA_MATTER, gt=0, lt=1)


class Quantity(Part):
    """One quantity: its column, unit, error columns and definition."""

    column: str
    unit: str | None = Field(
        default=None, description="where the file states none, or states a wrong one"
    )
    scale: Literal["linear", "log10"] | None = Field(
        default=None, description="default: as the unit says, else linear"
    )
    error: str | None = Field(default=None, description="column of symmetric errors")
    error_low: str | None = None
    error_high: str | None = None
    error_scale: Literal["linear", "dex", "relative"] | None = Field(
        default=None,
        description="default: as their unit says, else dex for logarithms and linear for others",
    )
    error_value: float | None = Field(default=None, ge=0, description="one error for all, in dex")
    low: str | None = Field(
        default=None, description="column of lower bounds (16 %), values like those of the column"
    )
    high: str | None = Field(default=None, description="column of upper bounds (84 %)")
    definition: str | None = Field(
        default=None, description="aperture or overdensity; see docs/catalogues.md"
    )
    offset: float | None = Field(
        default=None, description="added, in dex, instead of that of the definition"
    )
    scatter: float | None = Field(default=None, ge=0, description="of that offset, in dex")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the file that this uses."""
        names = (self.column, self.error, self.error_low, self.error_high, self.low, self.high)
        return tuple(name for name in names if name)

    @property
    def error_columns(self) -> tuple[str, str] | None:
        """Columns of errors or bounds below and above; one that holds for both stands twice."""
        below, above = (
            self.error or self.error_low or self.low,
            self.error or self.error_high or self.high,
        )
        one = below or above
        return None if one is None else (below or one, above or one)


class Mapping(Part):
    """What the columns of a catalogue mean."""

    name: str = "catalogue"
    reference: str = ""
    tried_on: str = Field(
        default="", description="the real file it was tried on, or 'made-up file'"
    )
    object_name: str | None = None
    read: dict[str, Any] | None = Field(
        default=None, description="arguments of astropy.table.Table.read"
    )
    cosmology: PublishedCosmology = PublishedCosmology()
    redshift: Quantity | None = None
    lookback_time: Quantity | None = None
    mass: Quantity | None = None
    radius: Quantity | None = None
    temperature: Quantity | None = None
    gas_mass: Quantity | None = None
    stellar_mass: Quantity | None = None
    halo_mass: Quantity | None = None
    black_hole_mass: Quantity | None = None

    @model_validator(mode="after")
    def _every_key_acts(self) -> Mapping:
        for name, quantity in self.quantities.items():
            _demand_keys(name, quantity)
        return self

    @property
    def quantities(self) -> dict[str, Quantity]:
        """Those that are mapped, by name."""
        return {name: getattr(self, name) for name in QUANTITIES if getattr(self, name) is not None}


QUANTITIES = (
    "redshift",
    "lookback_time",
    "mass",
    "radius",
    "temperature",
    "gas_mass",
    "stellar_mass",
    "halo_mass",
    "black_hole_mass",
)
MEASURED = (
    "column",
    "unit",
    "scale",
    "error",
    "error_low",
    "error_high",
    "error_scale",
    "error_value",
    "low",
    "high",
)
SHIFTED = (*MEASURED, "offset", "scatter")
KEYS = {
    "redshift": ("column",),
    "lookback_time": ("column", "unit"),
    "mass": (*SHIFTED, "definition"),
    "radius": (*MEASURED, "definition"),
    "temperature": (*MEASURED, "definition"),
    "gas_mass": (*SHIFTED, "definition"),
    "stellar_mass": (*SHIFTED, "definition"),
    "halo_mass": SHIFTED,
    "black_hole_mass": SHIFTED,
}
"""Keys that act on each quantity; the model takes the time as exact."""
DEFINITIONS = {
    "mass": ("500c", "200c", "200m", "vir"),
    "radius": ("physical", "comoving"),
    "temperature": ("core-excised",),
    "gas_mass": ("group", "500c"),
    "stellar_mass": ("whole", "bcg", "30kpc", "50kpc", "100kpc"),
}
"""Known apertures and overdensities; a radius is that of 500c."""


def _demand_keys(name: str, quantity: Quantity) -> None:
    """Refuse what would be ignored.

    Raises:
        ConfigError: If a key does not act on the quantity, a definition is unknown, or errors are
            stated twice.
    """
    takes = KEYS[name]
    if idle := sorted(quantity.model_fields_set - set(takes)):
        raise ConfigError(
            f"[{name}] {idle[0]}",
            f"one of the keys {', '.join(takes)}",
            "one that does not act on it",
        )
    known = DEFINITIONS.get(name, ())
    if quantity.definition is not None and quantity.definition not in known:
        raise ConfigError(
            f"[{name}] definition", f"one of {', '.join(known)}", f"'{quantity.definition}'"
        )
    ways = [("error",), ("error_low", "error_high"), ("error_value",), ("low", "high")]
    stated = [keys for keys in ways if any(getattr(quantity, key) is not None for key in keys)]
    if len(stated) > 1:
        both = " and ".join(keys[0] for keys in stated)
        raise ConfigError(f"[{name}]", "one way to state its errors", both)
    if quantity.error_scale is not None and stated != ways[:1] and stated != ways[1:2]:
        raise ConfigError(f"[{name}] error_scale", "columns of errors beside it", "none")
    if (quantity.low is None) != (quantity.high is None):
        raise ConfigError(f"[{name}]", "both bounds, low and high", "one of them")


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that are shipped."""
    return tuple(
        sorted(
            one.name.removesuffix(".toml")
            for one in PRESETS.iterdir()
            if one.name.endswith(".toml")
        )
    )


def read_preset(name: str) -> Mapping:
    """Read a mapping that is shipped.

    Raises:
        ConfigError: If there is none of that name.

    Examples:
        >>> read_preset("psz2").mass.column
        'MSZ'
    """
    if name not in preset_names():
        raise ConfigError(
            f"preset '{name}'",
            f"one of {', '.join(preset_names())}",
            "another name",
            "",
            "or --mapping",
        )
    return _parsed((PRESETS / f"{name}.toml").read_text(encoding="utf-8"), f"preset {name}")


def read_mapping(path: str | Path) -> Mapping:
    """Read a mapping of one's own.

    Raises:
        ConfigError: If it cannot be read, holds a key that is unknown or does not act, maps a
            column twice, or maps no redshift.
    """
    path = Path(path)
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "a readable mapping", str(error)) from error


def _parsed(text: str, where: str) -> Mapping:
    try:
        mapping = Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, "valid TOML", str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(told := first.get("ctx", {}).get("error"), ConfigError):
            raise told.at(where) from error
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"mapping of '{key}'", first["msg"], repr(first["input"]), where
        ) from error
    used = [name for quantity in mapping.quantities.values() for name in quantity.columns]
    if twice := [name for name in used if used.count(name) > 1]:
        raise ConfigError(f"column '{twice[0]}'", "to be mapped once", "mapped twice", where)
    if mapping.redshift is None and mapping.lookback_time is None:
        raise ConfigError(
            "[redshift]", "the column of the redshift", "none", where, "every posterior needs it"
        )
    return mapping
