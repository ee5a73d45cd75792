"""Settings to trained posterior, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.embeddings import live_observables
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms, fit_transforms
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.npe import (
    TrainingPairs,
    make_training_pairs,
    maximise_likelihood,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.rng import numpy_stream
from cinn_clusters.schema import KEYS
from cinn_clusters.settings.config import Config
from cinn_clusters.training.fit import FitState, load_best, start


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
    job = prepare_job(catalogue, split, transforms, config, device)
    for state in job.epochs():
        on_progress(state.progress(config.train.epochs, "train"))
    return job.posterior()


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
    """A training under way.

    Args:
        flow: Flow that is trained.
        transforms: Fitted transforms.
        pairs: Rows of training and validation.
        config: Settings.
        state: Where the training stands.
        device: Where the tensors are.
        num_incomplete: Rows left out, since an observable is missing that the model needs.
    """

    flow: Flow
    transforms: Transforms
    pairs: TrainingPairs
    config: Config
    state: FitState
    device: str
    num_incomplete: int = 0

    def epochs(self) -> Iterator[FitState]:
        """Train, yielding after each epoch."""
        return maximise_likelihood(self.flow, self.pairs, self.config, self.state)

    def posterior(self) -> Posterior:
        """Put the best weights of each member in place and return the posterior."""
        load_best(self.flow, self.state)
        return Posterior(self.flow.eval(), self.transforms, self.device)


def prepare_job(
    catalogue: Catalogue,
    split: Split,
    transforms: Transforms,
    config: Config,
    device: str,
) -> Job:
    """Set everything up before the first epoch; a model of exact inputs sees complete rows only.

    Raises:
        DataError: If no complete row is left.
    """
    device = resolve_device(device)
    usable = split
    if config.train.augment:
        names = [observable.name for observable in transforms.observables]
        columns = catalogue.rows(split.train).inputs(names).T
        transforms = accept_missing_values(
            transforms, dict(zip(names, columns, strict=True))
        )
    else:
        usable = split.within(catalogue.complete_rows())
    if not (len(usable.train) and len(usable.validation)):
        hint = "set train.augment, which accepts missing values"
        raise DataError("training rows", "complete ones", "none", "", hint)
    pairs = make_training_pairs(catalogue, usable, transforms, config, device)
    flow = make_flow(config, len(transforms.targets), transforms.num_features).to(
        device
    )
    state = start(flow, flow.num_members, config.train)
    num_incomplete = _num_fitted(split) - _num_fitted(usable)
    return Job(flow, transforms, pairs, config, state, device, num_incomplete)


def _num_fitted(split: Split) -> int:
    return len(split.train) + len(split.validation)


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
