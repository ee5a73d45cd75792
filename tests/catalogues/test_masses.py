"""Masses of other definitions, against colossus and closed forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.catalogues.masses import log_mass_500c, log_mass_of_temperature
from cinn_clusters.cosmology import HUBBLE_CONSTANT, HUBBLE_H, OMEGA_MATTER
from cinn_clusters.errors import DataError


@pytest.mark.parametrize("definition", ["200c", "200m", "vir"])
@pytest.mark.parametrize("redshift", [0.05, 0.4, 0.9])
def test_definitions_are_those_of_colossus(definition: str, redshift: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cosmology = pytest.importorskip(
            "colossus.cosmology.cosmology", reason="colossus is not installed"
        )
        from colossus.halo import concentration, mass_defs

        parameters = {
            "flat": True,
            "H0": HUBBLE_CONSTANT,
            "Om0": OMEGA_MATTER,
            "Ob0": 0.0486,
            "sigma8": 0.816,
            "ns": 0.967,
            "relspecies": False,
        }
        cosmology.setCosmology("ours", params=parameters, persistence="")
        masses = 10.0 ** np.array([14.0, 14.6, 15.2]) * HUBBLE_H
        known = concentration.concentration(
            masses, definition, redshift, model="duffy08"
        )
        theirs, _, _ = mass_defs.changeMassDefinition(
            masses, known, redshift, definition, "500c"
        )
    ours = log_mass_500c(np.log10(masses / HUBBLE_H), np.full(3, redshift), definition)
    np.testing.assert_allclose(ours, np.log10(theirs / HUBBLE_H), atol=0.002)


@given(st.floats(13.5, 15.6), st.floats(0.0, 1.5))
def test_m500c_is_the_smallest_and_grows_with_the_other(
    log_mass: float, redshift: float
) -> None:
    for definition in ("200c", "200m", "vir"):
        small, large = log_mass_500c(
            np.array([log_mass, log_mass + 0.1]), np.array([redshift] * 2), definition
        )
        assert log_mass - 0.45 < small < log_mass
        assert small < large
    assert (
        log_mass_500c(np.array([log_mass]), np.array([redshift]), "500c")[0] == log_mass
    )


def test_missing_masses_stay_missing_and_unknown_definitions_are_refused() -> None:
    assert np.isnan(log_mass_500c(np.array([np.nan]), np.array([0.1]), "200c"))[0]
    with pytest.raises(DataError, match="200c"):
        log_mass_500c(np.array([14.0]), np.array([0.1]), "2500c")


def test_mass_and_temperature() -> None:
    """Slope 1.53, and lower masses at the same temperature earlier."""
    low, high = log_mass_of_temperature(np.array([5.0, 10.0]), np.array([0.1, 0.1]))
    assert high - low == pytest.approx(1.53 * np.log10(2.0))
    assert log_mass_of_temperature(np.array([5.0]), np.array([0.8]))[0] < low
