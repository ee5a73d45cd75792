"""What people pass to a posterior: tables in any order, arrays of any library, layout and type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table

import cinn_clusters as cc
from cinn_clusters import schema
from cinn_clusters.cosmology import HUBBLE_H
from cinn_clusters.errors import DataError
from cinn_clusters.mock.population import mock_catalogue
from support import Command

TIME, MASS, GAS = schema.LOOKBACK, schema.MASS, "GroupGasMass"
SIGMA = f"sigma_{MASS}"
FRAME = pd.DataFrame({MASS: [14.7, 14.3], TIME: [2.0, 4.5], SIGMA: [0.05, 0.1]})


@pytest.fixture(scope="module")
def posterior() -> Any:
    return cc.load_posterior()


@pytest.fixture(scope="module")
def inputs(posterior: Any) -> np.ndarray:
    return posterior.query(FRAME).inputs


@pytest.fixture(scope="module")
def samples(posterior: Any, inputs: np.ndarray) -> np.ndarray:
    return posterior.sample(inputs, 20)


def test_case_n3d_a_table_is_asked_by_name(posterior: Any, samples: np.ndarray) -> None:
    turned = FRAME[[SIGMA, TIME, MASS]].assign(note="other", extra=1.0)
    np.testing.assert_array_equal(posterior.sample(turned, 20), samples)
    theta = pd.DataFrame(samples[0], columns=list(posterior.targets))
    density = posterior.log_prob(samples[0], FRAME)
    reverse = theta[list(reversed(posterior.targets))]
    np.testing.assert_array_equal(posterior.log_prob(reverse, turned), density)
    mode = cc.joint_mode(posterior, turned[:1], samples[:9, :1])[0]
    upside = np.ascontiguousarray(samples[:9, :1][::-1])[::-1]
    np.testing.assert_array_equal(mode, cc.joint_mode(posterior, FRAME[:1], upside)[0])
    summaries = [cc.summarise(posterior, table, samples) for table in (FRAME, turned)]
    pd.testing.assert_frame_equal(*summaries)


TABLES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "dictionary": lambda frame: frame.to_dict("list"),
    "records": lambda frame: frame.to_records(index=False),
    "astropy": Table.from_pandas,
    "nullable": lambda frame: frame.astype("Float64"),
    "objects": lambda frame: frame.astype(object),
    "arrow": lambda frame: frame.astype("float64[pyarrow]"),
    "float32": lambda frame: frame.astype("float32").astype("float64").round(6),
    "text": lambda frame: frame.astype(str),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_any_library(kind: str, posterior: Any, samples: np.ndarray) -> None:
    drawn = posterior.sample(TABLES[kind](FRAME), 20)
    np.testing.assert_allclose(drawn, samples, rtol=1e-5)


def test_one_object_as_a_series(posterior: Any, samples: np.ndarray) -> None:
    drawn = posterior.sample(FRAME.iloc[0], 20)
    np.testing.assert_allclose(drawn, samples[:, :1], rtol=1e-5)


def test_units_of_a_table_are_converted(posterior: Any, samples: np.ndarray) -> None:
    masses = 10.0 ** FRAME[MASS].to_numpy()
    table = QTable(
        {TIME: [2.0, 4.5] * u.Gyr, MASS: masses * u.Msun, SIGMA: FRAME[SIGMA]}
    )
    np.testing.assert_allclose(posterior.sample(table, 20), samples, rtol=1e-4)
    over_h = Table({TIME: [2.0, 4.5], MASS: masses * HUBBLE_H, SIGMA: FRAME[SIGMA]})
    over_h[MASS].unit = "Msun / h"
    np.testing.assert_allclose(posterior.sample(over_h, 20), samples, rtol=1e-4)
    table[MASS] = masses * u.kpc
    with pytest.raises(
        DataError, match=f"unit of '{MASS}': expected one that converts"
    ):
        posterior.sample(table, 20)
    outside = Table({TIME: [2.0], MASS: [99.0]})
    with pytest.raises(DataError, match="row 0"):
        posterior.sample(outside, 20)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_what_is_missing_or_masked_is_missing(missing: object, posterior: Any) -> None:
    absent = posterior.sample(FRAME[[TIME]], 20)
    gaps = pd.DataFrame({TIME: FRAME[TIME], MASS: [missing, missing]})
    np.testing.assert_array_equal(posterior.sample(gaps, 20), absent)
    nullable = pd.DataFrame({TIME: FRAME[TIME], MASS: pd.array([None] * 2, "Float64")})
    np.testing.assert_array_equal(posterior.sample(nullable, 20), absent)
    masked = Table({TIME: FRAME[TIME], MASS: MaskedColumn([14.0, 14.0], mask=True)})
    np.testing.assert_array_equal(posterior.sample(masked, 20), absent)


def test_a_mask_of_an_array_is_respected(posterior: Any, inputs: np.ndarray) -> None:
    column = list(posterior.inputs).index(MASS)
    masked = np.ma.array(inputs)
    masked[:, column] = np.ma.masked
    plain = inputs.copy()
    plain[:, column] = np.nan
    expected = posterior.sample(plain, 20)
    np.testing.assert_array_equal(posterior.sample(masked, 20), expected)


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": np.ndarray.tolist,
    "Fortran": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, -1)[..., ::2],
    "reversed": lambda array: np.ascontiguousarray(array[..., ::-1])[..., ::-1],
    "upside down": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "big-endian": lambda array: array.astype(">f8"),
    "float32": lambda array: array.astype("f4"),
    "object": lambda array: array.astype(object),
    "tensor": torch.from_numpy,
    "gradient": lambda array: torch.from_numpy(array).requires_grad_(),
    "masked": np.ma.masked_invalid,
    "frozen": lambda array: np.frombuffer(array.tobytes()).reshape(array.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_in_any_layout(
    layout: str, posterior: Any, inputs: np.ndarray, samples: np.ndarray
) -> None:
    change = LAYOUTS[layout]
    np.testing.assert_allclose(posterior.sample(change(inputs), 20), samples, rtol=1e-5)
    theta = samples[0].astype(float)
    expected = posterior.log_prob(theta, inputs)
    density = posterior.log_prob(change(theta), change(inputs))
    np.testing.assert_allclose(density, expected, rtol=1e-4)
    summary = cc.summarise(posterior, inputs, change(samples.astype(float)))
    assert np.isfinite(summary.to_numpy()).all()


def test_whole_numbers(posterior: Any) -> None:
    whole = pd.DataFrame({MASS: [15, 14], TIME: [2, 4]})
    decimal = posterior.sample(whole.astype(float), 20)
    np.testing.assert_array_equal(posterior.sample(whole, 20), decimal)
    integers = np.nan_to_num(posterior.query(whole).inputs, nan=14.0).astype(int)
    drawn = posterior.sample(integers, 20)
    np.testing.assert_array_equal(drawn, posterior.sample(integers.astype(float), 20))


def test_case_n3f_a_target_that_is_nan_is_refused(
    posterior: Any, inputs: np.ndarray, samples: np.ndarray
) -> None:
    theta = samples[0].astype(float)
    theta[1, 2] = np.nan
    told = r"theta: expected numbers; got NaN in 1 of 12; first at \[1, 2\]"
    with pytest.raises(DataError, match=told):
        posterior.log_prob(theta, inputs)
    theta[1, 2] = -5.0
    assert posterior.log_prob(theta, inputs)[1] == -np.inf


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda frame: frame.drop(columns=TIME),
            f"column '{TIME}': expected a column of the",
        ),
        (
            lambda frame: frame.rename(columns={MASS: MASS.lower()}),
            f"expected '{MASS}'",
        ),
        (lambda frame: frame.to_numpy(), "shape"),
        (lambda frame: pd.DataFrame(frame.to_numpy()), f"column '{TIME}'"),
        (lambda frame: frame.assign(**{MASS: ["14.7", "high"]}), "got 'high'; row 1"),
        (lambda frame: frame.assign(**{MASS: [1j, 2j]}), "values of type complex128"),
        (lambda frame: frame.assign(**{MASS: [True, False]}), "values of type bool"),
        (
            lambda frame: frame.assign(**{MASS: pd.Timestamp("2020")}),
            "values of type datetime",
        ),
        (lambda frame: pd.concat([frame, frame[[MASS]]], axis=1), "got 2 of that name"),
        (lambda frame: frame.assign(**{MASS: [14.5, -99.0]}), "got -99; row 1"),
        (
            lambda frame: frame.assign(**{MASS: [np.inf, 14.5]}),
            "expected finite values",
        ),
        (
            lambda frame: frame.assign(**{SIGMA: [0.1, -1.0]}),
            "errors of 0 or more; got -1",
        ),
        (
            lambda frame: frame.assign(**{TIME: [1.0, np.nan]}),
            f"column '{TIME}'.*row 1",
        ),
        (lambda frame: {TIME: [1.0, 2.0], MASS: [14.5]}, "equal length; got 1 and 2"),
        (lambda frame: [[1.0], [1.0, 2.0]], "inputs: expected"),
        (lambda frame: [14.7, 2.0], "inputs: expected shape"),
        (lambda frame: np.array([["a", "b"]]), "inputs: expected numbers"),
        (lambda frame: [14.7, 2.0] * u.Msun, "pass a QTable"),
        (lambda frame: None, "inputs: expected"),
    ],
)
def test_what_cannot_be_asked(
    change: Callable[[pd.DataFrame], Any], told: str, posterior: Any
) -> None:
    with pytest.raises(DataError, match=told) as refused:
        posterior.sample(change(FRAME), 20)
    assert "\n" not in str(refused.value)


def test_no_objects(posterior: Any) -> None:
    assert posterior.sample(FRAME[:0], 20).shape == (20, 0, 6)
    with pytest.raises(DataError, match="one object or more"):
        cc.joint_mode(posterior, FRAME[:0], np.ones((20, 0, 6)))


@pytest.mark.parametrize(
    ("num_samples", "seed"), [(0, 0), (2.5, 0), ("20", 0), (20, -1), (20, 0.5)]
)
def test_counts_are_whole(num_samples: Any, seed: Any, posterior: Any) -> None:
    with pytest.raises(DataError, match="a whole number of"):
        posterior.sample(FRAME, num_samples, seed=seed)


def test_targets_and_samples_of_another_shape(
    posterior: Any, inputs: np.ndarray, samples: np.ndarray
) -> None:
    theta = pd.DataFrame(samples[0], columns=list(posterior.targets))
    with pytest.raises(DataError, match="column 'last_d_peri'"):
        posterior.log_prob(theta.drop(columns="last_d_peri"), inputs)
    with pytest.raises(DataError, match=r"theta: expected \(N, D\)"):
        posterior.log_prob(samples[0][:, :5], inputs)
    for function in (cc.joint_mode, cc.summarise):
        for wrong in (samples[0], samples[:, :1], samples[:0], samples * np.nan):
            with pytest.raises(DataError, match="samples: expected"):
                function(posterior, inputs, wrong)


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("GroupGasMass", "groupgasmass"),
        ("sigma_Group_M_Crit500", "Sigma_Group_M_Crit500"),
        ("lookback_time_Gyr", "Lookback time Gyr"),
    ],
)
def test_a_file_is_asked_by_the_names_of_columns_too(
    tmp_path: Path, command: Command, name: str, spelling: str
) -> None:
    """A column under another spelling would be passed over, an error so make its value exact."""
    table, _ = mock_catalogue(1, seed=1)
    table["sigma_Group_M_Crit500"] = 0.1
    table.rename(columns={name: spelling}).to_csv(tmp_path / "a.csv", index=False)
    line = f"infer --catalogue {tmp_path / 'a.csv'} --samples 2 --out {tmp_path}/p.nc"
    result = command(line)
    assert result.code == 1
    expected = f"column '{spelling}': expected '{name}'; got another spelling of it"
    assert expected in result.err


def test_a_column_of_a_file_that_is_wrong_in_every_row(
    tmp_path: Path, command: Command
) -> None:
    table, _ = mock_catalogue(1, seed=1)
    table[MASS] = 10.0 ** table[MASS]
    table.to_csv(tmp_path / "a.csv", index=False)
    line = f"infer --catalogue {tmp_path / 'a.csv'} --samples 2 --out {tmp_path}/p.nc"
    result = command(line)
    assert result.code == 1
    assert f"column '{MASS}': expected values in [11, 17] [log10 Msun]" in result.err
    assert "in the median of 8 rows, all outside; convert the column" in result.err
