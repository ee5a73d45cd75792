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
from cinn_clusters.errors import ConfigError
from cinn_clusters.files import Destination
from cinn_clusters.pipeline.inference.infer import InferenceOptions, Inferred, infer
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
