"""Masses of other overdensities and of temperatures, against colossus and numbers by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.catalogues.masses.concentrations import (
    DIEMER_JOYCE,
    ISHIYAMA,
    log_concentration,
)
from cinn_clusters.catalogues.masses.definitions import (
    conversion_scatter,
    log_mass_500c,
)
from cinn_clusters.catalogues.masses.temperature import log_mass_of_temperature
from cinn_clusters.cosmology import HUBBLE_CONSTANT, HUBBLE_H, OMEGA_MATTER
from cinn_clusters.errors import DataError

LOG_MASSES = np.array([13.8, 14.3, 14.8, 15.3])
RELATIONS = {"ishiyama21": ISHIYAMA, "diemer19": DIEMER_JOYCE}


@pytest.fixture(scope="module")
def colossus() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cosmology = pytest.importorskip(
            "colossus.cosmology.cosmology", reason="colossus is not installed"
        )
        from colossus import halo
        from colossus.halo import concentration, mass_defs  # noqa: F401

        parameters = {
            "flat": True,
            "H0": HUBBLE_CONSTANT,
            "Om0": OMEGA_MATTER,
            "Ob0": 0.0486,
            "sigma8": 0.8159,
            "ns": 0.9667,
            "relspecies": False,
        }
        cosmology.setCosmology("ours", params=parameters, persistence="")
        yield halo


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("redshift", [0.05, 0.4, 0.9])
def test_concentrations_are_those_of_colossus(
    colossus: Any, name: str, redshift: float
) -> None:
    masses = 10.0**LOG_MASSES * HUBBLE_H
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = colossus.concentration.concentration(
            masses, "200c", redshift, model=name
        )
    ours = log_concentration(LOG_MASSES, np.full(4, redshift), RELATIONS[name])
    np.testing.assert_allclose(ours, np.log10(theirs), atol=0.003)


@pytest.mark.parametrize("definition", ["200c", "200m", "vir"])
@pytest.mark.parametrize("redshift", [0.05, 0.4, 0.9])
def test_definitions_are_those_of_colossus(
    colossus: Any, definition: str, redshift: float
) -> None:
    """One halo of Ishiyama+21, by c200c, has both masses."""
    masses = 10.0**LOG_MASSES * HUBBLE_H
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = colossus.concentration.concentration(
            masses, "200c", redshift, model="ishiyama21"
        )
        change = colossus.mass_defs.changeMassDefinition
        other, _, _ = change(masses, known, redshift, "200c", definition)
        within_500c, _, _ = change(masses, known, redshift, "200c", "500c")
    ours = log_mass_500c(np.log10(other / HUBBLE_H), np.full(4, redshift), definition)
    np.testing.assert_allclose(ours, np.log10(within_500c / HUBBLE_H), atol=0.001)


def test_an_nfw_halo_by_hand() -> None:
    """c = 3.88 (Ishiyama+21, 1e15 Msun, z = 0): m(3.88) = 0.790; where m(x) / x^3 is 2.5 times
    0.790 / 3.88^3, x = 2.518 and m = 0.542, that is 0.686 of M200c."""
    at_present = np.array([0.0])
    concentration = 10.0 ** log_concentration(np.array([15.0]), at_present)
    assert concentration[0] == pytest.approx(3.88, abs=0.01)
    ratio = log_mass_500c(np.array([15.0]), at_present, "200c")[0] - 15.0
    assert ratio == pytest.approx(np.log10(0.686), abs=0.002)


@pytest.mark.parametrize(
    ("definition", "scatter"), [("200c", 0.030), ("200m", 0.047), ("vir", 0.042)]
)
def test_scatter_is_that_of_concentrations_and_between_relations(
    definition: str, scatter: float
) -> None:
    mass, redshift = np.array([14.8]), np.array([0.3])
    assert conversion_scatter(mass, redshift, definition)[0] == pytest.approx(
        scatter, abs=0.002
    )
    one = log_mass_500c(mass, redshift, definition)
    other = log_mass_500c(mass, redshift, definition, DIEMER_JOYCE)
    assert conversion_scatter(mass, redshift, definition) > np.abs(one - other)


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


def test_masses_out_of_range_stay_finite_and_missing_ones_missing() -> None:
    masses, redshift = (
        np.array([3.0, 30.0, np.nan, 15.0]),
        np.array([0.1, 5, 0, np.nan]),
    )
    converted = log_mass_500c(masses, redshift, "200m")
    assert np.isfinite(converted).tolist() == [True, True, False, False]
    with pytest.raises(DataError, match="200c"):
        log_mass_500c(np.array([14.0]), np.array([0.1]), "2500c")


def test_mass_and_temperature() -> None:
    """3.02e14 / 0.6774 at 5 keV, slope 1.53, and lower masses at the same temperature earlier."""
    present, hot = log_mass_of_temperature(np.array([5.0, 10.0]), np.array([0.0, 0.0]))
    assert present == pytest.approx(14.6492, abs=1e-4)
    assert hot - present == pytest.approx(1.53 * np.log10(2.0))
    early = log_mass_of_temperature(np.array([5.0]), np.array([1.0]))[0]
    assert present - early == pytest.approx(np.log10(1.7782), abs=1e-4)  # E(1)
