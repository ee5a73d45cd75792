"""Units, definitions, errors and gaps of a published catalogue, one quantity at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.convert import Converted, convert
from cinn_clusters.catalogues.mapping import Mapping, preset_names, read_mapping, read_preset
from cinn_clusters.cosmology import HUBBLE_CONSTANT, HUBBLE_H, log_radius_crit500, lookback_at_redshift
from cinn_clusters.errors import ConfigError, DataError

Z, MASS = {"redshift": {"column": "z"}}, schema.MASS


def converted(columns: dict[str, object], **quantities: object) -> Converted:
    return convert(Table({"z": [0.3, 0.3], **columns}), Mapping.model_validate({**Z, **quantities}))


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
    found = convert(Table.read(tmp_path / "own.fits"), Mapping.model_validate({**Z, "mass": {"column": "m"}}))
    assert found.values[MASS][0] == pytest.approx(np.log10(4e14), abs=1e-4)


@pytest.mark.parametrize("unit", ["kpc", "keV", "Msun2", "sausages"])
def test_a_unit_that_does_not_convert_is_refused(unit: str) -> None:
    with pytest.raises(DataError, match=r"unit of 'm'"):
        converted({"m": [1.0, 2.0]}, mass={"column": "m", "unit": unit})


def test_published_hubble_constants_are_taken_out() -> None:
    """X-ray gas masses scale with h^-2.5, masses and radii with h^-1."""
    found = converted(
        {"m": [4e14] * 2, "g": [4e13] * 2}, cosmology={"H0": 100.0}, mass={"column": "m"}, gas_mass={"column": "g"}
    )
    step = np.log10(100.0 / HUBBLE_CONSTANT)
    np.testing.assert_allclose(found.values[MASS], np.log10(4e14) + step)
    np.testing.assert_allclose(found.values["GroupGasMass"], np.log10(4e13) + 2.5 * step)


def test_time_is_that_of_the_simulation() -> None:
    found = converted({})
    np.testing.assert_allclose(found.values[schema.LOOKBACK], lookback_at_redshift(np.array([0.3, 0.3])))


@pytest.mark.parametrize(("unit", "factor"), [("kpc", 1.0), ("Mpc", 1e-3)])
def test_mass_of_a_radius(unit: str, factor: float) -> None:
    log_radius = log_radius_crit500(np.array([14.6, 14.6]), np.array([0.3, 0.3])) - np.log10(1.3)
    found = converted({"r": 10.0**log_radius * factor}, radius={"column": "r", "unit": unit, "error_value": 0.01})
    np.testing.assert_allclose(found.values[MASS], 14.6, atol=1e-6)
    np.testing.assert_allclose(found.errors[MASS], 0.03)
    comoving = converted({"r": 10.0**log_radius * 1.3}, radius={"column": "r", "definition": "comoving"})
    np.testing.assert_allclose(comoving.values[MASS], 14.6, atol=1e-6)


def test_an_angular_radius_needs_a_redshift() -> None:
    from astropy.cosmology import FlatLambdaCDM

    kpc = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=0.3089).kpc_proper_per_arcmin(0.3).value
    log_radius = log_radius_crit500(np.array([14.6]), np.array([0.3]))[0] - np.log10(1.3)
    found = converted({"r": [10.0**log_radius / kpc] * 2}, radius={"column": "r", "unit": "arcmin"})
    np.testing.assert_allclose(found.values[MASS], 14.6, atol=1e-4)


def test_radius_and_mass_that_contradict_each_other_are_told() -> None:
    log_radius = log_radius_crit500(np.array([14.6, 14.6]), np.array([0.3, 0.3])) - np.log10(1.3)
    found = converted(
        {"r": 10.0**log_radius, "m": [10.0**14.6, 10.0**15.0]}, radius={"column": "r"}, mass={"column": "m"}
    )
    assert list(found.reasons) == [1]
    assert found.reasons[1][0].startswith("contradiction")
    np.testing.assert_allclose(found.values[MASS], [14.6, 15.0])


@pytest.mark.parametrize(
    ("error", "columns", "expected"),
    [
        ({"error": "e"}, {"e": [0.4e14, 0.0]}, [0.1 / np.log(10.0), 0.0]),
        ({"error_low": "e", "error_high": "f"}, {"e": [1e14, 0.0], "f": [1e14, 0.0]},
         [(np.log10(1.25) - np.log10(0.75)) / 2, 0.0]),
        ({"error_low": "e", "error_high": "f"}, {"e": [-1e14, 0.0], "f": [1e14, 0.0]},
         [(np.log10(1.25) - np.log10(0.75)) / 2, 0.0]),
        ({"error": "e", "error_scale": "dex"}, {"e": [0.12, 0.0]}, [0.12, 0.0]),
        ({"error": "e", "error_scale": "relative"}, {"e": [0.1, 0.0]}, [0.1 / np.log(10.0), 0.0]),
        ({"error_value": 0.2}, {}, [0.2, 0.2]),
    ],
)  # fmt: skip
def test_errors_become_dex(error: dict[str, object], columns: dict[str, object], expected: list[float]) -> None:
    found = converted({"m": [4e14, 4e14], **columns}, mass={"column": "m", **error})
    np.testing.assert_allclose(found.errors[MASS], expected, atol=1e-12)


def test_a_negative_error_is_told_and_nothing_is_lost() -> None:
    found = converted({"m": [4e14, 4e14], "e": [-1e13, 1e13]}, mass={"column": "m", "error": "e"})
    assert found.reasons[0] == ["e: expected an error of at least 0, taken as none"]
    assert 1 not in found.reasons
    assert np.isfinite(found.values[MASS]).all()


def test_apertures_have_a_stated_offset_and_scatter() -> None:
    found = converted(
        {"g": [4e13] * 2, "s": [1e12] * 2},
        gas_mass={"column": "g", "definition": "500c"},
        stellar_mass={"column": "s", "definition": "50kpc"},
    )
    np.testing.assert_allclose(found.values["GroupGasMass"], np.log10(4e13) + 0.25)
    np.testing.assert_allclose(found.errors["GroupGasMass"], 0.08)
    np.testing.assert_allclose(found.values["bcg_StellarMass"], 12.85)
    own = converted({"g": [4e13] * 2}, gas_mass={"column": "g", "definition": "500c", "offset": 0.1, "scatter": 0.0})
    np.testing.assert_allclose(own.values["GroupGasMass"], np.log10(4e13) + 0.1)
    with pytest.raises(DataError, match="definition of gas_mass"):
        converted({"g": [1.0, 2.0]}, gas_mass={"column": "g", "definition": "2500c"})


def test_gaps_text_and_nonsense_are_told_by_row() -> None:
    table = Table({
        "z": MaskedColumn([0.3, -0.1, 0.3, 0.3, 25.0], mask=[True, False, False, False, False]),
        "m": ["4e14", "4e14", "4e14", "none", "4e14"],
        "g": [4e13, 4e13, 0.0, np.nan, 4e30],
    })  # fmt: skip
    quantities = {"mass": {"column": "m"}, "gas_mass": {"column": "g"}}
    found = convert(table, Mapping.model_validate({**Z, **quantities}))
    assert found.unusable.tolist() == [True, True, False, False, True]
    assert found.reasons[0] == ["z: no redshift"]
    assert "redshift in [0, 20]" in found.reasons[1][0]
    assert found.reasons[2] == ["g: not positive, taken as missing"]
    assert found.reasons[3] == ["m: expected a number"]
    assert any("GroupGasMass: outside" in reason for reason in found.reasons[4])
    assert np.isnan(found.values["GroupGasMass"][2:]).all()


def test_black_holes_are_linear_in_the_simulation() -> None:
    found = converted({"b": [1e10, 2e9]}, black_hole_mass={"column": "b"})
    np.testing.assert_allclose(found.values["bcg_SubhaloBHMass"], np.array([1.0, 0.2]) * HUBBLE_H)


def test_names_in_any_script() -> None:
    table = Table({"object": ["Пуля", "子弹", " A2029 "], "z": [0.3, 0.3, 0.1]})
    found = convert(table, Mapping.model_validate({**Z, "object_name": "object"}))
    assert found.names.tolist() == ["Пуля", "子弹", "A2029"]


def test_presets_are_whole() -> None:
    assert {"mcxc2", "erass1", "erass1_morphology", "accept", "lovisari2020", "rexcess", "spt_xvp", "psz2",
            "act_dr5"} <= set(preset_names())  # fmt: skip
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
        ('[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\nscale = "ln"\n', "mass.scale"),
        ('[redshift\n', "TOML"),
    ],
)  # fmt: skip
def test_a_bad_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_mapping(tmp_path / "own.toml")


def test_a_missing_column_names_those_there_are() -> None:
    with pytest.raises(DataError, match=r"column 'M500'.*the file has z, m"):
        converted({"m": [1.0, 2.0]}, mass={"column": "M500"})


def test_a_value_that_cannot_be_used_is_told_and_an_absent_one_is_not() -> None:
    infinite = converted({"m": [np.inf, np.nan]}, mass={"column": "m", "scale": "log10"})
    assert dict(infinite.reasons) == {0: ["m: not finite, taken as missing"]}
    table = Table({"z": [0.0, 0.3], "r": [5.0, 5.0]})
    angle = convert(table, Mapping.model_validate({**Z, "radius": {"column": "r", "unit": "arcmin"}}))
    assert dict(angle.reasons) == {0: ["r: has no size at redshift 0, taken as missing"]}


def test_a_temperature_and_a_mass_that_contradict_each_other_are_told() -> None:
    """Vikhlinin+09: 5 keV at z = 0.3 are 3.6e14 Msun, scatter 0.09 dex; 1 keV are a group."""
    columns = {"m": [5e14, 5e14], "t": [5.0, 1.0]}
    found = converted(columns, mass={"column": "m"}, temperature={"column": "t"})
    assert list(found.reasons) == [1]
    assert found.reasons[1] == ["contradiction: temperature and redshift give another M500 (by more than 0.1 dex)"]
    np.testing.assert_allclose(found.values[MASS], np.log10(5e14))
    unsure = converted(columns, mass={"column": "m", "error_value": 0.6}, temperature={"column": "t"})
    assert not unsure.reasons
