"""Settings to trained posterior, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.embeddings import live_observables
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms, fit_transforms
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Spline
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.npe import (
    MAX_BYTES,
    TrainingPairs,
    join_pairs,
    make_training_pairs,
    maximise_likelihood,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.rng import numpy_stream
from cinn_clusters.schema import KEYS
from cinn_clusters.settings.config import Config
from cinn_clusters.training.fit import FitState, member_tensors, start

MAX_MEMBERS = 100
"""Members that train in one graph; beyond them a step costs in proportion."""

MIN_COMPILED = 200_000
"""Rows times epochs, over all members, from which compiled splines repay their compilation."""


def fit(
    catalogue: Catalogue,
    split: Split,
    config: Config | None = None,
    *,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Posterior:
    """Fit transforms on the training clusters and train a posterior.

    Args:
        catalogue: Validated rows.
        split: Which rows train and which decide when to stop; test rows are not touched.
        config: Settings; the default preset when absent.
        device: ``auto`` (CUDA when present), or any torch device.
        on_progress: Called after each epoch.

    Returns:
        The posterior.

    Raises:
        TrainingError: When the loss is not finite.
        ConfigError: When the device does not exist.

    Examples:
        >>> from cinn_clusters import read_catalogue, read_config, split_by_cluster, write_mock
        >>> catalogue = read_catalogue(*write_mock(getfixture("tmp_path"), num_clusters=20))
        >>> config = read_config(changes=["train.epochs=1", "model.members=2"])
        >>> posterior = fit(catalogue, split_by_cluster(catalogue.clusters), config)
        >>> posterior.sample(catalogue.inputs(posterior.inputs)[:3], 100).shape
        (100, 3, 6)
    """
    config = config or Config()
    transforms = fit_catalogue_transforms(catalogue, split, seed=config.seed)
    folds = [Fold(split, transforms)]
    (posterior,) = fit_folds(catalogue, folds, config, device, on_progress)
    return posterior


@dataclass(frozen=True, eq=False)
class Fold:
    """What one posterior is trained on.

    Args:
        split: Rows that train, and rows that decide when to stop.
        transforms: Fitted on ``split.train``.
    """

    split: Split
    transforms: Transforms

    @property
    def num_rows(self) -> int:
        """Rows of training and validation."""
        return len(self.split.train) + len(self.split.validation)


def fit_folds(
    catalogue: Catalogue,
    folds: Sequence[Fold],
    config: Config,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Iterator[Posterior]:
    """Train a posterior for each fold; many folds train in one graph, as further members.

    Args:
        catalogue: Validated rows.
        folds: What each posterior is trained on.
        config: Settings of all of them.
        device: See ``fit``.
        on_progress: Called after each epoch.

    Yields:
        The posteriors, in the order of the folds.

    Raises:
        TrainingError: When a loss is not finite.
        ConfigError: When the device does not exist.
    """
    num_done = 0
    for job in prepare_jobs(catalogue, folds, config, device):
        name = "train"
        if len(folds) > 1:
            last = num_done + len(job.folds)
            name = f"folds {num_done + 1}-{last} of {len(folds)}"
        for state in job.epochs():
            on_progress(state.progress(config.train.epochs, name))
        num_done += len(job.folds)
        yield from job.posteriors()


def fit_catalogue_transforms(
    catalogue: Catalogue, split: Split, *, seed: int = 42
) -> Transforms:
    """Fit bijections and scalers on the training rows only."""
    rows = catalogue.rows(split.train)
    theta = dequantise(
        rows.theta, rows.target_columns, rows.age, numpy_stream(seed, "transforms")
    )
    theta = off_bounds(theta, rows.target_columns, rows.age)
    columns = {
        str(name): rows.table[name].to_numpy(float)
        for name in rows.table
        if name not in (rows.cluster_column, *KEYS)
    }
    observables = live_observables(rows)
    return fit_transforms(columns, theta, observables, rows.targets, schema=rows.schema)


@dataclass
class Job:
    """A training under way: K members of each of F folds in one flow.

    Args:
        flow: Flow of F K members that is trained, those of a fold side by side.
        folds: The folds, without rows that cannot be used.
        pairs: Rows of training and validation of all folds.
        config: Settings.
        state: Where the training stands.
        device: Where the tensors are.
    """

    flow: Flow
    folds: Sequence[Fold]
    pairs: TrainingPairs
    config: Config
    state: FitState
    device: str

    def epochs(self) -> Iterator[FitState]:
        """Train, yielding after each epoch."""
        return maximise_likelihood(self.flow, self.pairs, self.config, self.state)

    def posterior(self) -> Posterior:
        """Return the posterior of the only fold."""
        (posterior,) = self.posteriors()
        return posterior

    def posteriors(self) -> Iterator[Posterior]:
        """Yield the posterior of each fold, with the best weights of each member."""
        for number, fold in enumerate(self.folds):
            flow = _new_flow(fold, self.config)
            first = number * flow.num_members
            best = {
                name: value[first : first + flow.num_members]
                for name, value in self.state.best.items()
            }
            flow.load_state_dict(flow.state_dict() | best)
            yield Posterior(flow.to(self.device).eval(), fold.transforms, self.device)


def prepare_job(catalogue: Catalogue, fold: Fold, config: Config, device: str) -> Job:
    """Set the training of one fold up; see ``prepare_jobs``."""
    return next(prepare_jobs(catalogue, [fold], config, device))


def prepare_jobs(
    catalogue: Catalogue, folds: Sequence[Fold], config: Config, device: str
) -> Iterator[Job]:
    """Set everything up before the first epoch; a model of exact inputs sees complete rows only.

    Folds whose models have the same shape share a job, up to ``MAX_MEMBERS`` members.

    Raises:
        DataError: If no complete row is left.
    """
    device = resolve_device(device)
    usable = [_usable(fold, catalogue, config) for fold in folds]
    folds_a_job = max(1, MAX_MEMBERS // config.model.members)
    for _, group in groupby(usable, lambda fold: fold.transforms.num_features):
        alike = list(group)
        for first in range(0, len(alike), folds_a_job):
            job = alike[first : first + folds_a_job]
            yield _prepare(catalogue, job, config, device)


def _usable(fold: Fold, catalogue: Catalogue, config: Config) -> Fold:
    """The fold with the rows that its model can use, and transforms that say what it accepts."""
    split, transforms = fold.split, fold.transforms
    if config.train.augment:
        names = [observable.name for observable in transforms.observables]
        columns = catalogue.rows(split.train).inputs(names).T
        by_name = dict(zip(names, columns, strict=True))
        transforms = accept_missing_values(transforms, by_name)
    else:
        split = split.within(catalogue.complete_rows())
    if not (len(split.train) and len(split.validation)):
        hint = "set train.augment, which accepts missing values"
        raise DataError("training rows", "complete ones", "none", "", hint)
    return Fold(split, transforms)


def _prepare(
    catalogue: Catalogue, folds: Sequence[Fold], config: Config, device: str
) -> Job:
    """Pairs, flow and optimiser of folds that train together."""
    max_bytes = MAX_BYTES // len(folds)
    pairs = [
        make_training_pairs(
            catalogue, fold.split, fold.transforms, config, device, max_bytes=max_bytes
        )
        for fold in folds
    ]
    joined = join_pairs(pairs)
    flow = _joint_flow(folds, config).to(device)
    if joined.num_train_rows * config.train.epochs >= MIN_COMPILED:
        compile_splines(flow)
    state = start(flow, flow.num_members, config.train)
    return Job(flow, folds, joined, config, state, device)


def compile_splines(flow: Flow) -> None:
    """Let compiled kernels map and differentiate the splines of a flow."""
    # imported here: numba is not for those who only ask a model
    from cinn_clusters.flows.compiled.spline_function import CompiledSpline

    for transform in flow.transforms:
        if isinstance(transform, Autoregressive | Coupling):
            element = transform.element
            if isinstance(element, Spline):
                transform.element = CompiledSpline(element.num_bins, element.bound)


def _new_flow(fold: Fold, config: Config) -> Flow:
    transforms = fold.transforms
    return make_flow(config, len(transforms.targets), transforms.num_features)


def _joint_flow(folds: Sequence[Fold], config: Config) -> Flow:
    """Untrained flow of the members of all folds, which start alike in each."""
    one = _new_flow(folds[0], config)
    num_members = len(folds) * one.num_members
    flow = _new_flow(folds[0], config.with_members(num_members))
    weights = {
        name: value.repeat(len(folds), *(1,) * (value.ndim - 1))
        for name, value in member_tensors(one).items()
    }
    flow.load_state_dict(one.state_dict() | weights)
    return flow


def resolve_device(device: str) -> str:
    """Return a torch device that exists.

    Raises:
        ConfigError: If it does not.
    """
    if device == "auto" and not torch.cuda.is_available():
        return "cpu"
    if device == "auto":
        return "cuda"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        expected = "auto, cpu, or a device torch can use"
        raise ConfigError(f"device '{device}'", expected, reason) from error
    return device
