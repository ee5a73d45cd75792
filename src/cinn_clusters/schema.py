"""Every column of the catalogue: name, symbol, unit, bounds. The one glossary of code, files, plots and reports.

Units were checked on the TNG-Cluster table (Nelson+24; mergers of Lee+24). Names stand as in the
files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

KEYS = ("HaloID", "Snapshot")
PROJECTION = "Projection"
"""Number of the side from which a cluster was seen, where a table holds several views of a row."""
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
TIME_RESOLUTION = 0.15
"""Spacing of the snapshots around a collision [Gyr]: last_T_coll is known no better."""

BLACK_HOLE_SEED = 8e-5
"""Mass of a seeded black hole in TNG [1e10 Msun/h] (Weinberger+17, arXiv:1607.03486)."""

Bijection = Literal["identity", "logit", "age"]
INFINITE = (-math.inf, math.inf)


@dataclass(frozen=True)
class Column:
    """One column of a catalogue.

    Args:
        name: Name in the files.
        symbol: TeX symbol for labels, without dollar signs.
        unit: Unit of the values as they stand in the file (``log10 Msun`` means the value is a
            logarithm).
        meaning: One line for people.
        bounds: Hard limits; a value outside them cannot be right in this unit.
        typical: Limits within which the median of a whole table lies; a median outside tells of a
            wrong unit.
        is_log: The quantity is positive and better described by its logarithm (its file values are
            linear).
        floor: Smallest value that is told apart, for a logarithm of a quantity that can be zero.
        relative_to: Column whose value is subtracted before scaling: ratios to M500 carry more than
            raw masses.
        missing_mark: Value that means "not measured".
        score_scale: Unit of CRPS and energy score: the standard deviation over the labelled
            TNG-Cluster rows, fixed so that scores compare; None where there is none.
        bijection: How a target reaches the real line: ``logit`` between its bounds, ``age`` for a
            cosmic age that lies between 0 and the age at observation, or ``identity``.
        anchor: Observable in log10 from whose value a target is measured: the mass at a collision
            from that today.
        anchor_unit: log10 of the target's unit in that of the anchor.
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
    score_scale: float | None = None
    bijection: Bijection = "identity"
    anchor: str | None = None
    anchor_unit: float = 0.0

    @property
    def label(self) -> str:
        r"""Axis label with symbol and unit in TeX, e.g. ``$d_\mathrm{peri}$ [$\log_{10}$ kpc]``."""
        symbol = f"${self.symbol}$" if self.symbol else self.name
        return f"{symbol} [{tex_unit(self.unit)}]" if self.unit else symbol


def tex_unit(unit: str) -> str:
    r"""Write a unit of this glossary for an axis.

    Examples:
        >>> tex_unit("1e14 Msun")
        '$10^{14}$ M$_\\odot$'
    """
    for plain, tex in UNITS_IN_TEX.items():
        unit = unit.replace(plain, tex)
    return unit


UNITS_IN_TEX = {
    "log10": r"$\log_{10}$",
    "1e10": "$10^{10}$",
    "1e14": "$10^{14}$",
    "Msun": r"M$_\odot$",
    "cm-3": "cm$^{-3}$",
    "cm2": "cm$^2$",
}


OBSERVABLES = (
    Column(
        "bcg_SubhaloBHMass",
        r"M_\mathrm{BH}",
        "1e10 Msun/h",
        "black-hole mass of the brightest galaxy, linear",
        bounds=(0.0, 30.0),
        typical=(0.04, 2.5),
        is_log=True,
        floor=BLACK_HOLE_SEED,
    ),
    Column(
        "bcg_SubhaloMass",
        r"M_\mathrm{sub,BCG}",
        "log10 Msun",
        "mass of the whole central subhalo",
        bounds=(10.0, 17.0),
        typical=(-0.45, 0.75),
        relative_to=MASS,
    ),
    Column(
        "bcg_StellarMass",
        r"M_{\star,\mathrm{BCG}}",
        "log10 Msun",
        "stars of the whole central subhalo, intracluster light included",
        bounds=(8.0, 15.5),
        typical=(-2.75, -1.15),
        relative_to=MASS,
    ),
    Column(
        MASS,
        r"M_{500\mathrm{c}}",
        "log10 Msun",
        "mass within R500c",
        bounds=(11.0, 17.0),
        typical=(13.0, 15.2),
    ),
    Column(
        RADIUS,
        r"R_{500\mathrm{c}}",
        "log10 comoving kpc",
        "comoving radius of 500 times the critical density",
        bounds=(2.2, 3.9),
        typical=(2.6, 3.5),
    ),
    Column(
        "GroupGasMass",
        r"M_\mathrm{gas}",
        "log10 Msun",
        "gas of the whole friends-of-friends group",
        bounds=(9.0, 17.0),
        typical=(-1.4, 0.1),
        relative_to=MASS,
    ),
    Column(
        LOOKBACK,
        r"t_\mathrm{L}",
        "Gyr",
        "lookback time of the observation",
        bounds=(0.0, 13.2),
        typical=(0.0, 12.0),
    ),
)
"""The seven default observables."""

TARGETS = (
    Column(
        COLLISION_TIME,
        r"T_\mathrm{coll}",
        "Gyr",
        "cosmic age at the last collision",
        bounds=(0.0, 13.9),
        typical=(1.5, 13.6),
        score_scale=2.309,
        bijection="age",
    ),
    Column(
        "last_V_coll",
        r"V_\mathrm{coll}",
        "log10 km/s",
        "relative speed at the last collision",
        bounds=(0.0, math.log10(299792.458)),
        typical=(2.6, 3.9),
        score_scale=0.1479,
        bijection="logit",
    ),
    Column(
        COLLISION_MASS,
        r"M_{500,\mathrm{coll}}",
        "1e14 Msun",
        "M500c at the last collision",
        bounds=(1e-4, 1e3),
        typical=(0.4, 15.0),
        score_scale=2.684,
        is_log=True,
        missing_mark=-1.0,
        bijection="logit",
        anchor=MASS,
        anchor_unit=14.0,
    ),
    Column(
        "last_Subcluster_mass",
        r"M_\mathrm{sub}",
        "1e14 Msun",
        "mass of the subcluster",
        bounds=(1e-4, 1e3),
        typical=(0.04, 1.5),
        score_scale=0.3668,
        is_log=True,
        bijection="logit",
    ),
    Column(
        "last_Mass_ratio",
        r"\xi",
        "",
        "mass of the subcluster over that of the main cluster",
        bounds=(0.0, 1.0),
        typical=(0.02, 0.8),
        score_scale=0.2399,
        bijection="logit",
    ),
    Column(
        "last_d_peri",
        r"d_\mathrm{peri}",
        "log10 kpc",
        "pericentre distance",
        bounds=(-3.0, 5.0),
        typical=(1.5, 3.2),
        score_scale=0.3309,
        bijection="logit",
    ),
)
"""The six default targets; they describe the last collision before the observation."""

EXTRA_OBSERVABLES = (
    Column(
        "centralCoolingTime",
        r"t_\mathrm{cool,0}",
        "Gyr",
        "central cooling time",
        bounds=(0.0, 1e3),
        is_log=True,
    ),
    Column(
        "centralNumDens",
        r"n_{e,0}",
        "cm-3",
        "central electron density",
        bounds=(0.0, 1e3),
        is_log=True,
    ),
    Column("slopeNumDens", r"\alpha_n", "", "slope of the electron density at the core"),
    Column(
        "concentrationPhys",
        r"C_\mathrm{phys}",
        "",
        "X-ray concentration, 40 to 400 kpc",
        bounds=(0.0, 1.0),
    ),
    Column(
        "concentrationScaled",
        r"C_\mathrm{scaled}",
        "",
        "X-ray concentration in R500",
        bounds=(0.0, 1.0),
    ),
    Column("centralEntropy", r"K_0", "keV cm2", "central entropy", bounds=(0.0, 1e5), is_log=True),
    Column("bcg_subhaloID", "", "", "number of the central subhalo in its snapshot"),
    Column(
        "bcg_SubhaloBHMdot",
        r"\dot M_\mathrm{BH}",
        "simulation unit",
        "accretion rate of the black hole",
    ),
    Column(
        "bcg_SubhaloSFR",
        r"\mathrm{SFR}_\mathrm{BCG}",
        "Msun/yr",
        "star formation rate of the central subhalo",
    ),
    Column(
        "bcg_SubhaloSFRinHalfRad",
        r"\mathrm{SFR}_{1/2}",
        "Msun/yr",
        "the same within the half-mass radius",
    ),
    Column("bcg_mass_ratio", "", "", "central subhalo over the next most massive one"),
    Column("GroupGasMetallicity", r"Z_\mathrm{gas}", "log10", "gas metallicity of the group"),
    Column("GroupStarMetallicity", r"Z_\star", "log10", "stellar metallicity of the group"),
    Column("GroupSFR", r"\mathrm{SFR}", "Msun/yr", "star formation rate of the group"),
    *(
        Column(f"GroupVel_{axis}", f"v_{axis}", "km/s", "peculiar velocity of the group")
        for axis in "xyz"
    ),
    Column("GroupVel_magnitude", "v", "km/s", "peculiar speed of the group"),
    Column(
        "GroupBHMass", r"M_\mathrm{BH,group}", "simulation unit", "all black holes of the group"
    ),
    Column("GroupBHMdot", r"\dot M_\mathrm{BH,group}", "simulation unit", "their accretion rate"),
    *(
        Column(f"Offset_{axis}", rf"\Delta_{axis}", "", "offset of gas and potential centre")
        for axis in "xyz"
    ),
    Column("Offset_magnitude", r"\Delta", "", "size of the offset of gas and potential centre"),
    *(
        Column(
            f"GasMetalFrac_{element}",
            f"f_\\mathrm{{{element}}}",
            "log10",
            f"gas mass fraction of {element}",
        )
        for element in ("H", "He", "C", "N", "O", "Ne", "Mg", "Si", "Fe", "total")
    ),
    Column("redshift", "z", "", "redshift of the snapshot", bounds=(0.0, 20.0)),
)
MARKED = (COLLISION_MASS, "last_Mass_ratio")
"""Targets whose means average missing-value marks in: these means lie outside the bounds, so
that none are kept."""


def _mean(target: Column) -> Column:
    name, meaning = (
        target.name.replace("last_", "mean_"),
        f"mean over all collisions: {target.meaning}",
    )
    if target.name in MARKED:
        return Column(name, "", target.unit, meaning)
    kept = {"bounds": target.bounds, "is_log": target.is_log, "bijection": target.bijection}
    return replace(Column(name, "", target.unit, meaning), **kept)  # type: ignore[arg-type]


EXTRA_TARGETS = tuple(_mean(target) for target in TARGETS)
"""Means over all collisions; some average the -1 marks in, so they are not targets by default."""


def _kept_inside(column: Column) -> Column:
    """Let a column of two finite bounds keep to them where it is made a target."""
    lower, upper = column.bounds
    if column.floor or not (math.isfinite(lower) and math.isfinite(upper)):
        return column
    lower = upper * 1e-12 if column.is_log and lower <= 0 else lower  # a logarithm has no zero
    return replace(column, bounds=(lower, upper), bijection="logit")


COLUMNS = {
    column.name: column
    for column in (*map(_kept_inside, (*OBSERVABLES, *EXTRA_OBSERVABLES)), *TARGETS)
}
COLUMNS |= {column.name: column for column in EXTRA_TARGETS}
DEFAULT_OBSERVABLES = tuple(column.name for column in OBSERVABLES)
DEFAULT_TARGETS = tuple(column.name for column in TARGETS)


GROUPS = {
    "mass and radius": (MASS, RADIUS),
    "central galaxy": ("bcg_SubhaloBHMass", "bcg_SubhaloMass", "bcg_StellarMass"),
    "gas": ("GroupGasMass",),
    "time": (LOOKBACK,),
}
"""Observables that tell of the same thing; the radius is a function of mass and time, and only
theirs."""
EMBEDDING = "embedding"
"""What the columns of an image embedding are called, before their number: ``embedding_000``, ..."""


def is_embedding(name: str) -> bool:
    """Whether a column is one of an image embedding.

    Examples:
        >>> is_embedding("embedding_012"), is_embedding("Group_M_Crit500")
        (True, False)
    """
    return name.startswith(f"{EMBEDDING}_")


def grouped(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Put observables into the groups above; an embedding is one group, any other column one of its own.

    Examples:
        >>> grouped(["Group_M_Crit500", "mine", "Group_R_Crit500", "embedding_0", "embedding_1"])["embedding"]
        ('embedding_0', 'embedding_1')
    """
    home = {member: group for group, members in GROUPS.items() for member in members}
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        group = EMBEDDING if is_embedding(name) else home.get(name, name)
        found[group] = (*found.get(group, ()), name)
    return found


def column(name: str) -> Column:
    """Return what is known of a column; an unknown name gives an unbounded column without unit.

    Examples:
        >>> column("last_d_peri").unit
        'log10 kpc'
        >>> column("my_own").bijection
        'identity'
    """
    return COLUMNS.get(name, Column(name))


def fits_unit(unit: str) -> str | None:
    """Write a unit of this glossary as astropy and the FITS standard do; None where there is none.

    Examples:
        >>> fits_unit("log10 kpc"), fits_unit("1e14 Msun"), fits_unit("log10 comoving kpc")
        ('dex(kpc)', '1e14 solMass', 'dex(kpc)')
    """
    if not unit or unit in ("log10", "simulation unit"):
        return None
    plain = (
        unit.replace("comoving ", "").replace("Msun/h", "Msun littleh-1").replace("Msun", "solMass")
    )
    plain = plain.replace("cm2", "cm^2").replace("littleh-1", "littleh^-1")
    return f"dex({plain.removeprefix('log10 ')})" if plain.startswith("log10 ") else plain
