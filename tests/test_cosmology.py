"""The two clocks against astropy, and the one radius against the definition of R500c."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM, Planck15, z_at_value
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from cinn_clusters.cosmology import (
    HUBBLE_H,
    MAX_REDSHIFT,
    age_at_lookback,
    log_radius_crit500,
    lookback_at_redshift,
    max_lookback,
    redshift_at_lookback,
)

CATALOGUE = FlatLambdaCDM(H0=67.74, Om0=0.3089)
REDSHIFTS = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 12.0, 19.9])


def test_lookback_is_that_of_the_catalogue_cosmology() -> None:
    np.testing.assert_allclose(
        lookback_at_redshift(REDSHIFTS),
        CATALOGUE.lookback_time(REDSHIFTS).value,
        rtol=0,
        atol=2e-6,
    )


def test_the_table_of_the_clocks_is_that_of_astropy() -> None:
    """Splines of values that astropy gives today, at the knots and between them."""
    redshift = np.expm1(np.linspace(0.0, np.log1p(MAX_REDSHIFT), 600))
    lookback = np.asarray(CATALOGUE.lookback_time(redshift).value)
    age = CubicSpline(lookback, Planck15.age(redshift).value)
    between = np.linspace(0.0, max_lookback(), 5000)
    exact = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(age_at_lookback(between), age(between), **exact)
    back = CubicSpline(lookback, redshift)(between)
    np.testing.assert_allclose(redshift_at_lookback(between), back, **exact)
    forth = CubicSpline(redshift, lookback)(redshift[:-1] + 0.01)
    np.testing.assert_allclose(
        lookback_at_redshift(redshift[:-1] + 0.01), forth, **exact
    )


@pytest.mark.parametrize("lookback", [0.3, 3.504147, 7.924693, 11.0, 12.9])
def test_age_goes_through_the_redshift(lookback: float) -> None:
    redshift = z_at_value(CATALOGUE.lookback_time, lookback * u.Gyr, zmax=30).value
    assert redshift_at_lookback(np.array([lookback]))[0] == pytest.approx(
        redshift, rel=1e-5
    )
    assert age_at_lookback(np.array([lookback]))[0] == pytest.approx(
        Planck15.age(redshift).value, abs=2e-6
    )


def test_age_is_not_a_fixed_age_minus_lookback() -> None:
    """The two cosmologies differ by Myr: the shortcut would move collisions at a snapshot away
    from it."""
    lookback = lookback_at_redshift(np.array([1.0, 2.0, 5.0]))
    shortcut = Planck15.age(0).value - lookback
    assert (age_at_lookback(lookback) - shortcut > [5e-4, 1e-3, 2e-3]).all()


@given(st.floats(0.0, 1.0))
def test_lookback_and_redshift_are_inverse(share: float) -> None:
    lookback = np.array([share * max_lookback()])
    np.testing.assert_allclose(
        lookback_at_redshift(redshift_at_lookback(lookback)),
        lookback,
        rtol=0,
        atol=1e-5,
    )


def test_age_falls_with_lookback_and_stays_positive() -> None:
    age = age_at_lookback(np.linspace(0, max_lookback(), 2000))
    assert (np.diff(age) < 0).all()
    assert age[-1] > 0.15


def test_uncovered_lookback_has_no_age() -> None:
    outside = np.array([-1e-9, -3.0, max_lookback() + 1e-6, 99.0, np.inf, np.nan])
    assert np.isnan(age_at_lookback(outside)).all()
    assert np.isfinite(age_at_lookback(np.array([0.0, max_lookback()]))).all()
    assert max_lookback() == pytest.approx(
        CATALOGUE.lookback_time(MAX_REDSHIFT).value, abs=1e-9
    )


def test_shapes_are_kept() -> None:
    assert age_at_lookback(np.full((2, 3), 1.0)).shape == (2, 3)
    assert age_at_lookback(np.float64(1.0)).shape == ()


@pytest.mark.parametrize("redshift", [0.0, 0.4, 1.0, 3.0])
def test_mean_density_within_the_radius_is_500_times_critical(redshift: float) -> None:
    log_mass = np.array([13.5, 14.4, 15.3])
    radius = (
        10 ** log_radius_crit500(log_mass, np.full(3, redshift))
        / (1 + redshift)
        * u.kpc
    )
    density = 10**log_mass * u.Msun / (4 / 3 * np.pi * radius**3)
    np.testing.assert_allclose(
        (density / CATALOGUE.critical_density(redshift)).to_value(""), 500.0, rtol=2e-4
    )


def test_hubble_h() -> None:
    assert pytest.approx(CATALOGUE.h) == HUBBLE_H
