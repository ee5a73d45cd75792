"""Published masses against true ones: offset and scatter of each calibration, stated or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from cinn_clusters import schema
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.converted import ConvertedCatalogue
from cinn_clusters.catalogues.mapping import (
    MASS_SOURCES,
    Mapping,
    preset_names,
    read_preset,
)
from cinn_clusters.catalogues.masses.calibrations import calibration_of
from cinn_clusters.cosmology import log_radius_crit500
from cinn_clusters.errors import ConfigError

MASS, HERE = schema.MASS, np.log10(4e14)
COLUMNS = {"z": [0.3, 0.3], "m": [4e14, 4e14], "t": [5.0, 5.0], "r": [1000.0] * 2}


def catalogue_of(**quantities: Any) -> ConvertedCatalogue:
    mapping = Mapping.model_validate({"redshift": {"column": "z"}, **quantities})
    return convert(Table(COLUMNS), mapping)


def mass_of(**keys: Any) -> ConvertedCatalogue:
    return catalogue_of(mass={"column": "m", **keys})


@pytest.mark.parametrize(
    ("calibration", "offset", "scatter"),
    [
        ("true", 0.0, 0.0),
        ("lensing", 0.0, 0.0869),  # 20 % / ln 10
        ("hydrostatic", 0.0969, 0.1024),  # 1-b = 0.8; 12.5 % and 20 % in quadrature
        ("sz", 0.0969, 0.0695),  # 12.5 % and 10 %
    ],
)
def test_each_calibration_has_its_offset_and_scatter(
    calibration: str, offset: float, scatter: float
) -> None:
    exact = mass_of(calibration=calibration)
    np.testing.assert_allclose(exact.values[MASS], HERE + offset, atol=1e-4)
    np.testing.assert_allclose(exact.errors[MASS], scatter, atol=1e-4)
    assert exact.choices["mass_calibration"] == calibration
    assert exact.choices["mass_offset_dex"] == pytest.approx(offset, abs=1e-4)
    assert exact.choices["mass_scatter_dex"] == pytest.approx(scatter, abs=1e-4)
    with_errors = mass_of(calibration=calibration, error_value=0.08)
    np.testing.assert_allclose(
        with_errors.errors[MASS], np.hypot(0.08, scatter), atol=1e-4
    )


def test_what_is_stated_replaces_the_default() -> None:
    stated = mass_of(calibration="hydrostatic", offset=0.155, source="Smith+30")
    np.testing.assert_allclose(stated.values[MASS], HERE + 0.155)
    np.testing.assert_allclose(stated.errors[MASS], 0.1024, atol=1e-4)
    assert "M500 +0.155 dex, scatter 0.102 dex (Smith+30; 20 % from" in stated.log[-1]
    stated = mass_of(calibration="sz", scatter=0.02)
    np.testing.assert_allclose(stated.errors[MASS], 0.02)
    assert "(1-b = 0.8 +- 0.1: Pratt+19" in stated.log[-1]


def test_a_mass_without_calibration_is_taken_as_true_and_the_log_says_so() -> None:
    unstated = mass_of()
    np.testing.assert_allclose(unstated.values[MASS], HERE)
    expected = "mass: calibration not stated, M500 +0.000 dex, scatter 0.000 dex (taken as true): hydrostatic and SZ masses lie about 0.1 dex below"
    assert unstated.log[-1].startswith(expected)
    assert unstated.choices["mass_calibration"] == "not stated, taken as true"
    assert "taken as true" in mass_of(scatter=0.1).log[-1]
    for keys in ({"offset": 0.0}, {"calibration": "true"}):
        assert "taken as true" not in mass_of(**keys).log[-1]


def test_a_radius_follows_the_mass_beside_it() -> None:
    hydrostatic = {"column": "m", "calibration": "hydrostatic", "error_value": 0.1}
    radius = {"column": "r", "unit": "kpc"}
    alone = catalogue_of(radius=radius).values[MASS]
    own = {**radius, "calibration": "lensing"}
    gap = Table({**COLUMNS, "m": [np.nan, 4e14]})
    for quantity, offset in ((radius, 0.0969), (own, 0.0)):
        mapping = {"redshift": {"column": "z"}, "mass": hydrostatic, "radius": quantity}
        filled = convert(gap, Mapping.model_validate(mapping)).values[MASS]
        np.testing.assert_allclose(filled[0], alone[0] + offset, atol=1e-4)
        np.testing.assert_allclose(filled[1], HERE + 0.0969, atol=1e-4)


def test_what_mass_and_radius_share_hides_no_contradiction() -> None:
    """Radii of 1, 1.1 and 0.8 times R500: 0.12 and -0.29 dex of mass, and 0.1 are let pass."""
    radius_of_mass = 10.0 ** (log_radius_crit500(HERE, 0.3) - np.log10(1.3))
    table = Table({"z": [0.3] * 3, "m": [4e14] * 3})
    table["r"] = radius_of_mass * np.array([1.0, 1.1, 0.8])
    columns = {"redshift": "z", "mass": "m", "radius": "r"}
    mapping = {name: {"column": column} for name, column in columns.items()}
    mapping["mass"]["calibration"] = "hydrostatic"
    assert list(convert(table, Mapping.model_validate(mapping)).reasons) == [1, 2]
    mapping["radius"]["calibration"] = "lensing"  # another one: their scatters count
    assert list(convert(table, Mapping.model_validate(mapping)).reasons) == [2]


def test_a_temperature_has_the_calibration_of_its_relation() -> None:
    """Vikhlinin+09, 5 keV at z = 0.3: 3.02e14 / 0.6774 / E(0.3), of hydrostatic masses."""
    expansion = np.sqrt(0.3089 * 1.3**3 + 0.6911)
    published = np.log10(3.02e14 / 0.6774 / expansion)
    default = catalogue_of(temperature={"column": "t", "error_value": 0.02})
    np.testing.assert_allclose(default.values[MASS], published + 0.0969, atol=1e-4)
    in_mass = np.sqrt((1.53 * 0.02) ** 2 + 0.09**2 + 0.0543**2)
    np.testing.assert_allclose(default.errors[MASS], in_mass, atol=1e-4)
    stated = catalogue_of(temperature={"column": "t", "offset": 0.0, "scatter": 0.0})
    np.testing.assert_allclose(stated.values[MASS], published, atol=1e-4)
    np.testing.assert_allclose(
        stated.errors[MASS], 0.09
    )  # never without the relation's


@pytest.mark.parametrize("definition", ["200c", "200m", "vir"])
def test_the_scatter_of_a_conversion_is_added_to_a_stated_one(definition: str) -> None:
    plain = mass_of(definition=definition, calibration="true").errors[MASS]
    both = mass_of(definition=definition, scatter=0.1, error_value=0.1).errors[MASS]
    assert (plain > 0.0).all()
    np.testing.assert_allclose(both, np.sqrt(plain**2 + 0.02))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_the_calibration_of_its_mass(name: str) -> None:
    preset = read_preset(name)
    stated = [
        preset.quantities[key] for key in MASS_SOURCES if key in preset.quantities
    ]
    assert stated
    assert stated[0].calibration
    for quantity in preset.quantities.values():
        has_numbers = quantity.offset is not None or quantity.scatter is not None
        assert bool(quantity.source) == has_numbers


def test_the_docs_quote_the_calibration_of_every_preset() -> None:
    docs = Path(__file__).parents[3] / "docs/catalogues.md"
    text = docs.read_text(encoding="utf-8")
    for name in preset_names():
        preset = read_preset(name)
        source = next(key for key in MASS_SOURCES if key in preset.quantities)
        stated = calibration_of(preset, source)
        numbers = f"{stated.offset:+.3f} | {stated.total_scatter:.3f}"
        assert f"| `{name}` | {stated.name} | {numbers} |" in text


def test_an_offset_by_hand_replaces_that_of_the_preset() -> None:
    by_hand = read_preset("psz2").with_mass(offset=0.1549)
    assert by_hand.mass is not None
    assert (by_hand.mass.calibration, by_hand.mass.scatter) == ("sz", None)
    table = Table({"MSZ": [4.0], "MSZ_ERR_LOW": [0.4], "MSZ_ERR_UP": [0.4]})
    table["NAME"], table["REDSHIFT"] = ["a"], [0.3]
    log = convert(table, by_hand).log
    line = (
        "mass: calibration sz, M500 +0.155 dex, scatter 0.070 dex (offset set by hand; "
    )
    assert [entry for entry in log if entry.startswith(line)], log
    with pytest.raises(
        ConfigError, match=r"'offset': .* less than or equal to 3; got nan"
    ):
        by_hand.with_mass(offset=float("nan"))
    time = Mapping.model_validate({"redshift": {"column": "z"}})
    with pytest.raises(ConfigError, match="one of mass, radius, temperature; got none"):
        time.with_mass(scatter=0.1)
