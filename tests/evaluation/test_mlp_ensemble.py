"""The MLP ensemble: members side by side are members alone, and a known function is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cinn_clusters.data.split import Split
from cinn_clusters.errors import TrainingError
from cinn_clusters.evaluation import mlp_ensemble as module
from cinn_clusters.evaluation.mlp_ensemble import (
    EnsembleOptions,
    fit_ensemble,
    make_network,
)

Rows = tuple[np.ndarray, np.ndarray, Split]
SMALL = EnsembleOptions(
    members=3, hidden=(16, 16), batch=32, epochs=(6, 4), learning_rates=(1e-2, 5e-3)
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) * [1, 10, 0.1] + [0, 50, 3]
    theta = np.stack([x[:, 0] + x[:, 1] / 10, np.sin(x[:, 0]) * 100], 1) + rng.normal(
        size=(400, 2)
    ) * [0.05, 1]
    return x, theta, Split(np.arange(300), np.arange(300, 400), np.arange(0))


def test_the_published_network() -> None:
    network = make_network(7, 6, EnsembleOptions())
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["StackedLinear", "StackedBatchNorm", "ReLU"] * 3 + [
        "StackedLinear"
    ]
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["0.weight"] == (7, 7, 256)
    assert shapes["9.weight"] == (7, 256, 6)
    assert "0.bias" not in shapes
    assert "9.bias" in shapes


def test_a_known_function_is_learned(rows: Rows) -> None:
    x, theta, split = rows
    options = replace(
        SMALL, hidden=(64, 64), epochs=(60, 30), learning_rates=(1e-2, 2e-3)
    )
    fitted = fit_ensemble(x, theta, split, options)
    error = np.abs(fitted.predict(x[split.validation]) - theta[split.validation]).mean(
        0
    )
    assert (error < 0.15 * theta.std(0)).all(), error
    assert [entry[0] for entry in fitted.history] == sorted(
        entry[0] for entry in fitted.history
    )
    assert {entry[0] for entry in fitted.history} == {1, 2}


def test_the_median_of_members_is_the_prediction(rows: Rows) -> None:
    fitted = fit_ensemble(*rows, SMALL)
    members = fitted.predict_members(rows[0][:5])
    assert members.shape == (3, 5, 2)
    np.testing.assert_array_equal(fitted.predict(rows[0][:5]), np.median(members, 0))


def test_training_is_repeatable_and_seeded(rows: Rows) -> None:
    one, two, other = (
        fit_ensemble(*rows, options)
        for options in (SMALL, SMALL, replace(SMALL, seed=1))
    )
    np.testing.assert_array_equal(one.predict(rows[0]), two.predict(rows[0]))
    assert (one.predict(rows[0]) != other.predict(rows[0])).all()


def test_members_do_not_mix(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoiling the first member's start leaves the others bit for bit as they were."""
    options = replace(SMALL, patience=0)
    clean = fit_ensemble(*rows, options).predict_members(rows[0])
    plain = module.make_network

    def spoiled(*args: int, **kwargs: int) -> torch.nn.Sequential:
        network = plain(*args, **kwargs)
        with torch.no_grad():
            network[0].weight[0] *= -3.0
        return network

    monkeypatch.setattr(module, "make_network", spoiled)
    moved = fit_ensemble(*rows, options).predict_members(rows[0])
    assert (moved[0] != clean[0]).any()
    np.testing.assert_allclose(moved[1:], clean[1:], rtol=1e-4, atol=1e-3)


def test_the_best_state_is_kept_with_its_running_moments(rows: Rows) -> None:
    x, theta, split = rows
    fitted = fit_ensemble(x, theta, split, SMALL)
    members = fitted.predict_members(x[split.validation])
    scaled = np.abs(members - theta[split.validation]).mean(1) / fitted.theta_moments[1]
    kept = min(entry[3] for entry in fitted.history if entry[0] == 2)
    assert scaled.mean() == pytest.approx(kept, rel=0.05)
    assert scaled.mean() <= kept + 1e-5, (
        "each member at its own best is no worse than all at one epoch"
    )


def test_a_loss_that_is_not_finite_is_refused(rows: Rows) -> None:
    x, theta, split = rows
    spoiled = theta.copy()
    spoiled[0, 0] = np.inf
    with (
        pytest.raises((TrainingError, ValueError), match="finite"),
        np.errstate(invalid="ignore"),
    ):
        fit_ensemble(x, spoiled, split, SMALL)


def test_a_missing_value_stands_at_the_mean(rows: Rows) -> None:
    x, theta, split = rows
    fitted = fit_ensemble(x, theta, split, SMALL)
    missing, mean = x[:5].copy(), x[:5].copy()
    missing[:, 1], mean[:, 1] = np.nan, x[split.train, 1].mean()
    np.testing.assert_allclose(
        fitted.predict(missing), fitted.predict(mean), rtol=1e-4, atol=1e-4
    )
    gaps = np.where(np.random.default_rng(0).random(x.shape) < 0.1, np.nan, x)
    assert np.isfinite(fit_ensemble(gaps, theta, split, SMALL).predict(gaps)).all()
