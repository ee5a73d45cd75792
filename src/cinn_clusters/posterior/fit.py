"""Settings to trained posterior, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.measurement import accept_missing_values
from cinn_clusters.data.split import Split
from cinn_clusters.data.transforms import Transforms, fit_transforms
from cinn_clusters.errors import ConfigError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import Recipe, make_flow
from cinn_clusters.posterior.npe import PairOptions, Pairs, make_pairs, train_flow
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.rng import numpy_stream
from cinn_clusters.settings.config import Config, TrainConfig
from cinn_clusters.training.fit import FitOptions, FitState, load_best, start

OnEpoch = Callable[[FitState], None]


def fit(
    catalogue: Catalogue,
    split: Split,
    config: Config | None = None,
    *,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
) -> Posterior:
    """Fit transforms on the training clusters and train a posterior.

    Args:
        catalogue: Validated rows.
        split: Which rows train and which decide when to stop; test rows are not touched.
        config: Settings; the default preset when absent.
        device: ``auto`` (CUDA when present), or any torch device.
        on_epoch: Called after each epoch.

    Returns:
        The posterior.

    Raises:
        TrainingError: When the loss is not finite.
        ConfigError: When the device does not exist.
    """
    config = config or Config()
    transforms = fit_catalogue_transforms(catalogue, split, seed=config.seed)
    job = prepare_job(catalogue, split, transforms, config, device)
    for state in job.epochs():
        if on_epoch is not None:
            on_epoch(state)
    return job.posterior()


def fit_catalogue_transforms(catalogue: Catalogue, split: Split, *, seed: int = 42) -> Transforms:
    """Fit bijections and scalers on the training rows only."""
    rows = catalogue.rows(split.train)
    theta = dequantise(rows.theta, rows.targets, rows.age, numpy_stream(seed, "transforms"))
    theta = off_bounds(theta, rows.targets, rows.age)
    columns = {
        str(name): rows.table[name].to_numpy(float)
        for name in rows.table
        if name != rows.cluster_column
    }
    return fit_transforms(columns, theta, rows.observables, rows.targets)


def make_recipe(config: Config) -> Recipe:
    """Translate the settings for the zoo."""
    model = config.model
    return Recipe(
        model.flow,
        num_members=model.members,
        num_blocks=model.blocks,
        num_hidden=model.hidden,
        num_layers=model.layers,
        element=model.element,
        clamp=model.clamp,
        num_bins=model.bins,
        bound=model.bound,
        num_components=model.components,
        num_steps=model.steps,
        mixing=model.mixing,
        act_norm=model.act_norm,
        dropout=model.dropout,
        zero_last=model.zero_init,
        seed=config.seed,
    )


@dataclass
class Job:
    """A training under way.

    Args:
        flow: Being trained.
        transforms: Fitted.
        pairs: What it is trained on.
        options: How.
        state: How far.
        device: Where.
    """

    flow: Flow
    transforms: Transforms
    pairs: Pairs
    options: FitOptions
    state: FitState
    device: str

    def epochs(self) -> Iterator[FitState]:
        """Train, yielding after each epoch."""
        return train_flow(self.flow, self.pairs, self.options, self.state)

    def posterior(self) -> Posterior:
        """Put the best weights of each member in place and return the posterior."""
        load_best(self.flow, self.state)
        return Posterior(self.flow.eval(), self.transforms, self.device)


def prepare_job(
    catalogue: Catalogue, split: Split, transforms: Transforms, config: Config, device: str
) -> Job:
    """Set everything up before the first epoch."""
    device = resolve_device(device)
    train = config.train
    if train.uncertain:
        seen = catalogue.rows(split.train)
        names = [one.name for one in transforms.observables]
        transforms = accept_missing_values(
            transforms, dict(zip(names, seen.inputs(names).T, strict=True))
        )
    options = PairOptions(
        train.noise, train.dequantise, train.held_out_groups, train.bootstrap, config.seed
    )
    pairs = make_pairs(catalogue, split, transforms, config.model.members, options, device)
    flow = make_flow(make_recipe(config), len(transforms.targets), transforms.num_features).to(
        device
    )
    fit_options = make_fit_options(train, config.seed)
    return Job(
        flow, transforms, pairs, fit_options, start(flow, flow.num_members, fit_options), device
    )


def make_fit_options(train: TrainConfig, seed: int) -> FitOptions:
    """Translate the settings for the training loop."""
    return FitOptions(
        train.epochs,
        train.batch,
        train.learning_rate,
        train.schedule,
        train.weight_decay,
        train.clip,
        train.patience,
        seed,
    )


def resolve_device(device: str) -> str:
    """Return a torch device that exists.

    Raises:
        ConfigError: If it does not.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"device '{device}'", "auto, cpu, or a device torch can use", first
        ) from error
    return device
