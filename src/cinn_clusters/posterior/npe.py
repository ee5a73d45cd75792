"""From a catalogue to a posterior: pairs, losses and held-out rows for the generic training
loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import ConfigError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.rng import numpy_stream
from cinn_clusters.training.fit import FitOptions, FitState, epochs

NUM_JITTERS = 48
NUM_HELD_OUT_JITTERS = 8
NUM_CORRUPTIONS = 240
"""Copies of the table with values missing and errors added, where a model is to take any."""


@dataclass(frozen=True)
class PairOptions:
    """How rows become training pairs.

    Args:
        noise: Standard deviation of the Gaussian noise on standardised x in training.
        dequantise: Spread collision times over their resolution.
        held_out_groups: 0: every member stops on the validation rows. G > 0: training and
            validation clusters are dealt into G groups, and member k trains without group k mod G
            and stops on it, so that no cluster is lost to early stopping and the members differ.
        bootstrap: Every member trains on a bootstrap sample of its clusters (bagging; Breiman
            1996).
        seed: Seed of jitter, groups and bootstrap samples.
    """

    noise: float = 0.0
    dequantise: bool = True
    held_out_groups: int = 0
    bootstrap: bool = False
    seed: int = 42


@dataclass(frozen=True)
class Pairs:
    """Standardised pairs on one device, and which rows each member trains and stops on.

    Args:
        x: Copies of what the flow is given, (J, N, L); a single one where all would be the same.
        u: Jittered copies of the targets, (J, N, D).
        train_rows: Row numbers of each member, K tensors.
        held_out_rows: Row numbers of each member, (K, M), padded.
        held_out_weights: 1 for a row, 0 for padding, (K, M).
        noise: Noise on x in training.
    """

    x: Tensor
    u: Tensor
    train_rows: tuple[Tensor, ...]
    held_out_rows: Tensor
    held_out_weights: Tensor
    noise: float


def make_pairs(
    catalogue: Catalogue,
    split: Split,
    transforms: Transforms,
    num_members: int,
    options: PairOptions,
    device: str = "cpu",
) -> Pairs:
    """Standardise the rows of training and validation; test rows are not touched.

    Args:
        catalogue: Validated rows.
        split: Parts of it.
        transforms: Fitted on ``split.train``.
        num_members: K.
        options: How rows become pairs.
        device: Where the tensors go.

    Returns:
        The pairs.

    Raises:
        ConfigError: If a single group is to be held out.
    """
    index = np.concatenate([split.train, split.validation])
    rows = catalogue.rows(index)
    inputs = rows.inputs(transforms.inputs)
    rng, noise = numpy_stream(options.seed, "jitter"), numpy_stream(options.seed, "corruption")
    is_uncertain = isinstance(transforms, MeasurementTransforms)
    num_copies = NUM_CORRUPTIONS if is_uncertain else NUM_JITTERS if options.dequantise else 1

    def copy() -> tuple[Tensor, Tensor]:
        theta = (
            dequantise(rows.theta, rows.targets, rows.age, rng)
            if options.dequantise
            else rows.theta
        )
        if transforms.is_bounded:
            theta = off_bounds(theta, rows.targets, rows.age)
        given = transforms.augment(inputs, noise)
        u = transforms.standardise_targets(theta, transforms.anchors(given)).float()
        return transforms.standardise_inputs(given).float(), u

    x, u = map(torch.stack, zip(*(copy() for _ in range(num_copies)), strict=True))

    is_held_out = _held_out(
        rows.clusters, np.arange(len(index)) >= len(split.train), num_members, options
    )
    held_out = [np.flatnonzero(mask) for mask in is_held_out]
    longest = max(map(len, held_out))
    return Pairs(
        (x if is_uncertain else x[:1]).to(device),
        u.to(device),
        tuple(
            torch.from_numpy(rows).to(device)
            for rows in _train_rows(rows.clusters, is_held_out, options)
        ),
        torch.from_numpy(np.stack([np.resize(own, longest) for own in held_out])).to(device),
        torch.tensor(
            [[float(i < len(own)) for i in range(longest)] for own in held_out], device=device
        ),
        options.noise,
    )


def _held_out(
    clusters: np.ndarray, is_validation: np.ndarray, num_members: int, options: PairOptions
) -> np.ndarray:
    if not options.held_out_groups:
        return np.tile(is_validation, (num_members, 1))
    if options.held_out_groups == 1:
        raise ConfigError(
            "held_out_groups",
            "0 or at least 2",
            "1",
            "",
            "one group would leave no row to train on",
        )
    names = np.unique(clusters)
    num_groups = min(options.held_out_groups, len(names))
    rounds = [
        np.array_split(numpy_stream(options.seed, "groups", turn).permutation(names), num_groups)
        for turn in range(-(-num_members // num_groups))
    ]
    groups = [group for deal in rounds for group in deal]
    return np.stack([np.isin(clusters, groups[member]) for member in range(num_members)])


def _train_rows(
    clusters: np.ndarray, is_held_out: np.ndarray, options: PairOptions
) -> list[np.ndarray]:
    """Return the rows each member trains on: all that it does not hold out, or as many clusters,
    drawn with return.
    """
    own = [np.flatnonzero(~mask) for mask in is_held_out]
    return (
        [_resampled(clusters, rows, k, options.seed) for k, rows in enumerate(own)]
        if options.bootstrap
        else own
    )


def _resampled(clusters: np.ndarray, rows: np.ndarray, member: int, seed: int) -> np.ndarray:
    names = np.unique(clusters[rows])
    drawn = numpy_stream(seed, "bootstrap", member).choice(names, len(names))
    return np.concatenate([rows[clusters[rows] == name] for name in drawn])


def train_flow(
    flow: Flow, pairs: Pairs, options: FitOptions, state: FitState
) -> Iterator[FitState]:
    """Train by maximum likelihood, epoch by epoch; arguments as in ``training.fit.epochs``."""

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        device = pairs.x.device
        copy = torch.randint(len(pairs.u), rows.shape, generator=generator).to(device)
        x = pairs.x[copy % len(pairs.x), rows]
        if pairs.noise:
            x = x + pairs.noise * torch.randn(x.shape, generator=generator).to(device)
        return flow.loss(pairs.u[copy, rows], x, generator).mean(-1)

    def held_out_loss() -> Tensor:
        rows, weights = pairs.held_out_rows, pairs.held_out_weights
        pieces = [
            (u[rows], pairs.x[j % len(pairs.x)][rows])
            for j, u in enumerate(pairs.u[:NUM_HELD_OUT_JITTERS])
        ]
        losses = [-(flow.log_prob(u, x) * weights).sum(-1) for u, x in pieces]
        return torch.stack(losses).mean(0) / weights.sum(-1)

    return epochs(flow, batch_loss, held_out_loss, pairs.train_rows, options, state)
