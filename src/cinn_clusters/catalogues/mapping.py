"""What the columns of a published catalogue mean: a TOML file for each, with presets shipped."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cinn_clusters.catalogues.errors.correlation import (
    ColumnName,
    Correlation,
    demand_correlations,
)
from cinn_clusters.cosmology import HUBBLE_CONSTANT, OMEGA_MATTER
from cinn_clusters.data.error_models.mass_prior import slope_of
from cinn_clusters.documents import parse_toml, read_text, reason
from cinn_clusters.errors import CinnError, ConfigError
from cinn_clusters.files import JsonObject

_PRESETS = files("cinn_clusters.catalogues") / "presets"
_ERROR_WAYS = (
    ("error",),
    ("error_low", "error_high"),
    ("error_value",),
    ("low", "high"),
)
"""Ways to state errors, of which a quantity takes one."""
_ERRORS = tuple(key for way in _ERROR_WAYS for key in way)
_MEASURED = (
    "column",
    "missing",
    "unit",
    "scale",
    "error_scale",
    "error_unit",
    *_ERRORS,
)
_SHIFTED = (*_MEASURED, "offset", "scatter", "source")
_CALIBRATED = (*_SHIFTED, "calibration")
_MASS = (*_SHIFTED, "limit")


class _Rule(NamedTuple):
    """Keys that act on a quantity, and its definitions: known apertures and overdensities."""

    acting: tuple[str, ...]
    definitions: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that act, with the definition where there are any."""
        if not self.definitions:
            return self.acting
        return (*self.acting, "definition")


_RULES = {
    "redshift": _Rule(("column", "missing", *_ERRORS)),
    "lookback_time": _Rule(("column", "missing", "unit")),
    "mass": _Rule((*_CALIBRATED, "limit"), ("500c", "200c", "200m", "vir")),
    "radius": _Rule(_CALIBRATED, ("physical", "comoving")),
    "temperature": _Rule(_CALIBRATED, ("core-excised",)),
    "gas_mass": _Rule(_MASS, ("group", "500c")),
    "stellar_mass": _Rule(_MASS, ("whole", "bcg", "30kpc", "50kpc", "100kpc")),
    "halo_mass": _Rule(_MASS),
    "black_hole_mass": _Rule(_MASS),
}
MASS_SOURCES = ("mass", "radius", "temperature")
"""Quantities that give M500, the first of them that a row has."""
DEFINITIONS = {
    name: rule.definitions for name, rule in _RULES.items() if rule.definitions
}
"""Known apertures and overdensities of each quantity; a radius is that of 500c."""


def _listed(value: Any) -> Any:
    """Take a single mark for a list of one."""
    if isinstance(value, (int, float, str)):
        return [value]
    return value


Marks = Annotated[tuple[float | str, ...], BeforeValidator(_listed)]
"""Values of a file that stand for none."""


MassPriorSlope = Annotated[float | None, BeforeValidator(slope_of)]
"""``sample``, ``flat`` or a slope, as the slope."""


class _Part(BaseModel):
    """A part of a mapping; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedCosmology(_Part):
    """Cosmology in which the published values were derived."""

    H0: float = Field(default=HUBBLE_CONSTANT, gt=20, lt=200, description="km/s/Mpc")
    Om0: float = Field(default=OMEGA_MATTER, gt=0, lt=1)


class Quantity(_Part):
    """One quantity: its column, unit, error columns and definition (see docs/catalogues.md).

    ``low`` and ``high`` are columns of bounds (16 and 84 %); ``error_value``, ``offset`` and
    ``scatter`` are in dex, the latter two of M500 for a mass, a radius and a temperature;
    ``source`` says where they come from. ``missing`` are marks of absence beside those that a column shows; an
    empty list says that it has none at all, and that 0 is a value. ``limit`` is a column that says
    which values are limits. ``error_value`` of a redshift is sigma / (1 + z).
    """

    column: ColumnName
    missing: Marks | None = None
    unit: str | None = None
    scale: Literal["linear", "log10"] | None = None
    error: ColumnName | None = None
    error_low: ColumnName | None = None
    error_high: ColumnName | None = None
    error_scale: Literal["linear", "dex", "relative"] | None = None
    error_unit: str | None = None
    error_value: float | None = Field(default=None, ge=0, le=3)
    low: ColumnName | None = None
    high: ColumnName | None = None
    limit: ColumnName | None = None
    definition: str | None = None
    offset: float | None = Field(default=None, ge=-3, le=3)
    scatter: float | None = Field(default=None, ge=0, le=3)
    source: str | None = None
    calibration: Literal["true", "lensing", "hydrostatic", "sz"] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the file that this uses."""
        names = (
            self.column,
            self.error,
            self.error_low,
            self.error_high,
            self.low,
            self.high,
        )
        return tuple(name for name in names if name)

    @property
    def has_errors(self) -> bool:
        """Whether errors are stated in any way."""
        return any(getattr(self, key) is not None for key in _ERRORS)

    @property
    def shows_marks(self) -> bool:
        """Whether a value may be a mark of absence that nobody names."""
        return self.missing != ()

    @property
    def error_columns(self) -> tuple[str, str] | None:
        """Columns of errors or bounds below and above; one that holds for both stands twice."""
        below = self.error or self.error_low or self.low or self.error_high
        above = self.error or self.error_high or self.high or self.error_low
        if not (below and above):
            return None
        return below, above


class Mapping(_Part):
    """What the columns of a catalogue mean.

    ``read`` holds arguments of ``Table.read``, ``missing`` the marks of absence of all columns,
    ``mass_prior`` d ln N / d ln M of the true masses (None: that of the training clusters).
    """

    name: str = "catalogue"
    reference: str = ""
    tried_on: str = ""
    object_name: ColumnName | None = None
    read: JsonObject | None = None
    missing: Marks = ()
    mass_prior: MassPriorSlope = None
    correlation: tuple[Correlation, ...] = ()
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
            _demand_one_error(name, quantity)
        demand_correlations(self.correlation, list(self.limitable))
        return self

    @property
    def limitable(self) -> dict[str, Quantity]:
        """Mapped quantities whose values may be limits and whose errors may be correlated."""
        quantities = self.quantities.items()
        return {
            name: quantity
            for name, quantity in quantities
            if "limit" in _RULES[name].acting
        }

    def with_mass(
        self, offset: float | None = None, scatter: float | None = None
    ) -> Mapping:
        """Replace the offset and scatter [dex] of whatever gives M500.

        Raises:
            ConfigError: If nothing gives it, or a number is out of range.

        Examples:
            >>> read_preset("psz2").with_mass(offset=0.15).mass.offset
            0.15
        """
        stated = {"offset": offset, "scatter": scatter}
        changes = {name: value for name, value in stated.items() if value is not None}
        masses = [name for name in MASS_SOURCES if name in self.quantities]
        if not masses:
            expected = f"a mapping of one of {', '.join(MASS_SOURCES)}"
            raise ConfigError(f"offset of masses ({self.name})", expected, "none")
        by_hand = {**changes, "source": f"{' and '.join(changes)} set by hand"}
        replaced = {name: _replaced(self.quantities[name], by_hand) for name in masses}
        return self.model_copy(update=replaced)

    @property
    def quantities(self) -> dict[str, Quantity]:
        """Those that are mapped, by name."""
        return {
            name: getattr(self, name)
            for name in _RULES
            if getattr(self, name) is not None
        }


def _replaced(quantity: Quantity, changes: dict[str, Any]) -> Quantity:
    """Replace keys of a quantity, of which each is checked."""
    stated = quantity.model_dump(exclude_unset=True)
    try:
        return Quantity.model_validate({**stated, **changes})
    except ValidationError as error:
        raise _as_config_error(error, "masses of a mapping") from error


def _demand_keys(name: str, quantity: Quantity) -> None:
    """Refuse a key that does not act on the quantity, and an unknown definition."""
    keys, definitions = _RULES[name].keys, _RULES[name].definitions
    idle = sorted(quantity.model_fields_set - set(keys))
    if idle:
        expected = f"one of the keys {', '.join(keys)}"
        raise ConfigError(
            f"[{name}] {idle[0]}", expected, "one that does not act on it"
        )
    definition = quantity.definition
    if definition is not None and definition not in definitions:
        expected = f"one of {', '.join(definitions)}"
        raise ConfigError(f"[{name}] definition", expected, f"'{definition}'")


def _demand_one_error(name: str, quantity: Quantity) -> None:
    """Refuse errors that are stated twice, or in part."""
    stated = [
        keys
        for keys in _ERROR_WAYS
        if any(getattr(quantity, key) is not None for key in keys)
    ]
    if len(stated) > 1:
        got = " and ".join(keys[0] for keys in stated)
        raise ConfigError(f"[{name}]", "one way to state its errors", got)
    has_columns = bool(stated) and stated[0] in _ERROR_WAYS[:2]
    _demand_meaning(name, quantity, has_columns)
    if (quantity.low is None) != (quantity.high is None):
        raise ConfigError(f"[{name}]", "both bounds, low and high", "one of them")


def _demand_meaning(name: str, quantity: Quantity, has_columns: bool) -> None:
    """Refuse a scale or a unit of errors that are in no column, or both for the same."""
    for key in ("error_scale", "error_unit"):
        if getattr(quantity, key) is not None and not has_columns:
            expected = "columns of errors beside it"
            raise ConfigError(f"[{name}] {key}", expected, "none")
    scale = quantity.error_scale
    if quantity.error_unit is not None and scale in ("dex", "relative"):
        expected, got = (
            "one meaning of the errors",
            f"error_scale = '{scale}' beside it",
        )
        raise ConfigError(f"[{name}] error_unit", expected, got)


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that are shipped."""
    names = [file.name for file in _PRESETS.iterdir()]
    return tuple(
        sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    )


def read_preset(name: str) -> Mapping:
    """Read a mapping that is shipped.

    Args:
        name: Name of a published catalogue, such as ``psz2``.

    Returns:
        What its columns mean.

    Raises:
        ConfigError: If there is none of that name.

    Examples:
        >>> read_preset("psz2").mass.column
        'MSZ'
    """
    if name not in preset_names():
        expected = f"one of {', '.join(preset_names())}"
        raise ConfigError(
            f"preset '{name}'", expected, "another name", "", "or --mapping"
        )
    return _parse(
        (_PRESETS / f"{name}.toml").read_text(encoding="utf-8"), f"preset {name}"
    )


def read_mapping(path: str | Path) -> Mapping:
    """Read a mapping of one's own.

    Args:
        path: TOML file, see docs/catalogues.md.

    Returns:
        What the columns of a catalogue mean.

    Raises:
        ConfigError: If it cannot be read, holds a key that is unknown or does not act, maps a
            column twice, or maps no redshift.

    Examples:
        >>> from pathlib import Path
        >>> file = getfixture("tmp_path") / "own.toml"
        >>> _ = file.write_text('[redshift]\\ncolumn = "z"')
        >>> read_mapping(file).redshift.column
        'z'
    """
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(path, "a readable mapping", reason(error)) from error
    return _parse(text, str(path))


def _parse(text: str, where: str) -> Mapping:
    try:
        mapping = Mapping.model_validate(parse_toml(text))
    except ValidationError as error:
        raise _as_config_error(error, where) from error
    except ValueError as error:
        raise ConfigError(where, "valid TOML", reason(error)) from error
    uses = Counter(
        name for quantity in mapping.quantities.values() for name in quantity.columns
    )
    for column, count in uses.most_common(1):
        if count > 1:
            subject = f"column '{column}'"
            raise ConfigError(subject, "to be mapped once", "mapped twice", where)
    if mapping.redshift is None and mapping.lookback_time is None:
        hint = "every posterior needs it"
        raise ConfigError(
            "[redshift]", "the column of the redshift", "none", where, hint
        )
    return mapping


def _as_config_error(error: ValidationError, where: str) -> CinnError:
    first, *_ = error.errors()
    context = first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, ConfigError):
        return cause.at(where)
    key = ".".join(map(str, first["loc"]))
    message, value = first["msg"], repr(first["input"])
    return ConfigError(f"mapping of '{key}'", message, value, where)
