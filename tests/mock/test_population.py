"""The mock catalogue has the structure and the quirks of the simulation's table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.checks import demand_typical, problems
from cinn_clusters.errors import ConfigError
from cinn_clusters.mock.mergers import (
    CIRCULAR_TO_HALO,
    THRESHOLD,
    draw_mergers,
    draw_orbits,
    merger_rate,
)
from cinn_clusters.mock.population import mock_catalogue

TARGETS = list(schema.DEFAULT_TARGETS)
KEYS = list(schema.KEYS)


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return mock_catalogue(200, seed=1)


@pytest.fixture(scope="module")
def labelled(tables: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    observables, targets = tables
    return observables.merge(targets.drop(columns="HaloOrigID"), on=KEYS).dropna(
        subset=TARGETS
    )


def test_same_seed_same_bits_other_seed_other_clusters() -> None:
    one, again, other = mock_catalogue(4, 3), mock_catalogue(4, 3), mock_catalogue(4, 4)
    pd.testing.assert_frame_equal(one[0], again[0], check_exact=True)
    pd.testing.assert_frame_equal(one[1], again[1], check_exact=True)
    assert not one[0]["Group_M_Crit500"].equals(other[0]["Group_M_Crit500"])


def test_first_clusters_do_not_depend_on_how_many_follow() -> None:
    few, many = mock_catalogue(3, 1), mock_catalogue(9, 1)
    pd.testing.assert_frame_equal(few[0], many[0].iloc[:24], check_exact=True)


def test_keys_identify_rows_and_halo_ids_identify_no_cluster(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    observables, targets = tables
    assert not observables.duplicated(KEYS).any()
    assert (observables[KEYS] == targets[KEYS]).all(axis=None)
    assert observables["HaloID"].nunique() == len(observables)
    assert (observables.groupby("HaloOrigID").size() == 8).all()


def test_every_value_passes_the_schema(
    tables: tuple[pd.DataFrame, pd.DataFrame], labelled: pd.DataFrame
) -> None:
    observables, targets = tables
    assert not problems(observables, list(schema.DEFAULT_OBSERVABLES))
    measured = labelled[labelled[schema.COLLISION_MASS] > 0]
    names = [*schema.DEFAULT_OBSERVABLES, *TARGETS]
    assert not problems(measured, names)
    demand_typical(measured, names)
    assert set(targets.columns) == {
        "HaloOrigID",
        *KEYS,
        *TARGETS,
        *(c.name for c in schema.DEFAULT.columns if c.name.startswith("mean_")),
    }


def test_quirks_come_at_the_rates_of_the_simulation(
    tables: tuple[pd.DataFrame, pd.DataFrame], labelled: pd.DataFrame
) -> None:
    _, targets = tables
    missing = targets["last_T_coll"].isna().groupby(targets["Snapshot"]).mean()
    assert 0.5 < missing[50] < 0.8
    assert missing[99] < 0.05
    assert 0.02 < (labelled[schema.COLLISION_MASS] == -1.0).mean() < 0.08
    since = (
        age_at_lookback(labelled["lookback_time_Gyr"].to_numpy())
        - labelled["last_T_coll"]
    )
    assert since.min() >= 0.0
    assert 0.04 < (since == 0.0).mean() < 0.12
    unique = labelled.drop_duplicates(TARGETS)["last_T_coll"]
    assert 0.5 < unique.duplicated(keep=False).mean() < 0.8, (
        "collision times on a grid of snapshots"
    )
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
    age = age_at_lookback(known["lookback_time_Gyr"].to_numpy())
    for name in ("bcg_SubhaloMass", "bcg_StellarMass"):
        residual = known[name] - known["Group_M_Crit500"]
        assert np.corrcoef(residual, age - known["last_T_coll"])[0, 1] > 0.1, (
            "relaxed clusters have heavy centres"
        )


def test_masses_end_at_the_threshold_without_piling_up_on_it(
    labelled: pd.DataFrame,
) -> None:
    masses = labelled.drop_duplicates(TARGETS)["last_Subcluster_mass"]
    assert masses.min() >= THRESHOLD / 1e14
    assert masses.value_counts().max() == 1
    known = labelled[labelled[schema.COLLISION_MASS] > 0]
    two_epochs = (
        known["last_Subcluster_mass"]
        / known[schema.COLLISION_MASS]
        / known["last_Mass_ratio"]
    )
    assert np.log10(two_epochs).std() > 0.03, "the ratio is not that of the two masses"


def test_marks_come_early_and_late(labelled: pd.DataFrame) -> None:
    is_late = labelled["Snapshot"] >= 78
    for half in (labelled[is_late], labelled[~is_late]):
        assert 0.01 < (half[schema.COLLISION_MASS] == -1.0).mean() < 0.11


def test_scatter_is_part_persistent_part_new(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    observables, _ = tables
    residual = observables["bcg_StellarMass"] - observables["Group_M_Crit500"]
    by_snapshot = observables.assign(residual=residual).pivot(
        index="HaloOrigID", columns="Snapshot", values="residual"
    )
    assert 0.3 < by_snapshot[99].corr(by_snapshot[91]) < 0.9
    assert (
        -0.5 < np.corrcoef(by_snapshot[99], np.roll(by_snapshot[91], 1))[0, 1] < 0.25
    ), "not shared by neighbours"


def test_columns_stand_in_the_order_of_the_files(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    observables, targets = tables
    assert list(observables.columns[-3:]) == [
        "redshift",
        "lookback_time_Gyr",
        "GroupGasMass",
    ]
    assert list(targets.columns[3:7]) == [
        "last_T_coll",
        "mean_T_coll",
        "last_V_coll",
        "mean_V_coll",
    ]


def test_means_run_over_the_collisions_so_far(labelled: pd.DataFrame) -> None:
    first = labelled[labelled["Snapshot"] == 50]
    assert (first["mean_T_coll"] <= first["last_T_coll"] + 1e-12).all()
    alone = first[first["mean_Mass_ratio"] == first["last_Mass_ratio"]]
    assert len(alone) > 10
    for name in ("T_coll", "V_coll", "M_Crit500_coll", "Subcluster_mass", "d_peri"):
        np.testing.assert_allclose(alone[f"mean_{name}"], alone[f"last_{name}"])


def test_number_of_mergers_is_the_integral_of_the_published_rate() -> None:
    grid = np.linspace(0.0, 1.2, 60)
    log_mass = np.full(60, 14.5)
    halo = 10.0**14.5 / CIRCULAR_TO_HALO
    rng = np.random.default_rng(0)
    counts = [len(draw_mergers(log_mass, grid, rng)[0]) for _ in range(600)]

    def over_ratio(redshift: float) -> float:
        return quad(
            lambda xi: float(merger_rate(halo, np.array(xi), np.array(redshift))),
            THRESHOLD / halo,
            1.0,
        )[0]

    expected = quad(over_ratio, 0.0, 1.2)[0]
    assert np.mean(counts) == pytest.approx(
        expected, abs=4 * np.sqrt(expected / 600) + 0.02 * expected
    )
    ratios = np.concatenate([draw_mergers(log_mass, grid, rng)[1] for _ in range(100)])
    assert ratios.min() >= THRESHOLD / halo
    assert ratios.max() <= 1.0


def test_orbits_conserve_energy_and_angular_momentum_to_pericentre() -> None:
    rng = np.random.default_rng(0)
    orbits = draw_orbits(np.full(500, 5e14), np.full(500, 1500.0), rng)
    assert (orbits.pericentre > 0).all()
    assert (orbits.pericentre <= 1500.0).all()
    order = np.argsort(orbits.pericentre)
    assert orbits.speed[order[:100]].mean() > orbits.speed[order[-100:]].mean(), (
        "deeper is faster"
    )
    assert 1200 < np.median(orbits.speed) < 3500


@pytest.mark.parametrize("num", [0, -3])
def test_a_catalogue_of_nothing_is_refused(num: int) -> None:
    with pytest.raises(ConfigError, match="expected a positive number"):
        mock_catalogue(num)
