"""The glossary agrees with science.md and with itself."""

from __future__ import annotations

import re
import runpy

import pytest
from astropy import units
from astropy.cosmology import units as cosmology_units

from cinn_clusters import schema
from support import SHARED

ALL = list(schema.DEFAULT.columns)


def test_defaults_are_the_seven_and_the_six() -> None:
    assert schema.DEFAULT_OBSERVABLES == (
        "bcg_SubhaloBHMass",
        "bcg_SubhaloMass",
        "bcg_StellarMass",
        "Group_M_Crit500",
        "Group_R_Crit500",
        "GroupGasMass",
        "lookback_time_Gyr",
    )
    assert schema.DEFAULT_TARGETS == (
        "last_T_coll",
        "last_V_coll",
        "last_M_Crit500_coll",
        "last_Subcluster_mass",
        "last_Mass_ratio",
        "last_d_peri",
    )


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("bcg_SubhaloBHMass", "1e10 Msun/h"),
        ("Group_M_Crit500", "log10 Msun"),
        ("Group_R_Crit500", "log10 comoving kpc"),
        ("lookback_time_Gyr", "Gyr"),
        ("last_T_coll", "Gyr"),
        ("last_V_coll", "log10 km/s"),
        ("last_M_Crit500_coll", "1e14 Msun"),
        ("last_Subcluster_mass", "1e14 Msun"),
        ("last_Mass_ratio", ""),
        ("last_d_peri", "log10 kpc"),
    ],
)
def test_units_are_those_of_the_files(name: str, unit: str) -> None:
    assert schema.column(name).unit == unit


def test_names_are_unique() -> None:
    assert len({column.name for column in ALL}) == len(ALL)


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_columns_are_consistent(column: schema.Column) -> None:
    assert column.bounds[0] < column.bounds[1]
    assert column.typical[0] < column.typical[1]
    assert column.relative_to is None or column.relative_to in schema.DEFAULT
    assert (
        column.missing_mark is None
        or not column.bounds[0] <= column.missing_mark <= column.bounds[1]
    )
    assert not (column.is_log and column.unit.startswith("log10")), (
        "no logarithm of a logarithm"
    )
    assert column.bijection != "logit" or all(
        abs(bound) < 1e6 for bound in column.bounds
    )
    assert len(re.findall(r"[{}]", column.symbol)) % 2 == 0


def test_only_the_collision_mass_has_a_mark() -> None:
    assert [column.name for column in ALL if column.missing_mark is not None] == [
        "last_M_Crit500_coll"
    ]


def test_scales_are_those_of_the_independent_script() -> None:
    if not (SHARED / "score.py").is_file():
        pytest.skip(
            f"needs the scorer: no {SHARED}/score.py (set CINN_CLUSTERS_SHARED)"
        )
    scales = runpy.run_path(str(SHARED / "score.py"))["SCALES"]
    assert {
        name: schema.column(name).score_scale for name in schema.DEFAULT_TARGETS
    } == scales


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_units_are_understood_by_astropy(column: schema.Column) -> None:
    unit = schema.fits_unit(column.unit)
    if unit is None:
        assert column.unit in ("", "log10", "simulation unit")
        return
    with units.add_enabled_units(cosmology_units):
        parsed = units.Unit(unit)
    assert isinstance(parsed, units.DexUnit) == column.unit.startswith("log10")


def test_an_unknown_column_is_unbounded() -> None:
    assert schema.column("mine") == schema.Column("mine")
    assert schema.column("mine").label == "mine"
    assert schema.column("last_d_peri").label == r"$d_\mathrm{peri}$ [$\log_{10}$ kpc]"
    assert schema.column("last_Mass_ratio").label == r"$\xi$"


def test_columns_of_two_bounds_keep_to_them_as_targets() -> None:
    for name in (
        "concentrationPhys",
        "redshift",
        "mean_V_coll",
        "mean_Subcluster_mass",
        "Group_M_Crit500",
    ):
        known = schema.column(name)
        assert known.bijection == "logit", name
        assert not known.is_log or known.bounds[0] > 0, "a logarithm has no zero"
    assert schema.column("mean_T_coll").bijection == "age"


def test_means_of_marked_targets_are_free() -> None:
    """They average -1 marks in: the table holds a mean mass ratio of -0.156."""
    for name in ("mean_Mass_ratio", "mean_M_Crit500_coll"):
        assert schema.column(name).bijection == "identity"
        assert schema.column(name).bounds == schema.INFINITE
