r"""Neural posterior estimation (NPE) by maximum likelihood.

A flow :math:`q_\phi` learns the posterior from pairs of the simulation by lowering

.. math:: -\frac{1}{N} \sum_i \log q_\phi(u_i \mid x_i), \qquad (\theta_i, x_i) \sim p(\theta, x)

whose minimum over all densities is the posterior :math:`p(u \mid x)`; ``u`` is theta without bounds
and standardised (Papamakarios & Murray 2016, arXiv:1605.06376; Greenberg+19, arXiv:1905.07488). The
expectation also runs over what a table does not fix: collision times are spread over their
resolution, and with augmentation observables are masked and scattered as in a catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import ConfigError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.rng import numpy_stream
from cinn_clusters.settings.config import Config, TrainConfig
from cinn_clusters.training.fit import FitState, TrainingObjective, epochs

NUM_DEQUANTISED = 48
"""Copies of the table whose collision times are spread over their resolution."""
NUM_AUGMENTED = 240
"""Copies whose observables are also masked and scattered."""
NUM_HELD_OUT_COPIES = 8
MAX_BYTES = 300_000_000
"""Memory that the copies may take."""
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Standardised pairs on one device, and which rows each member trains and stops on.

    Args:
        x: Copies of the features of the flow, (J, N, L); a single one where all would be the same.
        u: Copies of the unbounded standardised targets, (J, N, D).
        train_rows: Row numbers of each member, K tensors.
        held_out_rows: Row numbers of each member, (K, M), padded.
        held_out_weights: 1 for a row, 0 for padding, (K, M).
        noise: Standard deviation of the Gaussian noise on x in training.
    """

    x: Tensor
    u: Tensor
    train_rows: tuple[Tensor, ...]
    held_out_rows: Tensor
    held_out_weights: Tensor
    noise: float = 0.0

    def at(self, copy: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Targets u and features x of rows of copies, for copy and row numbers of one shape."""
        return self.u[copy, rows], self.x[copy % len(self.x), rows]

    @property
    def num_train_rows(self) -> int:
        """Rows that train, over all members."""
        return sum(map(len, self.train_rows))

    def held_out(self) -> Iterator[np.ndarray]:
        """Row numbers that each member stops on, without padding."""
        members = zip(self.held_out_rows, self.held_out_weights, strict=True)
        for rows, weights in members:
            yield rows[weights > 0].cpu().numpy()


def make_training_pairs(
    catalogue: Catalogue,
    split: Split,
    transforms: Transforms,
    config: Config,
    device: str = "cpu",
    *,
    max_bytes: int | None = None,
) -> TrainingPairs:
    """Standardise the rows of training and validation; test rows are not touched.

    Args:
        catalogue: Validated rows.
        split: Parts of it.
        transforms: Fitted on ``split.train``.
        config: Settings: ``train`` says how rows become pairs, ``model.members`` for how many.
        device: Where the tensors go.
        max_bytes: Memory that the copies may take; ``MAX_BYTES`` when absent.

    Returns:
        The pairs.

    Raises:
        ConfigError: If a single group is to be held out.
    """
    index = np.concatenate([split.train, split.validation])
    rows = catalogue.rows(index)
    num_copies = _num_copies(rows, transforms, config.train, max_bytes or MAX_BYTES)
    x, u = _copies(rows, transforms, config, num_copies)
    is_validation = np.arange(len(index)) >= len(split.train)
    is_held_out = _held_out(rows.clusters, is_validation, config)
    train_rows = _train_rows(rows.clusters, is_held_out, config)
    held_out_rows, held_out_weights = _padded(list(map(np.flatnonzero, is_held_out)))
    return TrainingPairs(
        x.to(device),
        u.to(device),
        tuple(torch.from_numpy(numbers).to(device) for numbers in train_rows),
        held_out_rows.to(device),
        held_out_weights.to(device),
        config.train.noise,
    )


def join_pairs(pairs: Sequence[TrainingPairs]) -> TrainingPairs:
    """Rows of several trainings end to end, whose members then train side by side.

    Of copies each keeps as many as all of them have.
    """
    if len(pairs) == 1:
        return pairs[0]
    num_rows = [each.u.shape[1] for each in pairs]
    firsts = np.cumsum([0, *num_rows[:-1]]).tolist()
    shifted = list(zip(pairs, firsts, strict=True))
    train_rows = [first + rows for each, first in shifted for rows in each.train_rows]
    held_out = [first + rows for each, first in shifted for rows in each.held_out()]
    device = pairs[0].x.device
    held_out_rows, held_out_weights = _padded(held_out)
    return TrainingPairs(
        _side_by_side([each.x for each in pairs]),
        _side_by_side([each.u for each in pairs]),
        tuple(train_rows),
        held_out_rows.to(device),
        held_out_weights.to(device),
        pairs[0].noise,
    )


def maximise_likelihood(
    flow: Flow, pairs: TrainingPairs, config: Config, state: FitState
) -> Iterator[FitState]:
    """Train a flow on pairs, yielding the state after each epoch.

    Args:
        flow: Changed in place.
        pairs: Rows of training and validation.
        config: Settings of training.
        state: From ``training.fit.start`` or a checkpoint; changed in place.

    Yields:
        The state.

    Raises:
        TrainingError: When the loss is not finite.
    """
    device = pairs.x.device

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        copy = torch.randint(len(pairs.u), rows.shape, generator=generator).to(device)
        u, x = pairs.at(copy, rows)
        if pairs.noise:
            x = x + pairs.noise * torch.randn(x.shape, generator=generator).to(device)
        return flow.loss(u, x, generator).mean(-1)

    def held_out_loss() -> Tensor:
        rows, weights = pairs.held_out_rows, pairs.held_out_weights
        copies = range(min(NUM_HELD_OUT_COPIES, len(pairs.u)))
        log_prob = [
            flow.log_prob(*pairs.at(torch.tensor(copy), rows)) for copy in copies
        ]
        return -(torch.stack(log_prob).mean(0) * weights).sum(-1) / weights.sum(-1)

    objective = TrainingObjective(batch_loss, held_out_loss, pairs.train_rows)
    return epochs(flow, objective, config.train, state, config.seed)


def _side_by_side(copies: Sequence[Tensor]) -> Tensor:
    """Copies (J, N_f, ...) of several tables as those of one (J, sum N_f, ...)."""
    num_copies = min(map(len, copies))
    return torch.cat([of_table[:num_copies] for of_table in copies], 1)


def _copies(
    rows: Catalogue, transforms: Transforms, config: Config, num_copies: int
) -> tuple[Tensor, Tensor]:
    """Features (J, N, L), J = 1 where all would be the same, and targets (J, N, D)."""
    inputs, theta, age = rows.inputs(transforms.inputs), rows.theta, rows.age
    num_rows, columns = len(inputs), rows.target_columns
    jitter = numpy_stream(config.seed, "jitter")
    augmentation = numpy_stream(config.seed, "corruption")

    def spread() -> np.ndarray:
        copy = theta
        if config.train.dequantise:
            copy = dequantise(copy, columns, age, jitter)
        if transforms.is_bounded:
            copy = off_bounds(copy, columns, age)
        return copy

    x, u = [], []
    for num_at_once in _batches(num_copies, num_rows):
        augmented = [
            transforms.augment(inputs, augmentation) for _ in range(num_at_once)
        ]
        values = np.concatenate(augmented)
        targets = np.concatenate([spread() for _ in range(num_at_once)])
        anchors = transforms.anchors(values)
        u.append(transforms.standardise_targets(targets, anchors).float())
        if transforms.accepts_missing:
            x.append(transforms.standardise_inputs(values).float())
    if not transforms.accepts_missing:
        x.append(transforms.standardise_inputs(inputs).float())
    shape = (-1, num_rows)
    return torch.cat(x).unflatten(0, shape), torch.cat(u).unflatten(0, shape)


def _batches(num_copies: int, num_rows: int) -> Iterator[int]:
    """Numbers of copies that are transformed at once: few rows cost as much as thousands."""
    most = max(1, ROWS_AT_ONCE // num_rows)
    for begin in range(0, num_copies, most):
        yield min(most, num_copies - begin)


def _num_copies(
    rows: Catalogue, transforms: Transforms, train: TrainConfig, max_bytes: int
) -> int:
    """Number of copies J: 1 where all would be the same, and no more than memory allows."""
    if transforms.accepts_missing:
        num_columns = transforms.num_features + len(transforms.targets)
        bytes_a_copy = 4 * len(rows.table) * num_columns
        return max(1, min(NUM_AUGMENTED, max_bytes // bytes_a_copy))
    if train.dequantise:
        return NUM_DEQUANTISED
    return 1


def _held_out(
    clusters: np.ndarray, is_validation: np.ndarray, config: Config
) -> np.ndarray:
    """Whether a member stops on a row, (K, N): the validation rows, or a group of clusters each.

    With groups no cluster is lost to early stopping, and the members differ.
    """
    num_members, num_groups = config.model.members, config.train.held_out_groups
    if not num_groups:
        return np.tile(is_validation, (num_members, 1))
    if num_groups == 1:
        hint = "one group would leave no row to train on"
        raise ConfigError("held_out_groups", "0 or at least 2", "1", "", hint)
    names = np.unique(clusters)
    num_groups = min(num_groups, len(names))
    groups: list[np.ndarray] = []
    for turn in range(-(-num_members // num_groups)):
        order = numpy_stream(config.seed, "groups", turn).permutation(names)
        groups += np.array_split(order, num_groups)
    return np.stack([np.isin(clusters, group) for group in groups[:num_members]])


def _train_rows(
    clusters: np.ndarray, is_held_out: np.ndarray, config: Config
) -> list[np.ndarray]:
    """Rows each member trains on: all that it does not hold out, or a bootstrap sample of them."""
    train_rows = [np.flatnonzero(~mask) for mask in is_held_out]
    if not config.train.bootstrap:
        return train_rows
    return [
        _resampled(clusters, rows, numpy_stream(config.seed, "bootstrap", member))
        for member, rows in enumerate(train_rows)
    ]


def _resampled(
    clusters: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows of as many clusters, drawn with replacement (bagging; Breiman 1996)."""
    row_clusters = clusters[rows]
    names = np.unique(row_clusters)
    bootstrap = rng.choice(names, len(names))
    members = [rows[row_clusters == name] for name in bootstrap]
    return np.concatenate(members)


def _padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Row numbers of each member (K, M), and 1 where one counts, 0 where it is padding."""
    counts = np.array([len(numbers) for numbers in rows])
    most = counts.max()
    padded = [np.resize(numbers, most) for numbers in rows]
    is_row = np.arange(most) < counts[:, None]
    weights = torch.from_numpy(is_row).float()
    return torch.from_numpy(np.stack(padded)), weights
