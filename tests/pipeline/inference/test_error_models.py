"""What a mapping says of priors, limits, correlations and redshift errors reaches the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Mapping, read_mapping
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.inference.answering import InferenceOptions
from cinn_clusters.pipeline.inference.infer import Inferred, infer
from cinn_clusters.pipeline.inference.mass_used import MASS_USED, MASS_USED_SD
from cinn_clusters.posterior.query import Sampling
from support import Command

MASS_MEDIAN = "last_M_Crit500_coll_median"
PLAIN: dict[str, Any] = {
    "redshift": {"column": "z"},
    "mass": {"column": "m", "scale": "log10", "error_value": 0.2},
}


def asked(
    tmp_path: Path,
    columns: dict[str, list[Any]],
    mapping: dict[str, Any],
    **options: Any,
) -> tuple[Inferred, Table]:
    """Answer of a small catalogue."""
    table = Table(columns)
    table.write(tmp_path / "own.ecsv", overwrite=True)
    inferred = infer(
        tmp_path / "own.ecsv",
        Destination(tmp_path / "own.nc", True),
        mapping=Mapping.model_validate(mapping),
        sampling=Sampling(options.pop("num_samples", 200)),
        options=InferenceOptions(table=tmp_path / "answer.ecsv", **options),
    )
    return inferred, read_table(inferred.table)


def test_the_prior_of_the_masses_is_the_users(tmp_path: Path) -> None:
    columns = {"z": [0.3] * 3, "m": [14.0, 14.6, 15.2]}
    sample = asked(tmp_path, columns, PLAIN)[1]
    flat = asked(tmp_path, columns, {**PLAIN, "mass_prior": "flat"})[1]
    falling = asked(tmp_path, columns, PLAIN, mass_prior=-2.0)[1]
    np.testing.assert_allclose(flat[MASS_USED], columns["m"], atol=1e-6)
    np.testing.assert_allclose(flat[MASS_USED_SD], 0.2, atol=1e-6)
    shift = -2.0 * np.log(10.0) * 0.2**2
    np.testing.assert_allclose(falling[MASS_USED], flat[MASS_USED] + shift, atol=1e-6)
    assert sample[MASS_USED][0] > 14.1  # the training clusters are heavier
    assert sample[MASS_MEDIAN][0] > 1.2 * flat[MASS_MEDIAN][0]
    assert sample[MASS_MEDIAN][2] < 0.8 * flat[MASS_MEDIAN][2]
    assert list(sample["cinn_status"]) == ["flagged", "ok", "flagged"]
    assert (
        "moves M500 by more than half its error (14.00 to 14."
        in sample["cinn_reasons"][0]
    )
    assert list(flat["cinn_status"]) == ["ok"] * 3


def test_the_prior_is_kept_in_the_file_and_an_exact_mass_has_none(
    tmp_path: Path,
) -> None:
    columns = {"z": [0.3], "m": [14.0]}
    exact = {**PLAIN, "mass": {"column": "m", "scale": "log10"}}
    samples = {}
    for prior in ("sample", "flat", -1.5):
        inferred, table = asked(tmp_path, columns, exact, mass_prior=prior)
        with xr.open_dataset(inferred.posterior, group="posterior") as file:
            samples[prior] = file["last_V_coll"].values.copy()
        with xr.open_dataset(inferred.posterior) as file:
            assert file.attrs["mass_prior"] == str(prior)
        assert (table[MASS_USED][0], table[MASS_USED_SD][0]) == (14.0, 0.0)
        np.testing.assert_array_equal(samples[prior], samples["sample"])


def test_a_prior_that_is_none_is_refused(tmp_path: Path, command: Command) -> None:
    told = "mass_prior: expected 'sample' or 'flat', or d ln N / d ln M within 10 of 0; got"
    mapping = tmp_path / "own.toml"
    for stated in ('"steep"', "nan", "30"):
        mapping.write_text(f'mass_prior = {stated}\n[redshift]\ncolumn = "z"\n')
        with pytest.raises(ConfigError, match=told):
            read_mapping(mapping)
    (tmp_path / "own.csv").write_text("z,m\n0.3,14.5\n")
    mapping.write_text(
        '[redshift]\ncolumn = "z"\n[mass]\ncolumn = "m"\nscale = "log10"\n'
    )
    line = f"infer --catalogue {tmp_path}/own.csv --mapping {mapping} --out {tmp_path}/o.nc"
    command(f"{line} --mass-prior steep").demand_error(told)
    assert not (tmp_path / "o.nc").exists()


BOTH: dict[str, Any] = {
    "redshift": {"column": "z"},
    "mass": {"column": "m", "scale": "log10", "error_value": 0.2},
    "gas_mass": {
        "column": "g",
        "scale": "log10",
        "error_value": 0.15,
        "definition": "group",
    },
}
COLUMNS: dict[str, list[Any]] = {"z": [0.3] * 3, "m": [14.6] * 3, "g": [13.8] * 3}
REALISED = "answered by realisations"


def test_limits_are_no_detections(tmp_path: Path) -> None:
    """By flags and by signs alike; a limit at the value is below it, none beside it is no flag."""
    detected = asked(tmp_path, COLUMNS, BOTH)[1]
    by_sign = asked(tmp_path, {**COLUMNS, "g": ["13.8", "<13.8", "> 13.8"]}, BOTH)[1]
    flagged = {**COLUMNS, "l": ["", "<", ">"]}
    gas = {**BOTH["gas_mass"], "limit": "l"}
    by_flag = asked(tmp_path, flagged, {**BOTH, "gas_mass": gas})[1]
    for name in (MASS_USED, MASS_MEDIAN):
        np.testing.assert_array_equal(by_sign[name], by_flag[name])
        assert by_sign[name][0] == detected[name][0]
        assert by_sign[name][1] < by_sign[name][2]
    assert list(by_sign["cinn_status"]) == ["ok"] * 3
    told = [
        "",
        f"gas_mass: an upper limit, {REALISED}",
        f"gas_mass: a lower limit, {REALISED}",
    ]
    assert [str(reason) for reason in by_sign["cinn_reasons"].filled("")] == told


def test_a_flag_may_be_logical_and_no_other_number(tmp_path: Path) -> None:
    gas = {**BOTH["gas_mass"], "limit": "l"}
    mapping = {**BOTH, "gas_mass": gas}
    one = asked(tmp_path, {**COLUMNS, "l": [False, True, False]}, mapping)[1]
    assert "an upper limit" in one["cinn_reasons"][1]
    with pytest.raises(
        DataError, match="flag of limits 'l': expected '<', '>', true, false"
    ):
        asked(tmp_path, {**COLUMNS, "l": [0, 1, -1]}, mapping)
    with pytest.raises(ValueError, match=r"\[radius\] limit: expected one of the keys"):
        Mapping.model_validate({**BOTH, "radius": {"column": "r", "limit": "l"}})


def test_correlated_errors_are_realised(tmp_path: Path) -> None:
    columns = {**COLUMNS, "g": [13.8, 14.1, 14.1], "rho": [0.0, 0.9, 7.0]}
    independent = asked(tmp_path, columns, BOTH)[1]
    pair = {"quantities": ["mass", "gas_mass"]}
    one = asked(
        tmp_path, columns, {**BOTH, "correlation": [{**pair, "column": "rho"}]}
    )[1]
    for row in (0, 2):
        assert one[MASS_MEDIAN][row] == independent[MASS_MEDIAN][row]
    assert one[MASS_MEDIAN][1] != independent[MASS_MEDIAN][1]
    assert (
        one["cinn_reasons"][1]
        == f"errors of mass and gas_mass are correlated, {REALISED}"
    )
    assert (
        "correlation of mass and gas_mass: expected a number in [-1, 1]"
        in one["cinn_reasons"][2]
    )
    # the scatter of an aperture is independent of both, and lessens the coefficient
    own = {**BOTH, "correlation": [{**pair, "value": 0.9}]}
    own["gas_mass"] = {**BOTH["gas_mass"], "scatter": 0.2}
    inferred, _ = asked(tmp_path, columns, own)
    assert any(
        "coefficient 0.54 of errors with scatter" in line
        for line in inferred.conversions
    )


@pytest.mark.parametrize(
    ("correlation", "told"),
    [
        (
            [{"quantities": ["mass", "stellar_mass"], "value": 0.5}],
            "mapped quantities mass, gas",
        ),
        ([{"quantities": ["mass", "mass"], "value": 0.5}], "two of the mapped"),
        ([{"quantities": ["mass", "gas_mass"]}], "value or column"),
        ([{"quantities": ["mass", "gas_mass"], "value": 0.1}] * 2, "one coefficient"),
        (
            [{"quantities": ["mass", "gas_mass"], "value": 1.2}],
            "less than or equal to 1",
        ),
    ],
)
def test_correlations_that_are_none_are_refused(
    tmp_path: Path, correlation: list[dict[str, Any]], told: str
) -> None:
    parts = [f"{'redshift'}.column = 'z'", "mass.column = 'm'", "gas_mass.column = 'g'"]
    for one in correlation:
        parts.append("[[correlation]]")
        parts += [f"{key} = {value!r}" for key, value in one.items()]
    (tmp_path / "own.toml").write_text("\n".join(parts))
    with pytest.raises(ConfigError, match=told):
        read_mapping(tmp_path / "own.toml")


def test_coefficients_that_exclude_each_other_are_refused() -> None:
    names = ("mass", "gas_mass", "stellar_mass")
    mapped = {name: {"column": name} for name in names}
    pairs = [
        (names[0], names[1], 0.9),
        (names[0], names[2], 0.9),
        (names[1], names[2], -0.9),
    ]
    correlation = [{"quantities": (a, b), "value": value} for a, b, value in pairs]
    with pytest.raises(ValueError, match="positive semidefinite"):
        Mapping.model_validate(
            {"redshift": {"column": "z"}, **mapped, "correlation": correlation}
        )


def test_redshifts_may_have_errors(tmp_path: Path) -> None:
    columns = {**COLUMNS, "e": [0.0, 0.05, 0.05], "z": [0.3, 0.3, 0.02]}
    plain = asked(tmp_path, columns, BOTH)[1]
    mapping = {**BOTH, "redshift": {"column": "z", "error": "e"}}
    inferred, one = asked(tmp_path, columns, mapping, num_samples=1000)
    exact = asked(tmp_path, columns, BOTH, num_samples=1000)[1]
    assert plain["cinn_status"][0] == "ok"
    assert one[MASS_MEDIAN][0] == exact[MASS_MEDIAN][0]
    assert one[MASS_MEDIAN][1] != exact[MASS_MEDIAN][1]
    assert list(one["cinn_status"]) == ["ok"] * 3
    assert one["cinn_reasons"][1] == f"the redshift has an error, {REALISED}"
    assert any(
        "redshifts of 2 of 3 rows have errors" in line for line in inferred.conversions
    )
    with xr.open_dataset(inferred.posterior, group="posterior") as file:
        assert np.isfinite(file["last_T_coll"]).all()
    since = np.asarray(one["time_since_collision_Gyr_p16"], dtype=float)
    assert (since >= 0.0).all()
    with pytest.raises(DataError, match="errors of 'z': expected a median below"):
        asked(tmp_path, {**columns, "e": [900.0] * 3}, mapping)


def test_sizes_on_the_sky_follow_a_realised_redshift() -> None:
    """A radius of 5 arcmin is a larger one, and a heavier cluster, at a higher redshift."""
    from cinn_clusters.catalogues.published import convert_published

    radius = {"column": "r", "unit": "arcmin", "error_value": 0.02}
    redshift = {"column": "z", "error_value": 0.03}
    table = Table({"z": [0.2, 0.5], "r": [5.0, 2.0]})
    mapping = Mapping.model_validate({"redshift": redshift, "radius": radius})
    found = convert_published(table, mapping)
    assert found.redshifts is not None
    errors = 0.03 * np.array([1.2, 1.5])
    np.testing.assert_allclose(found.redshifts.errors, [errors, errors])
    plain = Mapping.model_validate({"redshift": {"column": "z"}, "radius": radius})
    moved = Table({"z": [0.236, 0.545], "r": [5.0, 2.0]})
    change = (
        convert_published(moved, plain).values["Group_M_Crit500"]
        - found.values["Group_M_Crit500"]
    )
    slope = found.redshifts.slopes["Group_M_Crit500"]
    assert (change > 0.05).all()
    np.testing.assert_allclose(slope * errors, change, rtol=0.15)


def test_a_large_error_under_another_prior_is_realised(tmp_path: Path) -> None:
    wide = {**PLAIN, "mass": {**PLAIN["mass"], "error_value": 0.5}}
    columns = {"z": [0.3], "m": [14.4]}
    _, table = asked(tmp_path, columns, wide, mass_prior="flat")
    assert "too large for a network under this mass_prior" in table["cinn_reasons"][0]
    assert table["cinn_status"][0] == "ok"
    assert table[MASS_USED][0] == pytest.approx(14.4, abs=1e-6)
    assert table[MASS_USED_SD][0] == pytest.approx(0.5, rel=1e-6)
