"""What the columns of a table are: one glossary for code, files, plots and reports.

``schema.toml`` describes that of the TNG-Cluster table, the default; a table of another simulation
brings its own (``data.declared.read_schema``).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

KEYS = ("HaloID", "Snapshot")
"""Keys of a row in a run, whatever a simulator's files call them."""
PROJECTION = "Projection"
"""Number of the direction from which a cluster was seen, where a row has several views."""
NO_PROJECTION = -1
"""``Projection`` of a row without a map."""
NO_KEY = "none"
"""Given instead of the name of a key column that the files do not have."""
ROW_KEYS = (*KEYS, PROJECTION)
CLUSTER_COLUMN = "HaloOrigID"
LOOKBACK = "lookback_time_Gyr"
MASS = "Group_M_Crit500"
RADIUS = "Group_R_Crit500"
COLLISION_TIME = "last_T_coll"
COLLISION_MASS = "last_M_Crit500_coll"
ERROR_PREFIX = "sigma_"
"""Before the name of an observable: its standard error, in dex for logarithms and positive
quantities."""
EMBEDDING = "embedding"
"""What the columns of an image embedding are called, before their number: ``embedding_000``, ..."""

Bijection = Literal["identity", "logit", "age"]
Role = Literal["mass", "radius", "time", "redshift", "collision_time", "mass_ratio"]
INFINITE = (-math.inf, math.inf)
LOG_FLOOR = 1e-12
"""Share of the upper bound that stands for the lower one where a logarithm is bounded by zero."""
_TEX_UNITS = {
    "log10": r"$\log_{10}$",
    "1e10": "$10^{10}$",
    "1e14": "$10^{14}$",
    "Msun": r"M$_\odot$",
    "cm-3": "cm$^{-3}$",
    "cm2": "cm$^2$",
}


@dataclass(frozen=True)
class Column:
    """One column of a table; ``schema.toml`` says what each field means.

    Examples:
        >>> Column("ratio", r"\\xi", "", bounds=(0.0, 1.0), bijection="logit").label
        '$\\\\xi$'
    """

    name: str
    symbol: str = ""
    unit: str = ""
    meaning: str = ""
    bounds: tuple[float, float] = INFINITE
    typical: tuple[float, float] = INFINITE
    is_log: bool = False
    floor: float = 0.0
    relative_to: str | None = None
    missing_mark: float | None = None
    absent_means: str | None = None
    score_scale: float | None = None
    bijection: Bijection = "identity"
    anchor: str | None = None
    anchor_unit: float = 0.0
    record_begin: float = 0.0
    resolution: float = 0.0
    at_most: str | None = None
    at_most_times: float = 1.0
    role: Role | None = None
    group: str | None = None
    caution: str = ""
    ucd: str = ""

    @property
    def label(self) -> str:
        r"""Axis label with symbol and unit in TeX, e.g. ``$d_\mathrm{peri}$ [$\log_{10}$ kpc]``."""
        symbol = self.name
        if self.symbol:
            symbol = f"${self.symbol}$"
        if not self.unit:
            return symbol
        return f"{symbol} [{tex_unit(self.unit)}]"

    @property
    def is_bounded(self) -> bool:
        """Whether the column has a bound, so that a value can be unphysical."""
        is_related = self.at_most is not None
        return self.bounds != INFINITE or self.bijection == "age" or is_related

    def mapped(self) -> Column:
        """Return the column with the bijection that its bounds call for, unless it has one."""
        lower, upper = self.bounds
        is_free = self.bijection != "identity" or self.floor > 0
        if is_free or not (math.isfinite(lower) and math.isfinite(upper)):
            return self
        if self.is_log and lower <= 0:  # a logarithm has no zero
            lower = upper * LOG_FLOOR
        return replace(self, bounds=(lower, upper), bijection="logit")


@dataclass(frozen=True)
class Keys:
    """Names of the key columns in a simulator's files.

    Args:
        halo: Column that numbers the haloes of a snapshot; None: rows are numbered.
        snapshot: Column of the snapshot; None: every row is of one snapshot, number 0.
        cluster: Column that tells which rows are one cluster; None: every halo is a cluster.
    """

    halo: str | None = KEYS[0]
    snapshot: str | None = KEYS[1]
    cluster: str | None = CLUSTER_COLUMN

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Columns that identify a row, of those that the files have."""
        return tuple(name for name in (self.halo, self.snapshot) if name)

    @property
    def names(self) -> tuple[str, ...]:
        """All that the files have."""
        return tuple(filter(None, (*self.row_keys, self.cluster)))


@dataclass(frozen=True)
class Schema:
    """The columns of a simulator's table, a value that catalogues, transforms and models carry.

    Args:
        columns: All that are described; others have no unit and no bounds.
        keys: Names of the key columns.
        observables: Columns of x unless others are chosen.
        targets: Columns of theta unless others are chosen.

    Examples:
        >>> DEFAULT.column("last_d_peri").unit
        'log10 kpc'
    """

    columns: tuple[Column, ...] = field(repr=False)
    keys: Keys = Keys()
    observables: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @cached_property
    def _by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def column(self, name: str) -> Column:
        """Return what is described of a column; an unknown one has no unit and no bounds."""
        return self._by_name.get(name) or Column(name)

    def having(self, role: Role) -> str | None:
        """Return the name of the column with a role."""
        return next(
            (column.name for column in self.columns if column.role == role), None
        )

    @property
    def time(self) -> str | None:
        """Column of the lookback time at observation [Gyr], given or made from the redshift."""
        return self.having("time")

    @property
    def mass(self) -> str | None:
        """Column of the mass that references are conditioned on, in log10."""
        return self.having("mass")

    @property
    def radius(self) -> str | None:
        """Column of R500c [log10 comoving kpc], a function of mass and time."""
        return self.having("radius")

    @property
    def collision_time(self) -> str | None:
        """Column of the cosmic age at the collision [Gyr]."""
        return self.having("collision_time")

    @property
    def mass_ratio(self) -> str | None:
        """Column of the mass of the subcluster over that of the main cluster."""
        return self.having("mass_ratio")

    @property
    def bounded_time(self) -> str | None:
        """The same where the age at observation bounds it, so that the time since has a meaning."""
        name = self.collision_time
        if name is None or self.column(name).bijection != "age":
            return None
        return name

    def bounded(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns with declared bounds: a value of another cannot be unphysical.

        Examples:
            >>> DEFAULT.bounded(["last_d_peri", "my_own"])
            ('last_d_peri',)
        """
        return tuple(name for name in names if self.column(name).is_bounded)

    def choose(
        self,
        observables: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        **keys: str | None,
    ) -> Schema:
        """Return the schema with other columns of x and theta, or other key columns.

        Args:
            observables: Columns of x; None: as they are.
            targets: Columns of theta; None: as they are.
            **keys: ``halo``, ``snapshot`` or ``cluster``: a column, ``"none"`` where the files have
                none, or None to leave it as it is.
        """
        named = named_keys({key: name for key, name in keys.items() if name})
        schema = replace(self, keys=replace(self.keys, **named))
        if observables is not None:
            schema = replace(schema, observables=tuple(observables))
        if targets is not None:
            schema = replace(schema, targets=tuple(targets))
        return schema

    def grouped(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Put observables into groups of the same information; an embedding is one group.

        Examples:
            >>> DEFAULT.grouped(["Group_M_Crit500", "mine", "Group_R_Crit500", "embedding_0"])
            {'mass and radius': ('Group_M_Crit500', 'Group_R_Crit500'), 'mine': ('mine',),
             'embedding': ('embedding_0',)}
        """
        members: dict[str, tuple[str, ...]] = {}
        for name in names:
            group = self.column(name).group or name
            if is_embedding(name):
                group = EMBEDDING
            members[group] = (*members.get(group, ()), name)
        return members

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: keys, choice, and the columns that the default schema has not."""
        return {
            "keys": asdict(self.keys),
            "observables": list(self.observables),
            "targets": list(self.targets),
            "columns": {
                c.name: _plain(c) for c in self.columns if c not in DEFAULT.columns
            },
        }


def named_keys(keys: Mapping[str, str | None]) -> dict[str, str | None]:
    """Key columns by kind; None stands for one that the files do not have."""
    return {key: (name, None)[name == NO_KEY] for key, name in keys.items()}


def _plain(column: Column) -> dict[str, Any]:
    """The fields of a column that are not at their default; infinite bounds are None."""
    values = {
        entry.name: getattr(column, entry.name)
        for entry in fields(column)
        if entry.name != "name" and getattr(column, entry.name) != entry.default
    }
    if values.pop("is_log", False):
        values["log"] = True
    for name in {"bounds", "typical"} & set(values):
        values[name] = [end if math.isfinite(end) else None for end in values[name]]
    return values


def _default() -> Schema:
    """Read ``schema.toml``, which is right by its tests."""
    path = Path(__file__).with_name("schema.toml")
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    columns = [_described(name, entry) for name, entry in document["columns"].items()]
    keys = Keys(**document["keys"])
    observables = tuple(document["observables"])
    targets = tuple(document["targets"])
    return Schema(tuple(columns), keys, observables, targets)


def _described(name: str, entry: dict[str, Any]) -> Column:
    is_log = entry.pop("log", False)
    for key in {"bounds", "typical"} & set(entry):
        entry[key] = tuple(entry[key])
    column = Column(name, is_log=is_log, **entry)
    return column.mapped()


DEFAULT = _default()
"""The schema of the TNG-Cluster table."""
DEFAULT_OBSERVABLES = DEFAULT.observables
DEFAULT_TARGETS = DEFAULT.targets
GROUPS = frozenset(column.group for column in DEFAULT.columns if column.group)
BLACK_HOLE_SEED = DEFAULT.column("bcg_SubhaloBHMass").floor
"""Mass of a seeded black hole in TNG [1e10 Msun/h] (Weinberger+17, arXiv:1607.03486)."""
TIME_RESOLUTION = DEFAULT.column(COLLISION_TIME).resolution
"""Spacing of the snapshots around a collision [Gyr]: last_T_coll is known no better."""


def column(name: str, schema: Schema | None = None) -> Column:
    """Return what is described of a column; an unknown name gives an unbounded column without unit.

    Examples:
        >>> column("last_d_peri").unit
        'log10 kpc'
        >>> column("my_own").bijection
        'identity'
    """
    return (schema or DEFAULT).column(name)


def is_embedding(name: str) -> bool:
    """Whether a column is one of an image embedding.

    Examples:
        >>> is_embedding("embedding_012"), is_embedding("Group_M_Crit500")
        (True, False)
    """
    return name.startswith(f"{EMBEDDING}_")


def tex_unit(unit: str) -> str:
    r"""Write a unit of this glossary for an axis.

    Examples:
        >>> tex_unit("1e14 Msun")
        '$10^{14}$ M$_\\odot$'
    """
    for plain, tex in _TEX_UNITS.items():
        unit = unit.replace(plain, tex)
    return unit


def fits_unit(unit: str) -> str | None:
    """Write a unit of this glossary as astropy and the FITS standard do; None where there is none.

    Examples:
        >>> fits_unit("log10 kpc"), fits_unit("1e14 Msun"), fits_unit("log10 comoving kpc")
        ('dex(kpc)', '1e14 solMass', 'dex(kpc)')
    """
    if not unit or unit in ("log10", "simulation unit"):
        return None
    plain = unit.replace("comoving ", "").replace("Msun/h", "Msun littleh-1")
    plain = (
        plain.replace("Msun", "solMass")
        .replace("cm2", "cm^2")
        .replace("littleh-1", "littleh^-1")
    )
    return (
        f"dex({plain.removeprefix('log10 ')})" if plain.startswith("log10 ") else plain
    )
