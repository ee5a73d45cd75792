"""The embedded catalogue has the structure and the quirks of the simulation's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.checks import demand_typical, problems
from cinn_clusters.errors import ConfigError
from cinn_clusters.mock.mergers import CIRCULAR_TO_HALO, THRESHOLD, draw_mergers, draw_orbits, merger_rate
from cinn_clusters.mock.population import mock_catalogue

TARGETS = list(schema.DEFAULT_TARGETS)
KEYS = list(schema.KEYS)


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return mock_catalogue(200, seed=1)


@pytest.fixture(scope="module")
def labelled(tables: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    observables, targets = tables
    return observables.merge(targets.drop(columns="HaloOrigID"), on=KEYS).dropna(subset=TARGETS)


def test_same_seed_same_bits_other_seed_other_clusters() -> None:
    one, again, other = mock_catalogue(4, 3), mock_catalogue(4, 3), mock_catalogue(4, 4)
    pd.testing.assert_frame_equal(one[0], again[0], check_exact=True)
    pd.testing.assert_frame_equal(one[1], again[1], check_exact=True)
    assert not one[0]["Group_M_Crit500"].equals(other[0]["Group_M_Crit500"])


def test_first_clusters_do_not_depend_on_how_many_follow() -> None:
    few, many = mock_catalogue(3, 1), mock_catalogue(9, 1)
    pd.testing.assert_frame_equal(few[0], many[0].iloc[:24], check_exact=True)


def test_keys_identify_rows_and_halo_ids_identify_no_cluster(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    observables, targets = tables
    assert not observables.duplicated(KEYS).any()
    assert (observables[KEYS] == targets[KEYS]).all(axis=None)
    assert observables["HaloID"].nunique() == len(observables)
    assert (observables.groupby("HaloOrigID").size() == 8).all()


def test_every_value_passes_the_schema(tables: tuple[pd.DataFrame, pd.DataFrame], labelled: pd.DataFrame) -> None:
    observables, targets = tables
    assert not problems(observables, list(schema.DEFAULT_OBSERVABLES))
    measured = labelled[labelled[schema.COLLISION_MASS] > 0]
    names = [*schema.DEFAULT_OBSERVABLES, *TARGETS]
    assert not problems(measured, names)
    demand_typical(measured, names)
    assert set(targets.columns) == {"HaloOrigID", *KEYS, *TARGETS, *(c.name for c in schema.EXTRA_TARGETS)}


def test_quirks_come_at_the_rates_of_the_simulation(
    tables: tuple[pd.DataFrame, pd.DataFrame], labelled: pd.DataFrame
) -> None:
    _, targets = tables
    missing = targets["last_T_coll"].isna().groupby(targets["Snapshot"]).mean()
    assert 0.5 < missing[50] < 0.8
    assert missing[99] < 0.05
    assert 0.02 < (labelled[schema.COLLISION_MASS] == -1.0).mean() < 0.08
    since = age_at_lookback(labelled["lookback_time_Gyr"].to_numpy()) - labelled["last_T_coll"]
    assert since.min() >= 0.0
    assert 0.04 < (since == 0.0).mean() < 0.12
    unique = labelled.drop_duplicates(TARGETS)["last_T_coll"]
    assert 0.5 < unique.duplicated(keep=False).mean() < 0.8, "collision times on a grid of snapshots"
    assert labelled["last_Mass_ratio"].between(0, 1, inclusive="right").all()


def test_snapshots_of_a_cluster_share_their_history(labelled: pd.DataFrame) -> None:
    distinct = labelled.drop_duplicates(TARGETS)
    assert len(distinct) < 0.8 * len(labelled)
    assert (labelled.groupby(TARGETS)["HaloOrigID"].nunique() == 1).all()


def test_observables_know_the_history(labelled: pd.DataFrame) -> None:
    known = labelled[labelled[schema.COLLISION_MASS] > 0]
    host = np.log10(known[schema.COLLISION_MASS])
    assert np.corrcoef(known["Group_M_Crit500"], host)[0, 1] > 0.5
    assert np.corrcoef(known["Group_M_Crit500"], known["last_V_coll"])[0, 1] > 0.3
    fraction = known["GroupGasMass"] - known["Group_M_Crit500"]
    assert np.corrcoef(fraction, known["last_Mass_ratio"])[0, 1] > 0.1


def test_number_of_mergers_is_the_integral_of_the_published_rate() -> None:
    grid = np.linspace(0.0, 1.2, 60)
    log_mass = np.full(60, 14.5)
    halo = 10.0**14.5 / CIRCULAR_TO_HALO
    rng = np.random.default_rng(0)
    counts = [len(draw_mergers(log_mass, grid, rng)[0]) for _ in range(600)]

    def over_ratio(redshift: float) -> float:
        return quad(lambda xi: float(merger_rate(halo, np.array(xi), np.array(redshift))), THRESHOLD / halo, 1.0)[0]

    expected = quad(over_ratio, 0.0, 1.2)[0]
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.sqrt(expected / 600) + 0.02 * expected)
    ratios = np.concatenate([draw_mergers(log_mass, grid, rng)[1] for _ in range(100)])
    assert ratios.min() >= THRESHOLD / halo
    assert ratios.max() <= 1.0


def test_orbits_conserve_energy_and_angular_momentum_to_pericentre() -> None:
    rng = np.random.default_rng(0)
    orbits = draw_orbits(np.full(500, 5e14), np.full(500, 1500.0), rng)
    assert (orbits.pericentre > 0).all()
    assert (orbits.pericentre <= 1500.0).all()
    order = np.argsort(orbits.pericentre)
    assert orbits.speed[order[:100]].mean() > orbits.speed[order[-100:]].mean(), "deeper is faster"
    assert 1200 < np.median(orbits.speed) < 3500


@pytest.mark.parametrize("num", [0, -3])
def test_a_catalogue_of_nothing_is_refused(num: int) -> None:
    with pytest.raises(ConfigError, match="expected a positive number"):
        mock_catalogue(num)
