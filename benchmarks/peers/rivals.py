"""What the posterior has to beat, one function a rival: a ``Unit`` in, an ``Answer`` out.

``raw``: as its users would run it by default, on the seven columns and six targets, standardised
on training clusters; it knows of no bounds. ``transforms``: the same flow and the same training on
this package's transforms and dequantised times. No rival is tuned.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from folds import NUM_DRAWS, Answer, Represented, Unit
from torch import Tensor, nn

from cinn_clusters import read_config
from cinn_clusters.evaluation.reference_posteriors import (
    forest_histories,
    forest_samples,
    prior_samples,
)
from cinn_clusters.posterior.fit import fit

CONFIGS = Path(__file__).parents[2] / "configs"
CONTEXT = ("Group_M_Crit500", "lookback_time_Gyr")
NUM_JITTERS = 48
NUM_NEIGHBOURS = 200
NUM_OBJECTS_A_BATCH = 5


@dataclass(frozen=True)
class Recipe:
    """How a rival's flow is trained: Adam, with the weights of the best held-out epoch."""

    learning_rate: float
    batch: int
    epochs: int
    patience: int


@dataclass(frozen=True)
class Network:
    """A flow as three functions of u and x."""

    module: nn.Module
    log_prob: Callable[[Tensor, Tensor], Tensor]
    sample: Callable[[Tensor], Tensor]


def ours(unit: Unit, *, preset: str, changes: tuple[str, ...] = ()) -> Answer:
    """This package with a preset that comes with it."""
    catalogue = unit.catalogue
    return _ours(unit, Represented(unit, raw=False), preset, changes, catalogue)


def ours_raw(unit: Unit) -> Answer:
    """The flow of ``exact``, one member, on raw columns."""
    represented = Represented(unit, raw=True)
    changes = ("model.members=1", "train.dequantise=false")
    return _ours(unit, represented, "exact", changes, represented.catalogue)


def _ours(unit, represented, preset, changes, catalogue) -> Answer:
    begin = time.perf_counter()
    config = read_config(
        CONFIGS / f"{preset}.toml", changes=[f"seed={unit.seed}", *changes]
    )
    posterior = fit(catalogue, unit.split, config)
    trained = time.perf_counter()
    inputs = catalogue.inputs(posterior.inputs)[unit.split.test]
    samples = posterior.sample(inputs, NUM_DRAWS, seed=unit.seed)
    drawn = time.perf_counter()
    log_prob = posterior.log_prob(unit.truth, inputs)
    return Answer(samples, log_prob, trained - begin, drawn - trained)


def original(unit: Unit) -> Answer:
    """The published network: FrEIA, 12 GLOW blocks, 128 hidden, clamp 2, Adam 2e-3, 250 epochs,
    best validation NLL.
    """
    represented = Represented(unit, raw=True)
    num_targets = len(unit.catalogue.targets)
    module = published_network(num_targets, represented.transforms.num_features)

    def log_prob(u: Tensor, x: Tensor) -> Tensor:
        z, log_det = module(u, c=[x])
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det

    def sample(x: Tensor) -> Tensor:
        wide = x.repeat(NUM_DRAWS, 1)
        drawn = module(torch.randn(len(wide), num_targets), c=[wide], rev=True)[0]
        return drawn.view(NUM_DRAWS, len(x), num_targets)

    recipe = Recipe(learning_rate=2e-3, batch=512, epochs=250, patience=250)
    return _trained(represented, Network(module, log_prob, sample), recipe)


def published_network(num_targets: int, num_observables: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from FrEIA.framework import SequenceINN
        from FrEIA.modules import GLOWCouplingBlock, PermuteRandom

    def subnet(num_inputs: int, num_outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(num_inputs, 128), nn.ReLU(), nn.Linear(128, num_outputs)
        )

    network = SequenceINN(num_targets)
    for block in range(12):
        network.append(
            GLOWCouplingBlock,
            cond=0,
            cond_shape=(num_observables,),
            subnet_constructor=subnet,
            clamp=2.0,
            clamp_activation="ATAN",
        )
        network.append(PermuteRandom, seed=block)
    return network


def zuko_nsf(unit: Unit, *, raw: bool) -> Answer:
    """The neural spline flow of zuko with its defaults, Adam 1e-3, stopped on held-out clusters."""
    import zuko

    represented = Represented(unit, raw=raw)
    num_targets = len(unit.catalogue.targets)
    flow = zuko.flows.NSF(num_targets, represented.transforms.num_features)
    network = Network(
        flow,
        lambda u, x: flow(x).log_prob(u),
        lambda x: torch.cat(
            [
                flow(part).sample((unit.num_draws,))
                for part in x.split(NUM_OBJECTS_A_BATCH)
            ],
            1,
        ),
    )
    recipe = Recipe(learning_rate=1e-3, batch=128, epochs=300, patience=20)
    return _trained(represented, network, recipe)


def _trained(represented: Represented, network: Network, recipe: Recipe) -> Answer:
    """Maximum likelihood; every batch takes one of the jitters of the collision times."""
    unit, begin = represented.unit, time.perf_counter()
    rows, held_out = unit.trained, unit.held_out
    u = [represented.u(rows, jitter) for jitter in range(NUM_JITTERS)]
    x = represented.x(rows)
    stop_u, stop_x = represented.u(held_out, NUM_JITTERS), represented.x(held_out)
    module = network.module
    optimiser = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
    best, best_loss, best_epoch = {}, float("inf"), 0
    for epoch in range(recipe.epochs):
        for batch in torch.randperm(len(x)).split(recipe.batch):
            jitter = int(torch.randint(NUM_JITTERS, ()))
            optimiser.zero_grad()
            (-network.log_prob(u[jitter][batch], x[batch]).mean()).backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(-network.log_prob(stop_u, stop_x).mean())
        if loss < best_loss:
            best = {name: value.clone() for name, value in module.state_dict().items()}
            best_loss, best_epoch = loss, epoch
        if epoch - best_epoch >= recipe.patience:
            break
    module.load_state_dict(best)
    trained = time.perf_counter()
    test = represented.x(unit.split.test)
    with torch.no_grad():
        samples = network.sample(test)
        drawn = time.perf_counter()
        log_prob = network.log_prob(represented.truth, test)
    return represented.answer(samples, log_prob, trained - begin, drawn - trained)


def sbi_npe(unit: Unit, *, estimator: str, raw: bool) -> Answer:
    """Neural posterior estimation of sbi with its defaults, which hold out a tenth of the rows.

    Samples are of the estimator itself, not cut at any prior.
    """
    from sbi.inference import NPE

    represented, begin = Represented(unit, raw=raw), time.perf_counter()
    inference = NPE(density_estimator=estimator, show_progress_bars=False)
    u, x = represented.u(unit.fitted, 0), represented.x(unit.fitted)
    density = inference.append_simulations(u, x).train()
    trained = time.perf_counter()
    test = represented.x(unit.split.test)
    with torch.no_grad():
        parts = [
            density.sample((unit.num_draws,), condition=part) for part in test.split(50)
        ]
        drawn = time.perf_counter()
        log_prob = density.log_prob(represented.truth[None], condition=test)[0]
    samples = torch.cat(parts, 1)
    return represented.answer(samples, log_prob, trained - begin, drawn - trained)


def forest(unit: Unit) -> Answer:
    """Random forest of 300 trees on the seven observables: samples by leaf weights
    (Meinshausen 2006).
    """
    return _forest(unit, unit.catalogue.observables)


def prior_given_mass_redshift(unit: Unit) -> Answer:
    """The same forest, which sees M500 and redshift only."""
    return _forest(unit, CONTEXT)


def _forest(unit: Unit, names: tuple[str, ...]) -> Answer:
    begin = time.perf_counter()
    samples = forest_histories(
        unit.catalogue, names, unit.fitted, unit.split.test, NUM_DRAWS, unit.seed
    )
    return _without_density(samples, begin)


def relative_forest(unit: Unit) -> Answer:
    """The same forest on this package's transforms: masses relative to M500, times to the record.

    A training row lends its standardised history u, which is taken back with the M500 and the age
    of the new object.
    """
    represented, begin = Represented(unit, raw=False), time.perf_counter()
    u, x = represented.u(unit.fitted, 0), represented.x(unit.fitted)
    test = represented.x(unit.split.test)
    drawn = forest_samples(
        x.numpy(), u.numpy(), test.numpy(), NUM_DRAWS, seed=unit.seed
    )
    return _of_u(represented, drawn, begin)


def ridge(unit: Unit) -> Answer:
    """Kernel ridge regression of u on x, and residuals of the nearest training rows as samples.

    Penalty and width are chosen by cluster inside the training rows, where the residuals are out of
    fold, too.
    """
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
    from sklearn.neighbors import NearestNeighbors

    represented, begin = Represented(unit, raw=False), time.perf_counter()
    u, x = represented.u(unit.fitted, 0).numpy(), represented.x(unit.fitted).numpy()
    clusters = unit.catalogue.clusters[unit.fitted]
    grid = {"alpha": [0.1, 0.3, 1.0, 3.0], "gamma": [0.01, 0.03, 0.1]}
    search = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=GroupKFold(5))
    best = search.fit(x, u, groups=clusters).best_estimator_
    mean = cross_val_predict(best, x, u, groups=clusters, cv=GroupKFold(10))
    test = represented.x(unit.split.test).numpy()
    near = NearestNeighbors(n_neighbors=NUM_NEIGHBOURS).fit(x)
    rows = near.kneighbors(test, return_distance=False)  # (N, neighbours)
    rng = np.random.default_rng(unit.stream)
    choice = rng.integers(NUM_NEIGHBOURS, size=(NUM_DRAWS, len(test)))
    drawn = best.predict(test) + (u - mean)[rows[np.arange(len(test)), choice]]
    return _of_u(represented, drawn, begin)


def _of_u(represented: Represented, drawn: np.ndarray, begin: float) -> Answer:
    test = represented.unit.split.test
    anchors = represented.transforms.anchors(represented.inputs(test))
    u = torch.from_numpy(drawn)
    samples = represented.transforms.physical_targets(u, anchors).numpy()
    return _without_density(samples, begin)


def _without_density(samples: np.ndarray, begin: float) -> Answer:
    log_prob = np.full(samples.shape[1], np.nan)
    return Answer(samples, log_prob, time.perf_counter() - begin, float("nan"))


def prior(unit: Unit) -> Answer:
    """Histories of training rows, whatever is observed."""
    begin = time.perf_counter()
    theta = unit.catalogue.theta[unit.fitted]
    samples = prior_samples(theta, len(unit.split.test), NUM_DRAWS, seed=unit.seed)
    return _without_density(samples, begin)


FITS: dict[str, Callable[[Unit], Answer]] = {
    "default preset": partial(ours, preset="default"),
    "ours raw": ours_raw,
    "ours single": partial(ours, preset="exact", changes=("model.members=1",)),
    "ours five": partial(ours, preset="exact", changes=("model.members=5",)),
    "zuko raw": partial(zuko_nsf, raw=True),
    "zuko transforms": partial(zuko_nsf, raw=False),
    "sbi maf raw": partial(sbi_npe, estimator="maf", raw=True),
    "sbi maf transforms": partial(sbi_npe, estimator="maf", raw=False),
    "sbi nsf raw": partial(sbi_npe, estimator="nsf", raw=True),
    "original": original,
    "forest": forest,
    "relative forest": relative_forest,
    "ridge": ridge,
    "prior given M500, z": prior_given_mass_redshift,
    "prior": prior,
}
