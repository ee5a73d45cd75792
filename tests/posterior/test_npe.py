"""From a catalogue to pairs: who trains on what, who stops on what, and what the losses are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.split import Split, folds_by_cluster, split_by_cluster
from cinn_clusters.data.transforms import Transforms, fit_transforms
from cinn_clusters.errors import ConfigError
from cinn_clusters.posterior import fit, npe
from cinn_clusters.posterior.fit import Fold, fit_folds, prepare_jobs
from cinn_clusters.posterior.npe import (
    NUM_DEQUANTISED,
    NUM_HELD_OUT_COPIES,
    TrainingPairs,
    join_pairs,
    make_training_pairs,
    maximise_likelihood,
)
from cinn_clusters.settings.config import Config, ModelConfig, TrainConfig
from cinn_clusters.training.fit import load_best, start
from support import glow

SEEN = (schema.LOOKBACK, schema.MASS)
TARGETS = (schema.COLLISION_TIME, "last_Mass_ratio")
SNAPSHOTS = 4


def _catalogue(num_clusters: int) -> Catalogue:
    rng = np.random.default_rng(0)
    num_rows = SNAPSHOTS * num_clusters
    lookback = np.tile([0.0, 1.3, 3.5, 7.9], num_clusters)
    begin = schema.column(schema.COLLISION_TIME).record_begin
    window = age_at_lookback(lookback) - begin
    # one in three at the snapshot itself
    time = begin + window * rng.choice([0.5, 0.8, 1.0], num_rows)
    columns = {
        schema.CLUSTER_COLUMN: np.repeat(np.arange(num_clusters), SNAPSHOTS),
        schema.LOOKBACK: lookback,
        schema.MASS: rng.normal(14.3, 0.4, num_rows),
        schema.COLLISION_TIME: time,
        "last_Mass_ratio": rng.uniform(0.05, 0.9, num_rows),
    }
    return Catalogue(pd.DataFrame(columns), SEEN, TARGETS)


def _prepared(num_clusters: int = 20) -> tuple[Catalogue, Split, Transforms]:
    catalogue = _catalogue(num_clusters)
    split = split_by_cluster(catalogue.clusters)
    theta = catalogue.theta
    theta[:, 0] = np.minimum(theta[:, 0], catalogue.age - 0.05)
    train = split.train
    seen = {name: catalogue.table[name].to_numpy()[train] for name in SEEN}
    return catalogue, split, fit_transforms(seen, theta[train], SEEN, TARGETS)


def _config(num_members: int, seed: int = 42, **options: float) -> Config:
    train = {
        "held_out_groups": 0,
        "noise": 0.0,
        "weight_decay": 0.0,
        "patience": 0,
        **options,
    }
    model = ModelConfig(members=num_members)
    return Config(seed=seed, model=model, train=TrainConfig.model_validate(train))


def _pairs(
    num_members: int = 3, num_clusters: int = 20, seed: int = 42, **options: float
) -> tuple[TrainingPairs, Catalogue, Split]:
    catalogue, split, transforms = _prepared(num_clusters)
    config = _config(num_members, seed, **options)
    pairs = make_training_pairs(catalogue, split, transforms, config)
    return pairs, catalogue, split


def test_test_rows_are_not_among_the_pairs() -> None:
    pairs, catalogue, split = _pairs()
    index = np.concatenate([split.train, split.validation])
    assert len(pairs.x[0]) == len(index) < len(catalogue.table)
    mass = catalogue.table[schema.MASS].to_numpy()
    order = np.argsort(mass[index])
    np.testing.assert_array_equal(np.argsort(pairs.x[0, :, 1].numpy()), order)


def test_validation_rows_stop_every_member_where_no_groups_are_held_out() -> None:
    pairs, _, split = _pairs(num_members=3)
    for k in range(3):
        np.testing.assert_array_equal(pairs.train_rows[k], np.arange(len(split.train)))
        np.testing.assert_array_equal(
            pairs.held_out_rows[k], len(split.train) + np.arange(len(split.validation))
        )
    assert (pairs.held_out_weights == 1).all()


@pytest.mark.parametrize(
    ("num_members", "num_groups", "num_clusters"),
    [(4, 4, 20), (7, 3, 20), (2, 5, 11), (10, 10, 6)],
)
def test_groups_of_clusters_are_held_out_in_turn(
    num_members: int, num_groups: int, num_clusters: int
) -> None:
    pairs, catalogue, split = _pairs(
        num_members, num_clusters, held_out_groups=num_groups
    )
    clusters = catalogue.clusters[np.concatenate([split.train, split.validation])]
    num_groups = min(num_groups, len(np.unique(clusters)))
    stopped_on = []
    for k in range(num_members):
        own = pairs.held_out_rows[k][pairs.held_out_weights[k] == 1].numpy()
        assert len(own) == len(set(own.tolist())) > 0
        assert set(own) | set(pairs.train_rows[k].tolist()) == set(
            range(len(clusters))
        ), "no row is lost"
        assert not set(clusters[own]) & set(clusters[pairs.train_rows[k].numpy()]), (
            "no cluster is on both sides"
        )
        stopped_on.append(set(clusters[own]))
    for first in range(0, num_members - num_groups + 1, num_groups):
        turn = stopped_on[first : first + num_groups]
        assert sum(map(len, turn)) == len(set.union(*turn)) == len(set(clusters)), (
            "every cluster once a turn"
        )
    if num_members >= 2 * num_groups:
        assert stopped_on[:num_groups] != stopped_on[num_groups : 2 * num_groups], (
            "the next turn is dealt anew"
        )


def test_one_group_would_leave_nothing_to_train_on() -> None:
    with pytest.raises(
        ConfigError, match=r"^held_out_groups: expected 0 or at least 2; got 1"
    ):
        _pairs(held_out_groups=1)


def test_copies_are_jittered_times_and_nothing_else() -> None:
    pairs, catalogue, split = _pairs()
    assert pairs.u.shape == (NUM_DEQUANTISED, len(pairs.x[0]), 2)
    assert torch.isfinite(pairs.u).all(), "a collision at the snapshot is before it"
    assert (pairs.u[:, :, 1] == pairs.u[0, :, 1]).all()
    assert (pairs.u[1:, :, 0] != pairs.u[0, :, 0]).float().mean() > 0.9
    _, _, transforms = _prepared()
    rows = np.concatenate([split.train, split.validation])
    anchors = transforms.anchors(catalogue.rows(rows).inputs(transforms.inputs))
    theta = transforms.physical_targets(pairs.u, anchors.expand(pairs.u.shape))
    moved = theta[..., 0].numpy() - catalogue.theta[rows, 0]
    assert np.abs(moved).max() < schema.TIME_RESOLUTION / 2 + 0.002


def test_without_dequantisation_there_is_one_copy() -> None:
    catalogue, split, transforms = _prepared()
    catalogue.table[schema.COLLISION_TIME] -= 0.05
    config = _config(2, dequantise=False)
    pairs = make_training_pairs(catalogue, split, transforms, config)
    rows = np.concatenate([split.train, split.validation])
    anchors = transforms.anchors(catalogue.rows(rows).inputs(transforms.inputs))
    expected = transforms.standardise_targets(catalogue.theta[rows], anchors)
    torch.testing.assert_close(pairs.u, expected.float()[None])


def test_augmented_copies_differ_and_their_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue, split, transforms = _prepared()
    columns = {name: catalogue.table[name].to_numpy()[split.train] for name in SEEN}
    accepting = accept_missing_values(transforms, columns)
    num_rows = len(split.train) + len(split.validation)
    bytes_a_copy = 4 * num_rows * (accepting.num_features + len(TARGETS))
    monkeypatch.setattr(npe, "MAX_BYTES", 5 * bytes_a_copy + 1)
    pairs = make_training_pairs(catalogue, split, accepting, _config(2))
    assert pairs.x.shape == (5, num_rows, accepting.num_features)
    assert pairs.u.shape == (5, num_rows, len(TARGETS))
    assert not torch.equal(pairs.x[0], pairs.x[1])
    assert torch.isfinite(pairs.x).all(), (
        "a missing value is a mean and a wide deviation"
    )
    monkeypatch.setattr(npe, "MAX_BYTES", 1)
    assert len(make_training_pairs(catalogue, split, accepting, _config(2)).x) == 1


def test_seed_decides() -> None:
    same, again, other = (_pairs(held_out_groups=4, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(same.u, again.u)
    assert torch.equal(same.held_out_rows, again.held_out_rows)
    assert not torch.equal(same.u, other.u)
    assert not torch.equal(same.held_out_rows, other.held_out_rows)


def _losses(
    pairs: TrainingPairs, **options: float
) -> tuple[list[tuple[int, float, float]], torch.Tensor, object]:
    members = len(pairs.train_rows)
    flow = glow(2, 2, members=members, blocks=2, hidden=8, clamp=1.0)
    still = {
        "epochs": 2,
        "batch": 10_000,
        "learning_rate": 1e-12,
        "schedule": "constant",
    }
    config = _config(members, **{**still, **options})  # type: ignore[arg-type]
    state = start(flow, members, config.train)
    for _ in maximise_likelihood(flow, pairs, config, state):
        pass
    return state.history, state.best_loss, flow


def test_held_out_loss_is_the_mean_of_each_member_over_its_own_rows() -> None:
    """Groups of different sizes are padded: the padding must not count."""
    pairs, _, _ = _pairs(num_members=3, num_clusters=19, held_out_groups=3)
    assert (pairs.held_out_weights == 0).any()
    _, best_loss, flow = _losses(pairs)
    for k in range(3):
        own = pairs.held_out_rows[k][pairs.held_out_weights[k] == 1]
        by_row = [
            -flow.log_prob(
                pairs.u[j, own].expand(3, -1, -1), pairs.x[0, own].expand(3, -1, -1)
            )[k].detach()
            for j in range(NUM_HELD_OUT_COPIES)
        ]
        assert best_loss[k].item() == pytest.approx(
            torch.stack(by_row).mean().item(), abs=1e-5
        )


def test_training_loss_is_the_mean_over_all_rows_of_a_member() -> None:
    pairs, _, _ = _pairs(num_members=1, dequantise=True)
    pairs = replace(pairs, u=pairs.u[:1])
    ((_, loss, _), *_), _, flow = _losses(pairs)
    rows = pairs.train_rows[0]
    expected = -flow.log_prob(pairs.u[:, rows], pairs.x[:, rows]).mean()
    assert loss == pytest.approx(expected.item(), abs=1e-5)


def test_noise_is_added_in_training_only() -> None:
    pairs, _, _ = _pairs(num_members=2)
    (_, train, held_out), *_ = _losses(pairs)[0]
    (_, noisy_train, noisy_held_out), *_ = _losses(replace(pairs, noise=2.0))[0]
    assert noisy_held_out == pytest.approx(held_out, abs=1e-6)
    assert abs(noisy_train - train) > 1e-3


def test_training_lowers_the_held_out_loss_and_keeps_the_best() -> None:
    pairs, _, _ = _pairs(num_members=2, held_out_groups=4, noise=0.05)
    flow = glow(2, 2, members=2, blocks=2, hidden=8, clamp=1.0, zero_init=True)
    config = _config(2, epochs=15, batch=16, learning_rate=3e-3)
    state = start(flow, 2, config.train)
    for _ in maximise_likelihood(flow, pairs, config, state):
        pass
    first = state.history[0][2]
    load_best(flow, state)
    assert state.best_loss.mean() < first


def test_joined_pairs_are_those_of_each_table() -> None:
    parts = [
        _pairs(num_members, num_clusters, held_out_groups=3)[0]
        for num_members, num_clusters in ((2, 20), (3, 13))
    ]
    joined = join_pairs(parts)
    member, first_row = 0, 0
    copy = torch.tensor(7)
    for part in parts:
        for own, rows in zip(part.train_rows, part.held_out(), strict=True):
            torch.testing.assert_close(
                joined.at(copy, joined.train_rows[member]), part.at(copy, own)
            )
            is_row = joined.held_out_weights[member] == 1
            held_out = joined.held_out_rows[member]
            np.testing.assert_array_equal(held_out[is_row], first_row + rows)
            is_of_part = (held_out >= first_row) & (
                held_out < first_row + part.u.shape[1]
            )
            assert is_of_part.all(), "padding repeats the member's rows"
            member += 1
        first_row += part.u.shape[1]
    assert joined.u.shape[1] == first_row
    assert len(joined.train_rows) == member == 5


def _folds(catalogue: Catalogue, num_folds: int) -> list[Fold]:
    _, _, transforms = _prepared()
    splits = folds_by_cluster(catalogue.clusters, num_folds)
    return [Fold(split, transforms) for split in splits]


def test_folds_start_alike_and_do_not_see_each_other() -> None:
    catalogue = _catalogue(20)
    folds = _folds(catalogue, 2)
    config = _config(2, epochs=1, augment=False)
    (job,) = prepare_jobs(catalogue, folds, config, "cpu")
    for value in job.flow.state_dict().values():
        if value.is_floating_point():
            assert torch.equal(*value.chunk(2)), "the weights of a fold are the seed's"
    pair = fit_folds(catalogue, folds, config)
    repeated = fit_folds(catalogue, [folds[0], folds[0]], config)
    (one, other), (same, twin) = (list(each) for each in (pair, repeated))
    x = catalogue.inputs(one.inputs)[:3]
    density = [each.log_prob(catalogue.theta[:3], x) for each in (one, other, same)]
    np.testing.assert_array_equal(density[0], density[2])
    is_possible = np.isfinite(density[0])
    assert is_possible.sum() >= 2
    assert (density[0] != density[1])[is_possible].all()
    assert twin.flow.num_members == 2


def test_more_folds_than_a_job_holds_are_trained_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue = _catalogue(20)
    folds = _folds(catalogue, 3)
    config = _config(2, epochs=1, augment=False)
    monkeypatch.setattr(fit, "MAX_MEMBERS", 4)
    jobs = list(prepare_jobs(catalogue, folds, config, "cpu"))
    assert [job.flow.num_members for job in jobs] == [4, 2]
    of_jobs = [fold.split.train for job in jobs for fold in job.folds]
    for fold, train in zip(folds, of_jobs, strict=True):
        np.testing.assert_array_equal(train, fold.split.train)
    names: list[str] = []
    posteriors = fit_folds(
        catalogue, folds, config, "cpu", lambda progress: names.append(progress.what)
    )
    assert len(list(posteriors)) == 3
    assert names == ["folds 1-2 of 3", "folds 3-3 of 3"]
