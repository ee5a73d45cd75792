"""Units, definitions, errors and gaps of a published catalogue, one quantity at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import units as cosmology_units
from astropy.table import MaskedColumn, QTable, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import (
    DEFINITIONS,
    Mapping,
    preset_names,
    read_mapping,
    read_preset,
)
from cinn_clusters.catalogues.masses.apertures import STELLAR_APERTURES
from cinn_clusters.catalogues.masses.definitions import OVERDENSITIES
from cinn_clusters.cosmology import (
    HUBBLE_CONSTANT,
    HUBBLE_H,
    log_radius_crit500,
    lookback_at_redshift,
)
from cinn_clusters.data.error_models.two_piece import standard_deviation
from cinn_clusters.errors import ConfigError, DataError

Z, MASS = {"redshift": {"column": "z"}}, schema.MASS


def converted(columns: dict[str, object], **quantities: object) -> ConvertedCatalogue:
    return convert(
        Table({"z": [0.3, 0.3], **columns}), Mapping.model_validate({**Z, **quantities})
    )


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ([4e14, 6e14], {}),
        ([4.0, 6.0], {"unit": "1e14 Msun"}),
        ([40.0, 60.0], {"unit": "1e13 solMass"}),
        ([np.log10(4e14), np.log10(6e14)], {"scale": "log10"}),
        ([4e14 * HUBBLE_H, 6e14 * HUBBLE_H], {"unit": "Msun/h"}),
        ([4.0 * HUBBLE_H, 6.0 * HUBBLE_H], {"unit": "1e14 Msun/h"}),
        ([7.956e44, 1.1934e45], {"unit": "kg"}),
    ],
)
def test_one_mass_in_many_units(values: list[float], quantity: dict[str, str]) -> None:
    found = converted({"m": values}, mass={"column": "m", **quantity})
    np.testing.assert_allclose(found.values[MASS], np.log10([4e14, 6e14]), atol=2e-4)
    np.testing.assert_array_equal(found.errors[MASS], 0.0)


def test_units_in_the_file_are_used(tmp_path: Path) -> None:
    QTable({"z": [0.3], "m": [4.0] * (1e14 * u.Msun)}).write(tmp_path / "own.fits")
    found = convert(
        Table.read(tmp_path / "own.fits"),
        Mapping.model_validate({**Z, "mass": {"column": "m"}}),
    )
    assert found.values[MASS][0] == pytest.approx(np.log10(4e14), abs=1e-4)


@pytest.mark.parametrize("unit", ["kpc", "keV", "Msun2", "sausages"])
def test_a_unit_that_does_not_convert_is_refused(unit: str) -> None:
    with pytest.raises(DataError, match=r"unit of 'm'"):
        converted({"m": [1.0, 2.0]}, mass={"column": "m", "unit": unit})


def test_published_hubble_constants_are_taken_out() -> None:
    """X-ray gas masses scale with h^-2.5, masses and radii with h^-1."""
    found = converted(
        {"m": [4e14] * 2, "g": [4e13] * 2},
        cosmology={"H0": 100.0},
        mass={"column": "m"},
        gas_mass={"column": "g"},
    )
    step = np.log10(100.0 / HUBBLE_CONSTANT)
    np.testing.assert_allclose(found.values[MASS], np.log10(4e14) + step)
    np.testing.assert_allclose(
        found.values["GroupGasMass"], np.log10(4e13) + 2.5 * step
    )


def test_time_is_that_of_the_simulation() -> None:
    found = converted({})
    np.testing.assert_allclose(
        found.values[schema.LOOKBACK], lookback_at_redshift(np.array([0.3, 0.3]))
    )


@pytest.mark.parametrize(("unit", "factor"), [("kpc", 1.0), ("Mpc", 1e-3)])
def test_mass_of_a_radius(unit: str, factor: float) -> None:
    log_radius = log_radius_crit500(
        np.array([14.6, 14.6]), np.array([0.3, 0.3])
    ) - np.log10(1.3)
    found = converted(
        {"r": 10.0**log_radius * factor},
        radius={"column": "r", "unit": unit, "error_value": 0.01},
    )
    np.testing.assert_allclose(found.values[MASS], 14.6, atol=1e-6)
    np.testing.assert_allclose(found.errors[MASS], 0.03)
    comoving = converted(
        {"r": 10.0**log_radius * 1.3}, radius={"column": "r", "definition": "comoving"}
    )
    np.testing.assert_allclose(comoving.values[MASS], 14.6, atol=1e-6)


def test_an_angular_radius_needs_a_redshift() -> None:
    from astropy.cosmology import FlatLambdaCDM

    kpc = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=0.3089).kpc_proper_per_arcmin(0.3).value
    log_radius = log_radius_crit500(np.array([14.6]), np.array([0.3]))[0] - np.log10(
        1.3
    )
    found = converted(
        {"r": [10.0**log_radius / kpc] * 2}, radius={"column": "r", "unit": "arcmin"}
    )
    np.testing.assert_allclose(found.values[MASS], 14.6, atol=1e-4)


def test_radius_and_mass_that_contradict_each_other_are_told() -> None:
    log_radius = log_radius_crit500(
        np.array([14.6, 14.6]), np.array([0.3, 0.3])
    ) - np.log10(1.3)
    found = converted(
        {"r": 10.0**log_radius, "m": [10.0**14.6, 10.0**15.0]},
        radius={"column": "r"},
        mass={"column": "m"},
    )
    assert list(found.reasons) == [1]
    assert found.reasons[1][0].startswith("contradiction")
    np.testing.assert_allclose(found.values[MASS], [14.6, 15.0])


@pytest.mark.parametrize(
    ("error", "columns", "expected"),
    [
        ({"error": "e"}, {"e": [0.4e14, 0.0]}, [0.1 / np.log(10.0), 0.0]),
        (
            {"error_low": "e", "error_high": "f"},
            {"e": [1e14, 0.0], "f": [1e14, 0.0]},
            [standard_deviation(np.array([-np.log10(0.75), np.log10(1.25)])), 0.0],
        ),
        (
            {"error_low": "e", "error_high": "f"},
            {"e": [-1e14, 0.0], "f": [1e14, 0.0]},
            [standard_deviation(np.array([-np.log10(0.75), np.log10(1.25)])), 0.0],
        ),
        ({"error": "e", "error_scale": "dex"}, {"e": [0.12, 0.0]}, [0.12, 0.0]),
        (
            {"error": "e", "error_scale": "relative"},
            {"e": [0.1, 0.0]},
            [0.1 / np.log(10.0), 0.0],
        ),
        ({"error_value": 0.2}, {}, [0.2, 0.2]),
    ],
)
def test_errors_become_dex(
    error: dict[str, object], columns: dict[str, object], expected: list[float]
) -> None:
    mass = {"column": "m", "missing": [], **error}
    found = converted({"m": [4e14, 4e14], **columns}, mass=mass)
    np.testing.assert_allclose(found.errors[MASS], expected, atol=1e-12)


def test_apertures_have_a_stated_offset_and_scatter() -> None:
    found = converted(
        {"g": [4e13] * 2, "s": [1e12] * 2},
        gas_mass={"column": "g", "definition": "group"},
        stellar_mass={"column": "s", "definition": "50kpc"},
    )
    np.testing.assert_allclose(found.values["GroupGasMass"], np.log10(4e13))
    np.testing.assert_allclose(found.errors["GroupGasMass"], 0.0)
    np.testing.assert_allclose(found.values["bcg_StellarMass"], 12.85)
    line = "stellar_mass: +0.85 dex, scatter 0.25 dex, for aperture 50kpc (set by hand)"
    assert found.log[-1] == line
    own = converted(
        {"g": [4e13] * 2},
        gas_mass={"column": "g", "definition": "500c", "offset": 0.1, "scatter": 0.0},
    )
    np.testing.assert_allclose(own.values["GroupGasMass"], np.log10(4e13) + 0.1)
    np.testing.assert_allclose(own.errors["GroupGasMass"], 0.0)
    assert "(as the mapping states)" in own.log[-1]


def test_the_offset_of_gas_depends_on_mass_and_redshift() -> None:
    """By hand: at 4e14 Msun (14.602) and z = 0.3 groups hold 10^(-0.610 + 0.179 x 0.198 - 0.173
    x 0.3) = 0.236 of M500 in gas, clusters 0.125 + 0.037 log10(0.4 x 0.6774) = 0.104, times (0.72 /
    0.6774)^1.5, 0.114 (Vikhlinin+09): +0.317 dex; its slope is -0.333 per dex of mass."""
    gas = {"column": "g", "definition": "500c"}
    mass = {"column": "m", "calibration": "true", "error_value": 0.1}
    found = converted({"g": [4e13] * 2, "m": [4e14, 2e14]}, gas_mass=gas, mass=mass)
    offset = found.values["GroupGasMass"] - np.log10(4e13)
    np.testing.assert_allclose(offset, [0.317, 0.420], atol=0.001)
    residual = 0.12 - 0.09 * 0.202
    scatter = np.sqrt(residual**2 + 0.06**2 + 0.0333**2)
    assert found.errors["GroupGasMass"][0] == pytest.approx(scatter, abs=1e-4)
    assert "(+0.32 to +0.41) dex, scatter 0.13 dex, for aperture 500c" in found.log[-1]
    assert "Vikhlinin+09" in found.log[-1]


def test_gas_without_a_mass_has_the_mean_offset_and_a_wider_scatter() -> None:
    gas = {"column": "g", "definition": "500c"}
    found = converted({"g": [4e13] * 2}, gas_mass=gas)
    offset = found.values["GroupGasMass"] - np.log10(4e13)
    np.testing.assert_allclose(offset, 0.392, atol=0.001)
    np.testing.assert_allclose(found.errors["GroupGasMass"], 0.184, atol=0.001)


def test_gaps_text_and_nonsense_are_told_by_row() -> None:
    table = Table(
        {
            "z": MaskedColumn(
                [0.3, -0.1, 0.3, 0.3, 25.0], mask=[True, False, False, False, False]
            ),
            "m": ["4e14", "4e14", "4e14", "none", "4e14"],
            "g": [4e13, 4e13, 0.0, np.nan, 4e30],
        }
    )
    quantities = {"mass": {"column": "m"}, "gas_mass": {"column": "g"}}
    found = convert(table, Mapping.model_validate({**Z, **quantities}))
    assert found.has_time.tolist() == [False, False, True, True, False]
    assert found.reasons[0] == ["z: no redshift"]
    assert "redshift in [0, 20]" in found.reasons[1][0]
    assert found.reasons[2] == ["g: not positive, taken as missing"]
    assert found.reasons[3] == ["m: expected a number ('none')"]
    assert any("GroupGasMass: outside" in reason for reason in found.reasons[4])
    assert np.isnan(found.values["GroupGasMass"][2:]).all()


def test_black_holes_are_linear_in_the_simulation() -> None:
    found = converted({"b": [1e10, 2e9]}, black_hole_mass={"column": "b"})
    np.testing.assert_allclose(
        found.values["bcg_SubhaloBHMass"], np.array([1.0, 0.2]) * HUBBLE_H
    )


def test_names_in_any_script() -> None:
    table = Table({"object": ["Пуля", "子弹", " A2029 "], "z": [0.3, 0.3, 0.1]})
    found = convert(table, Mapping.model_validate({**Z, "object_name": "object"}))
    assert found.names.tolist() == ["Пуля", "子弹", "A2029"]


def test_presets_are_whole() -> None:
    assert {
        "mcxc2",
        "erass1",
        "erass1_morphology",
        "accept",
        "lovisari2020",
        "rexcess",
        "spt_xvp",
        "psz2",
        "act_dr5",
    } <= set(preset_names())
    for name in preset_names():
        mapping = read_preset(name)
        assert mapping.reference, name
        assert mapping.tried_on, name
        assert mapping.redshift or mapping.lookback_time, name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[redshift]\ncolumn = "z"\n[mass]\ncolumn = "z"\n', "mapped twice"),
        ('[mass]\ncolumn = "m"\n', "redshift"),
        ('[redshift]\ncolumn = "z"\n[sausage]\ncolumn = "s"\n', "sausage"),
        (
            '[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\nscale = "ln"\n',
            "mass.scale",
        ),
        ("[redshift\n", "TOML"),
        ('[redshift]\ncolumn = ""\n', "'redshift.column': .* at least 1 character"),
        ('[redshift]\ncolumn = "z"\nerror = ""\n', "redshift.error"),
        ('object_name = ""\n[redshift]\ncolumn = "z"\n', "object_name"),
    ],
)
def test_a_bad_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_mapping(tmp_path / "own.toml")


@pytest.mark.parametrize(
    ("quantity", "line", "told"),
    [
        (
            "redshift",
            'limit = "e"',
            r"\[redshift\] limit: expected one of the keys column, missing, error,",
        ),
        (
            "redshift",
            "scale = 'log10'",
            r"\[redshift\] scale: expected one of the keys column, missing, ",
        ),
        (
            "redshift",
            "offset = 0.1",
            r"\[redshift\] offset: expected one of the keys column, missing, ",
        ),
        (
            "gas_mass",
            "calibration = 'true'",
            r"\[gas_mass\] calibration: .*, scatter, source, limit, definition;",
        ),
        ("temperature", "definition = 'foo'", "one of core-excised; got 'foo'"),
        ("redshift", "scatter = 0.1", r"\[redshift\] scatter: "),
        ("radius", "definition = '2500c'", "one of physical, comoving; got '2500c'"),
        (
            "halo_mass",
            "definition = '500c'",
            r"\[halo_mass\] definition: expected one of the keys ",
        ),
        ("gas_mass", "definition = '2500c'", "one of group, 500c; got '2500c'"),
        ("mass", "definition = '500C'", "one of 500c, 200c, 200m, vir; got '500C'"),
        (
            "mass",
            "error = 'e'\nerror_value = 0.1",
            "one way to state its errors; got error and error_value",
        ),
        (
            "mass",
            "error = 'e'\nerror_low = 'f'",
            "one way to state its errors; got error and error_low",
        ),
        (
            "mass",
            "low = 'l'\nhigh = 'h'\nerror = 'e'",
            "one way to state its errors; got error and low",
        ),
        ("mass", "low = 'l'", "both bounds, low and high; got one of them"),
        (
            "mass",
            "error_scale = 'dex'\nerror_value = 0.1",
            r"\[mass\] error_scale: expected columns of errors",
        ),
    ],
)
def test_a_key_that_would_be_ignored_is_refused(
    tmp_path: Path, quantity: str, line: str, told: str
) -> None:
    time = "" if quantity == "redshift" else "[redshift]\ncolumn = 'z'\n"
    (tmp_path / "own.toml").write_text(f"{time}[{quantity}]\ncolumn = 'c'\n{line}\n")
    with pytest.raises(ConfigError, match=told) as refused:
        read_mapping(tmp_path / "own.toml")
    assert "own.toml" in str(refused.value)


def test_a_missing_column_names_those_there_are() -> None:
    with pytest.raises(DataError, match=r"column 'M500'.*the file has z, m"):
        converted({"m": [1.0, 2.0]}, mass={"column": "M500"})


@pytest.mark.parametrize(
    "unit",
    ["dex(solMass)", "log(Msun)", "log10(Msun)", "log10 Msun", "[solMass]", "dex"],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_a_logarithmic_unit_means_log10(unit: str, in_file: bool) -> None:
    """The package's own tables state their logarithms so."""
    table = Table({"z": [0.3], "m": [14.5], "e": [0.1]})
    table["m"].unit = u.Unit(unit, parse_strict="silent") if in_file else None
    mass = (
        {"column": "m", "error": "e"}
        if in_file
        else {"column": "m", "error": "e", "unit": unit}
    )
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    assert (found.values[MASS][0], found.errors[MASS][0]) == (14.5, 0.1)
    assert "[log10 solMass]" in found.log[1]


def test_a_logarithm_that_the_mapping_calls_linear_is_refused() -> None:
    with pytest.raises(DataError, match=r"linear one.*'dex\(Msun\)'.*leave scale out"):
        converted(
            {"m": [14.5, 14.6]},
            mass={"column": "m", "unit": "dex(Msun)", "scale": "linear"},
        )
    with pytest.raises(DataError, match="a linear unit or a log10"):
        converted({"m": [14.5, 14.6]}, mass={"column": "m", "unit": "mag(Msun)"})


@pytest.mark.parametrize(
    ("value", "unit", "error", "of_error", "dex"),
    [
        (5e14, "Msun", 0.5, "1e14 Msun", 0.1 / np.log(10.0)),
        (5.0, "1e14 Msun", 5e13, "Msun", 0.1 / np.log(10.0)),
        (5.0, "1e14 Msun", 0.5, None, 0.1 / np.log(10.0)),
        (5.0, "1e14 Msun", 10.0, "%", 0.1 / np.log(10.0)),
        (5.0, "1e14 Msun", 0.1, "dex", 0.1),
        (14.7, "dex(Msun)", 0.1, "dex(Msun)", 0.1),
        (14.0, "dex(Msun)", 1e13, "Msun", 0.1 / np.log(10.0)),
        (5.0, "1e14 Msun/h", 0.5 / HUBBLE_H, "1e14 Msun", 0.1 / np.log(10.0)),
    ],
)
def test_an_error_column_has_its_own_unit(
    value: float, unit: str, error: float, of_error: str | None, dex: float
) -> None:
    with u.add_enabled_units(cosmology_units):
        table = Table(
            {"z": [0.3], "m": [value], "e": [error]},
            units={"m": unit.replace("/h", "/littleh"), "e": of_error},
        )
    found = convert(
        table, Mapping.model_validate({**Z, "mass": {"column": "m", "error": "e"}})
    )
    np.testing.assert_allclose(found.errors[MASS], dex, rtol=1e-6)


def test_a_unit_of_the_mapping_holds_for_errors_labelled_alike() -> None:
    """The file calls both Msun, the mapping knows better."""
    table = Table(
        {"z": [0.3], "m": [5.0], "e": [0.5]}, units={"m": "Msun", "e": "Msun"}
    )
    mass = {"column": "m", "error": "e", "unit": "1e14 Msun"}
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    np.testing.assert_allclose(found.errors[MASS], 0.1 / np.log(10.0))


def test_an_error_in_a_unit_that_does_not_convert_is_refused() -> None:
    table = Table(
        {"z": [0.3], "m": [5e14], "e": [0.5]}, units={"m": "Msun", "e": "keV"}
    )
    with pytest.raises(
        DataError,
        match="unit of the error 'e': expected one that converts to solMass; got 'keV'",
    ):
        convert(
            table, Mapping.model_validate({**Z, "mass": {"column": "m", "error": "e"}})
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -99.0, "abc", "", None])
def test_an_error_that_is_missing_or_wrong_is_never_taken_as_exact(bad: object) -> None:
    errors = MaskedColumn(
        [0.5, bad if bad is not None else 7.0, 1.5],
        mask=[False, bad is None, False],
        dtype=object,
    )
    table = Table({"z": [0.3] * 3, "m": [5.0] * 3, "e": errors})
    mass = {"column": "m", "unit": "1e14 Msun", "error": "e"}
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    dex = np.array([0.1, 0.2, 0.3]) / np.log(10.0)
    np.testing.assert_allclose(found.errors[MASS], dex)
    is_missing = bad in (None, "", -99.0) or bad is np.nan
    what = "error missing" if is_missing else "expected an error of at least 0"
    assert dict(found.reasons) == {
        1: [f"e: {what}: the column's median was taken (0.087 dex)"]
    }
    assert (
        "e: 1 of 3 errors missing or wrong: the column's median was taken (0.087 dex)"
        in found.log
    )


def test_one_side_stands_for_the_other() -> None:
    table = Table(
        {"z": [0.3] * 2, "m": [5.0] * 2, "e": [1.0, np.nan], "f": [np.nan, 1.0]}
    )
    mass = {"column": "m", "unit": "1e14 Msun", "error_low": "e", "error_high": "f"}
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    np.testing.assert_allclose(found.errors[MASS], [-np.log10(0.8), np.log10(1.2)])
    told = "error missing: the other side's was taken"
    assert dict(found.reasons) == {0: [f"f: {told}"], 1: [f"e: {told}"]}


def test_a_value_whose_column_has_no_error_at_all_is_missing() -> None:
    table = Table({"z": [0.3] * 2, "m": [5.0, np.nan], "e": [np.nan, 1.0]})
    found = convert(
        table,
        Mapping.model_validate(
            {**Z, "mass": {"column": "m", "unit": "1e14 Msun", "error": "e"}}
        ),
    )
    assert np.isnan(found.values[MASS]).all()
    told = "error missing: no row of the column has one, the value was taken as missing"
    assert dict(found.reasons) == {0: [f"e: {told}"]}


def test_an_error_of_zero_is_exact_if_stated_and_a_lower_sign_is_a_habit() -> None:
    table = Table({"z": [0.3] * 2, "m": [5.0] * 2, "e": [-1.0, 0.0], "f": [0.0, 0.0]})
    mass = {"column": "m", "unit": "1e14 Msun", "error_low": "e", "error_high": "f"}
    mass["missing"] = []
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    one_side = standard_deviation(np.array([-np.log10(0.8), 0.0]))
    np.testing.assert_allclose(found.errors[MASS], [one_side, 0.0], atol=1e-12)
    assert not found.reasons
    table["e"] = [1.0, -99.0]
    del mass["missing"]
    table["f"] = [0.1, 0.1]
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    assert dict(found.reasons) == {1: ["e: error missing: the other side's was taken"]}
    assert "e: -99 in 1 of 2 rows stands for no value, taken as missing" in found.log


def test_apertures_of_the_offsets_are_those_of_the_mapping() -> None:
    assert {"whole", *STELLAR_APERTURES} == set(DEFINITIONS["stellar_mass"])
    assert set(DEFINITIONS["mass"]) == set(OVERDENSITIES)


@pytest.mark.parametrize("unit", ["1e14 Msun", "Msun", None])
def test_bounds_are_no_errors(unit: str | None) -> None:
    factor = 1e14 if unit == "Msun" else 1.0
    table = Table(
        {"z": [0.3] * 3, "m": [5.0] * 3, "l": [4.0, 5.0, 0.0], "h": [6.0, 6.0, 6.0]},
        units={"m": "1e14 Msun"},
    )
    for name in ("l", "h"):
        table[name] *= factor
        table[name].unit = unit
    found = convert(
        table,
        Mapping.model_validate({**Z, "mass": {"column": "m", "low": "l", "high": "h"}}),
    )
    below, above = np.array([-np.log10(0.8), 0.0, -np.log10(0.05)]), np.log10(1.2)
    both = np.stack([below, np.full(3, above)])
    np.testing.assert_allclose(found.errors[MASS], standard_deviation(both))
    assert "bounds l, h" in found.log[1]
    assert not found.reasons


def test_bounds_of_a_logarithm() -> None:
    table = Table({"z": [0.3], "m": [14.5], "l": [14.4], "h": [14.7]})
    mass = {"column": "m", "scale": "log10", "low": "l", "high": "h"}
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    np.testing.assert_allclose(
        found.errors[MASS], standard_deviation(np.array([0.1, 0.2]))
    )
    # the network is told the mean of the true mass, the catalogue's value stays
    told = found.inputs((MASS, f"sigma_{MASS}"))
    mean = 14.5 + np.sqrt(2.0 / np.pi) * 0.1
    np.testing.assert_allclose(told, [[mean, found.errors[MASS][0]]])
    assert found.values[MASS][0] == 14.5
    assert any(
        line.startswith(f"{MASS}: errors of 1 rows differ") for line in found.log
    )


def test_a_linear_column_is_told_its_mean_in_dex() -> None:
    table = Table({"z": [0.3], "m": [9.5], "l": [9.4], "h": [9.7]})
    hole = {"column": "m", "scale": "log10", "low": "l", "high": "h"}
    found = convert(table, Mapping.model_validate({**Z, "black_hole_mass": hole}))
    name = "bcg_SubhaloBHMass"
    told = np.log10(found.inputs((name,)) / found.values[name])
    np.testing.assert_allclose(told, np.sqrt(2.0 / np.pi) * 0.1)


def test_a_bound_on_the_wrong_side_is_told_and_most_of_them_are_refused() -> None:
    table = Table(
        {"z": [0.3] * 3, "m": [5.0] * 3, "l": [4.0, 6.0, 4.0], "h": [6.0, 7.0, np.nan]}
    )
    mass = {"column": "m", "unit": "1e14 Msun", "low": "l", "high": "h"}
    found = convert(table, Mapping.model_validate({**Z, "mass": mass}))
    assert dict(found.reasons) == {
        1: ["l: expected a bound on its side of the value: the other side's was taken"],
        2: ["h: error missing: the other side's was taken"],
    }
    np.testing.assert_allclose(found.errors[MASS][1], np.log10(1.4))
    table["l"], table["h"] = [0.5, 0.4, 0.3], [0.6, 0.4, 0.3]
    told = "columns l, h: expected bounds on both sides of m; got others in 3 of 3 rows; map them as error_low and error_h"
    with pytest.raises(DataError, match=told):
        convert(table, Mapping.model_validate({**Z, "mass": mass}))


def test_errors_that_look_like_bounds_are_told() -> None:
    table = Table(
        {"z": [0.3] * 3, "m": [5.0] * 3, "l": [4.5, 4.4, 1.0], "h": [6.0, 6.0, 1.0]}
    )
    mass = {"column": "m", "unit": "1e14 Msun", "error_low": "l", "error_high": "h"}
    with pytest.raises(DataError, match=r"bounds around m in 2 of 3 rows; map them"):
        convert(table, Mapping.model_validate({**Z, "mass": mass}))
    told = "above 0.8 of the value, as in most rows: a bound (map it as low or high), or a percentage?"
    one = {"column": "m", "unit": "1e14 Msun", "error": "h"}
    found = convert(table, Mapping.model_validate({**Z, "mass": one}))
    assert dict(found.reasons) == {row: [f"h: {told}"] for row in (0, 1)}


def test_the_two_readings_of_erass1_are_told_apart() -> None:
    """Whichever the file holds, the wrong preset says so, and both come to the same error."""
    errors = Table({"NAME": ["a"] * 3, "BEST_Z": [0.3] * 3, "R500": [np.nan] * 3})
    for name, value in (("M500", 50.0), ("MGAS500", 500.0)):
        errors[name], errors[f"{name}_L"], errors[f"{name}_H"] = (
            [value] * 3,
            [0.1 * value] * 3,
            [0.2 * value] * 3,
        )
    bounds = errors.copy()
    for name in ("M500", "MGAS500"):
        bounds[f"{name}_L"], bounds[f"{name}_H"] = (
            0.9 * errors[name],
            1.2 * errors[name],
        )
    right = [
        convert(errors, read_preset("erass1")),
        convert(bounds, read_preset("erass1_bounds")),
    ]
    np.testing.assert_allclose(right[0].errors[MASS], right[1].errors[MASS])
    assert not right[0].reasons
    assert not right[1].reasons
    with pytest.raises(DataError, match="columns M500_L, M500_H: expected errors of"):
        convert(bounds, read_preset("erass1"))
    with pytest.raises(DataError, match="columns M500_L, M500_H: expected bounds"):
        convert(errors, read_preset("erass1_bounds"))


def test_a_logarithm_of_the_lookback_time_is_read_as_one() -> None:
    table = Table({"t": [0.5]}, units={"t": "dex(Gyr)"})
    found = convert(table, Mapping.model_validate({"lookback_time": {"column": "t"}}))
    np.testing.assert_allclose(found.values[schema.LOOKBACK], 10.0**0.5, rtol=1e-4)


def test_a_value_that_cannot_be_used_is_told_and_an_absent_one_is_not() -> None:
    infinite = converted(
        {"m": [np.inf, np.nan]}, mass={"column": "m", "scale": "log10"}
    )
    assert dict(infinite.reasons) == {0: ["m: not finite, taken as missing"]}
    table = Table({"z": [0.0, 0.3], "r": [5.0, 5.0]})
    radius = {"column": "r", "unit": "arcmin"}
    redshift = {"column": "z", "missing": []}
    angle = convert(
        table, Mapping.model_validate({"redshift": redshift, "radius": radius})
    )
    assert dict(angle.reasons) == {
        0: ["r: has no size at redshift 0, taken as missing"]
    }


def test_a_temperature_and_a_mass_that_contradict_each_other_are_told() -> None:
    """Vikhlinin+09: 5 keV at z = 0.3 are 3.6e14 Msun, scatter 0.09 dex; 1 keV are a group."""
    columns = {"m": [5e14, 5e14], "t": [5.0, 1.0]}
    found = converted(columns, mass={"column": "m"}, temperature={"column": "t"})
    assert list(found.reasons) == [1]
    assert found.reasons[1] == [
        "contradiction: temperature and redshift give another M500 (by more than 0.1 dex)"
    ]
    np.testing.assert_allclose(found.values[MASS], np.log10(5e14))
    unsure = converted(
        columns, mass={"column": "m", "error_value": 0.6}, temperature={"column": "t"}
    )
    assert not unsure.reasons
