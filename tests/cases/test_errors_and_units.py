"""Errors in another unit, of none, or of the wrong kind; little h and units as people write them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.by_name import read_by_name
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import Mapping, read_mapping
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.cosmology import HUBBLE_H
from cinn_clusters.errors import ConfigError, DataError
from support import Command

MASS = schema.MASS
VALUES = np.array([4.0, 5.0, 8.0, 3.0])
TENTH = 0.1 / np.log(10.0)


def converted(
    columns: dict[str, object], units: dict[str, str] | None = None, **mass: object
) -> ConvertedCatalogue:
    """Convert four clusters whose masses stand in 1e14 Msun unless said otherwise."""
    columns = {"z": [0.1, 0.2, 0.3, 0.4], "m": VALUES, **columns}
    table = Table(columns, units=units)
    quantity = {"column": "m", "unit": "1e14 Msun", **mass}
    mapping = {"redshift": {"column": "z"}, "mass": quantity}
    return convert(table, Mapping.model_validate(mapping))


def test_case_32b_an_error_of_zero_is_none_beside_others() -> None:
    found = converted({"e": [0.4, 0.0, 0.8, 0.3]}, error="e")
    np.testing.assert_allclose(found.errors[MASS], TENTH)
    assert list(found.reasons) == [1]
    assert any("e: 0 in 1 of 4 errors stands for none" in line for line in found.log)
    exact = converted({"e": [0.4, 0.0, 0.8, 0.3]}, error="e", missing=[])
    assert exact.errors[MASS][1] == 0.0


def test_errors_that_are_all_zero_are_told() -> None:
    found = converted({"e": [0.0] * 4}, error="e")
    assert not found.errors[MASS].any()
    assert "e: 0 in every row, values are taken as exact" in found.log


@pytest.mark.parametrize("mark", [-1.0, -99.0, 0.0, np.nan])
def test_case_33c_a_lower_error_that_is_one_mark_is_none(mark: float) -> None:
    upper = {"f": VALUES * np.array([0.1, 0.2, 0.1, 0.2])}
    found = converted({"e": [mark] * 4, **upper}, error_low="e", error_high="f")
    only = converted(upper, error_high="f")
    np.testing.assert_array_equal(found.two_sided[MASS], only.two_sided[MASS])
    assert "e: no row has an error: those of f were taken for both" in found.log
    assert not found.reasons


def test_lower_errors_that_carry_a_sign() -> None:
    upper = [0.4, 0.5, 0.8, 0.3]
    minus = {"e": np.negative(upper), "f": upper}
    plus = {"e": upper, "f": upper}
    keys = {"error_low": "e", "error_high": "f"}
    signed, plain = converted(minus, **keys), converted(plus, **keys)
    np.testing.assert_array_equal(signed.two_sided[MASS], plain.two_sided[MASS])
    ones = converted({"e": [-1.0] * 4, "f": [1.0] * 4}, **keys)
    np.testing.assert_allclose(ones.two_sided[MASS][0], -np.log10(1.0 - 1.0 / VALUES))
    marked = converted({"e": [-0.4, -99.0, -0.8, -0.3], "f": upper}, **keys)
    assert marked.two_sided[MASS][0, 1] == pytest.approx(np.log10(1.1))


def test_case_33f_a_side_of_zero_is_not_stated() -> None:
    columns = {"e": [0.0, 0.5, 0.8, 0.3], "f": [0.4, 0.5, 0.8, 0.3]}
    found = converted(columns, error_low="e", error_high="f")
    assert found.two_sided[MASS][0, 0] == pytest.approx(np.log10(1.1))
    assert found.reasons == {0: ["e: error missing: the other side's was taken"]}


SMALL = r"errors 'e' of 'm': expected a median between 0.0001 and 2 of the value; got 1e-15; .*error_unit"


def test_case_q2b_errors_in_another_unit_than_their_values() -> None:
    """0.5 beside 5e14 Msun is no error of 0.5 Msun."""
    msun = {"m": VALUES * 1e14, "e": VALUES * 0.1}
    for units, unit in (({"m": "Msun"}, {"unit": None}), (None, {"unit": "Msun"})):
        with pytest.raises(DataError, match=SMALL):
            converted(msun, units, error="e", **unit)
    found = converted(msun, unit="Msun", error="e", error_unit="1e14 Msun")
    np.testing.assert_allclose(found.errors[MASS], TENTH)


def test_case_q2b_linear_errors_of_a_logarithm() -> None:
    logs = {"m": 14.0 + np.log10(VALUES), "e": VALUES * 0.1}
    keys = {"unit": "Msun", "scale": "log10", "error": "e"}
    with pytest.raises(DataError, match="expected error_unit beside error_scale"):
        converted(logs, **keys, error_scale="linear")
    found = converted(logs, **keys, error_unit="1e14 Msun")
    np.testing.assert_allclose(found.errors[MASS], TENTH)
    with pytest.raises(DataError, match=r"between 0.0001 and 2 dex; got 4.5e\+13"):
        converted({**logs, "e": VALUES * 1e13}, **keys)
    in_file = converted({**logs, "e": VALUES * 1e13}, {"e": "Msun"}, **keys)
    np.testing.assert_allclose(in_file.errors[MASS], TENTH)


@pytest.mark.parametrize(
    ("factor", "keys", "is_read"),
    [
        (10.0, {}, False),  # percent
        (10.0, {"error_unit": "%"}, True),
        (0.1, {"error_scale": "relative"}, True),
        (4.342944819, {"error_unit": "%", "error_scale": "linear"}, True),
        (1e13, {}, False),  # Msun
        (1e13, {"error_unit": "Msun"}, True),
        (1e25, {}, False),  # a variance
    ],
)
def test_the_unit_of_errors_is_asked_where_they_are_absurd(
    factor: float, keys: dict[str, str], is_read: bool
) -> None:
    error = np.full(4, factor)
    if keys.get("error_unit") == "Msun" or not keys:
        error = factor * VALUES
    if not is_read:
        with pytest.raises(DataError, match="errors 'e' of 'm': expected a median"):
            converted({"e": error}, error="e", **keys)
        return
    found = converted({"e": error}, error="e", **keys)
    expected = error[0] / 100.0 if keys.get("error_unit") == "%" else 0.1
    np.testing.assert_allclose(found.errors[MASS], expected / np.log(10.0))


@pytest.mark.parametrize(
    ("columns", "keys", "told"),
    [
        (
            (1.2, 0.9),
            ("low", "high"),
            "low below high; got a above b in 4 of 4 rows; swap",
        ),
        ((0.1, 0.2), ("low", "high"), "map them as error_low and error_high"),
        ((0.9, 1.2), ("error_low", "error_high"), "bounds around m in 4 of 4 rows"),
        ((1.0, 1.0), ("low", "high"), None),
    ],
)
def test_bounds_and_errors_are_told_apart(
    columns: tuple[float, float], keys: tuple[str, str], told: str | None
) -> None:
    table = {"a": VALUES * columns[0], "b": VALUES * columns[1]}
    mapped = dict(zip(keys, ("a", "b"), strict=True))
    if told is None:
        assert not converted(table, **mapped).errors[MASS].any()
        return
    with pytest.raises(DataError, match=told):
        converted(table, **mapped)


def test_negative_errors_are_wrong() -> None:
    found = converted({"e": [0.4, -0.5, 0.8, 0.3]}, error="e")
    assert found.reasons[1][0].startswith("e: expected an error of at least 0")
    np.testing.assert_allclose(found.errors[MASS], TENTH)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("error_value = 10.0", "mass.error_value"),
        ("error_unit = 'dex'", r"\[mass\] error_unit: expected columns of errors"),
        (
            "error = 'e'\nerror_unit = '%'\nerror_scale = 'dex'",
            "one meaning of the errors",
        ),
    ],
)
def test_keys_of_errors_that_make_no_sense(
    tmp_path: Path, lines: str, told: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\n{lines}\n')
    with pytest.raises(ConfigError, match=told):
        read_mapping(path)


def test_case_q2b_on_the_command_line(tmp_path: Path, command: Command) -> None:
    table, mapping = tmp_path / "own.csv", tmp_path / "own.toml"
    pd.DataFrame({"z": [0.3, 0.4], "m": [5e14, 6e14], "e": [0.5, 0.6]}).to_csv(table)
    mapping.write_text(
        '[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\nunit = "Msun"\nerror = "e"\n'
    )
    line = f"infer --catalogue {table} --mapping {mapping} --samples 20"
    result = command(f"{line} --out {tmp_path}/p.nc")
    result.demand_error("errors 'e' of 'm'", "1e-15", "error_unit")
    assert not (tmp_path / "p.nc").exists()


def test_errors_by_name_are_in_dex() -> None:
    table = {MASS: [14.5, 14.7], f"sigma_{MASS}": [3e13, 5e13]}
    with pytest.raises(DataError, match=r"sigma_<name> is in dex"):
        read_by_name(Table(table), [MASS])


OVER_H = [
    "Msun/h",
    "Msun / h",
    "h-1 Msun",
    "Msun h^-1",
    "Msun.h-1",
    "MSUN/H",
    "M_sun h**-1",
    "h⁻¹ M☉",
    r"$h^{-1}\,{\rm M}_\odot$",
    "solMass / littleh",
]
FACTOR_LAST = ["h70-1 10^14 Msun", "h_70^-1 1e14 M_sun", "h_{70}^{-1} 10^{14} Msun"]
OVER_H70 = [
    "Msun/h70",
    "h70-1 Msun",
    "h_70^-1 M_sun",
    "Msun h_{70}^{-1}",
    "Msun h^{-1}_{70}",
]
PLAIN = [
    "Msun",
    "MSUN",
    "M_sun",
    "M_SOL",
    "solMass",
    "Solar masses",
    "M⊙",
    r"$M_\odot$",
]
SCALED = [
    "1e14 Msun",
    "10^14 Msun",
    "10+14Msun",
    "10**14 solMass",
    "x10^14 M_sun",
    "1E14Msun",
]


@pytest.mark.parametrize(
    ("units", "mass"),
    [
        (OVER_H, 5e14 * HUBBLE_H),
        (OVER_H70, 5e14 * HUBBLE_H / 0.7),
        (PLAIN, 5e14),
        (SCALED, 5.0),
        (FACTOR_LAST, 5.0 * HUBBLE_H / 0.7),
        (["10^14 Msun/h", "1e14 h-1 Msun", "10+14 h^-1 MSUN"], 5.0 * HUBBLE_H),
    ],
)
def test_case_23e_a_mass_in_any_spelling_of_its_unit(
    units: list[str], mass: float
) -> None:
    for unit in units:
        found = converted({"m": [mass] * 4}, unit=unit)
        np.testing.assert_allclose(found.values[MASS], np.log10(5e14), err_msg=unit)


@pytest.mark.parametrize("suffix", ["ecsv", "vot", "fits", "parquet"])
@pytest.mark.parametrize("unit", ["Msun / h", "h-1 Msun", "10^14 Msun h^-1"])
def test_case_23e_in_files(tmp_path: Path, suffix: str, unit: str) -> None:
    mass = 5e14 * HUBBLE_H
    if unit.startswith("10"):
        mass /= 1e14
    table = Table({"z": [0.3], "m": [mass], "e": [0.1 * mass]})
    for name in ("m", "e"):
        table[name].unit = u.Unit(unit, parse_strict="silent")
    path = tmp_path / f"own.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.write(path, **({"format": "votable"} if suffix == "vot" else {}))
        read = read_table(path)
    quantity = {"column": "m", "error": "e"}
    own = {"redshift": {"column": "z"}, "mass": quantity}
    found = convert(read, Mapping.model_validate(own))
    np.testing.assert_allclose(found.values[MASS], np.log10(5e14))
    np.testing.assert_allclose(found.errors[MASS], TENTH)
    assert "littleh" in found.log[1]


@pytest.mark.parametrize(
    ("name", "unit", "value"),
    [
        ("radius", "h^-1 Mpc", HUBBLE_H),
        ("radius", "Mpc/h70", HUBBLE_H / 0.7),
        ("radius", "kpc h_70^-1", 1e3 * HUBBLE_H / 0.7),
        ("radius", "MPC", 1.0),
        ("radius", "Kpc", 1e3),
        ("radius", "m", 3.0856776e22),
        ("radius", "deg", 1e3 / 4597.5 / 3600.0 * 1e3),
        ("temperature", "KEV", 5.0),
        ("temperature", "K", 5.0 / 8.617333262e-8),
        ("temperature", "MK", 5e-6 / 8.617333262e-8),
    ],
)
def test_lengths_and_temperatures(name: str, unit: str, value: float) -> None:
    reference = {"radius": ("kpc", 1e3), "temperature": ("keV", 5.0)}[name]
    masses = []
    for stated, number in ((unit, value), reference):
        quantity = {"column": "q", "unit": stated}
        own = {"redshift": {"column": "z"}, name: quantity}
        table = Table({"z": [0.3], "q": [number]})
        masses.append(convert(table, Mapping.model_validate(own)).values[MASS])
    np.testing.assert_allclose(*masses, atol=3e-3)


def test_a_time_over_h() -> None:
    table = Table({"t": [2.0 * HUBBLE_H]}, units={"t": "Gyr / h"})
    own = Mapping.model_validate({"lookback_time": {"column": "t"}})
    found = convert(table, own)
    np.testing.assert_allclose(found.values[schema.LOOKBACK], 2.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("Msun/hx", r"a unit that astropy knows; got 'Msun/hx'; write it as in"),
        ("Msun h^-5/2", "a unit that astropy knows; got 'Msun h"),
        (
            "[10^14 Msun]",
            "whether it is a logarithm.*scale = 'linear' or scale = 'log10'",
        ),
        ("km/h", "one that converts to solMass"),
        ("Msun/yr", "one that converts to solMass"),
    ],
)
def test_a_unit_that_is_unknown_or_may_be_two(unit: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        converted({}, unit=unit)


def test_brackets_as_the_mapping_says() -> None:
    linear = converted({}, unit="[10^14 Msun]", scale="linear")
    np.testing.assert_allclose(linear.values[MASS], 14.0 + np.log10(VALUES))
    logarithm = converted({"m": np.log10(VALUES)}, unit="[10^14 Msun]", scale="log10")
    np.testing.assert_allclose(logarithm.values[MASS], 14.0 + np.log10(VALUES))


def test_comoving_units_are_told() -> None:
    own = {"redshift": {"column": "z"}, "radius": {"column": "r", "unit": "ckpc/h"}}
    with pytest.raises(DataError, match="definition = 'comoving'"):
        convert(Table({"z": [0.3], "r": [1e3]}), Mapping.model_validate(own))


def test_h_by_name() -> None:
    table = Table({MASS: [5e14 * HUBBLE_H]}, units={MASS: "Msun / h"})
    np.testing.assert_allclose(read_by_name(table, [MASS]).values[MASS], np.log10(5e14))


def test_values_that_are_all_in_another_unit() -> None:
    told = r"got 0.651 in the median of 4 rows, all outside; state the unit"
    with pytest.raises(DataError, match=told):
        converted({}, unit="Msun")


@pytest.mark.parametrize("column", ["logM500", "lgM", "log10_M", "LOGM", "M_log"])
def test_a_name_that_says_logarithm_needs_a_scale(column: str) -> None:
    """A value of 14.7 in 1e14 Msun may be 14.7e14 Msun, or log10 of something else."""
    with pytest.raises(DataError, match=f"unit of '{column}': .* as their name does"):
        converted({column: VALUES}, column=column)
    linear = converted({column: VALUES}, column=column, scale="linear")
    np.testing.assert_allclose(linear.values[MASS], 14.0 + np.log10(VALUES))
    for other in ("Mlogan", "catalogM", "login"):
        plain = converted({other: VALUES}, column=other)
        np.testing.assert_array_equal(plain.values[MASS], linear.values[MASS])
