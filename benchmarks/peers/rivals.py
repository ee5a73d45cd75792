"""What the posterior has to beat: every rival as its users would run it by default.

A rival is a function of a ``Fold`` that returns an ``Answer``. All see the same seven columns and
six targets, raw, standardised on the training clusters of the fold unless the rival does that
itself; none knows of bounds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters import read_config
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split
from cinn_clusters.evaluation.reference_posteriors import (
    forest_histories,
    prior_samples,
)
from cinn_clusters.posterior.fit import fit

NUM_DRAWS = 1000
SEED = 0
CONTEXT = ("Group_M_Crit500", "lookback_time_Gyr")


@dataclass(frozen=True)
class Fold:
    """One fold: the rows, who trains, who stops, who is judged, and the dequantised truths
    (N_test, D).
    """

    catalogue: Catalogue
    split: Split
    truth: np.ndarray

    @property
    def fitted(self) -> np.ndarray:
        """Rows outside the test fold."""
        return np.concatenate([self.split.train, self.split.validation])

    def x(self, rows: np.ndarray) -> np.ndarray:
        """Raw observables."""
        return self.catalogue.inputs(self.catalogue.observables)[rows]


@dataclass(frozen=True)
class Answer:
    """Draws (S, N, D), log-density of the truths (N,) or None, and seconds spent."""

    samples: np.ndarray
    log_prob: np.ndarray | None
    train_seconds: float
    draw_seconds: float


class Scaled:
    """Standardised tensors of a fold, and the way back."""

    def __init__(self, fold: Fold) -> None:
        theta, x = (
            fold.catalogue.theta,
            fold.catalogue.inputs(fold.catalogue.observables),
        )
        self.mean, self.sd = theta[fold.fitted].mean(0), theta[fold.fitted].std(0)
        x_mean, x_sd = x[fold.fitted].mean(0), x[fold.fitted].std(0)

        def pair(rows: np.ndarray) -> tuple[Tensor, Tensor]:
            scaled = (theta[rows] - self.mean) / self.sd, (x[rows] - x_mean) / x_sd
            return torch.tensor(scaled[0]).float(), torch.tensor(scaled[1]).float()

        self.train, self.validation, self.test = (
            pair(rows)
            for rows in (fold.split.train, fold.split.validation, fold.split.test)
        )
        self.truth = torch.tensor((fold.truth - self.mean) / self.sd).float()

    def back(self, u: Tensor) -> np.ndarray:
        """Catalogue units."""
        return u.double().numpy() * self.sd + self.mean

    def density(self, log_prob: Tensor) -> np.ndarray:
        """Per unit physical volume."""
        return log_prob.double().numpy() - np.log(self.sd).sum()


def ours(fold: Fold, changes: list[str]) -> Answer:
    """This package, default preset."""
    begin = time.perf_counter()
    posterior = fit(fold.catalogue, fold.split, read_config(changes=changes))
    trained = time.perf_counter()
    inputs = fold.catalogue.inputs(posterior.inputs)[fold.split.test]
    samples = posterior.sample(inputs, NUM_DRAWS, seed=SEED)
    drawn = time.perf_counter()
    return Answer(
        samples,
        posterior.log_prob(fold.truth, inputs),
        trained - begin,
        drawn - trained,
    )


def original(fold: Fold, changes: list[str]) -> Answer:
    """The published network: FrEIA, 12 GLOW blocks, 128 hidden, clamp 2, Adam 2e-3, 250 epochs,
    best validation NLL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from FrEIA.framework import SequenceINN
        from FrEIA.modules import GLOWCouplingBlock, PermuteRandom

    scaled, num_targets = Scaled(fold), fold.catalogue.theta.shape[1]
    num_observables = scaled.train[1].shape[1]

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

    def log_prob(u: Tensor, x: Tensor) -> Tensor:
        z, log_det = network(u, c=[x])
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det

    def sample(x: Tensor) -> Tensor:
        wide = x.repeat(NUM_DRAWS, 1)
        drawn = network(torch.randn(len(wide), num_targets), c=[wide], rev=True)[0]
        return drawn.view(NUM_DRAWS, len(x), num_targets)

    return _trained(
        network,
        log_prob,
        sample,
        scaled,
        learning_rate=2e-3,
        batch=512,
        epochs=250,
        patience=250,
    )


def zuko_nsf(fold: Fold, changes: list[str]) -> Answer:
    """The neural spline flow of zuko with its defaults, Adam 1e-3, stopped on held-out clusters."""
    import zuko

    scaled = Scaled(fold)
    flow = zuko.flows.NSF(scaled.train[0].shape[1], scaled.train[1].shape[1])
    return _trained(
        flow,
        lambda u, x: flow(x).log_prob(u),
        lambda x: flow(x).sample((NUM_DRAWS,)),
        scaled,
        learning_rate=1e-3,
        batch=128,
        epochs=300,
        patience=20,
    )


def _trained(
    network: nn.Module,
    log_prob: Callable[[Tensor, Tensor], Tensor],
    sample: Callable[[Tensor], Tensor],
    scaled: Scaled,
    *,
    learning_rate: float,
    batch: int,
    epochs: int,
    patience: int,
) -> Answer:
    """Maximum likelihood; the weights of the best validation epoch are kept."""
    begin = time.perf_counter()
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    best, best_loss, best_epoch = network.state_dict(), float("inf"), 0
    for epoch in range(epochs):
        for rows in torch.randperm(len(scaled.train[0])).split(batch):
            optimiser.zero_grad()
            (-log_prob(scaled.train[0][rows], scaled.train[1][rows]).mean()).backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(-log_prob(*scaled.validation).mean())
        if loss < best_loss:
            best, best_loss = (
                {name: value.clone() for name, value in network.state_dict().items()},
                loss,
            )
            best_epoch = epoch
        if epoch - best_epoch >= patience:
            break
    network.load_state_dict(best)
    trained = time.perf_counter()
    with torch.no_grad():
        samples = scaled.back(sample(scaled.test[1]))
        drawn = time.perf_counter()
        density = scaled.density(log_prob(scaled.truth, scaled.test[1]))
    return Answer(samples, density, trained - begin, drawn - trained)


def sbi_maf(fold: Fold, changes: list[str]) -> Answer:
    """Neural posterior estimation of sbi with its default masked autoregressive flow."""
    return _sbi(fold, "maf")


def sbi_nsf(fold: Fold, changes: list[str]) -> Answer:
    """Neural posterior estimation of sbi with its default neural spline flow."""
    return _sbi(fold, "nsf")


def _sbi(fold: Fold, estimator: str) -> Answer:
    """Raw columns: sbi standardises them, and holds out a tenth of the rows. Draws are not cut
    at any prior.
    """
    from sbi.inference import NPE

    theta, x = (
        torch.tensor(fold.catalogue.theta).float(),
        torch.tensor(fold.x(slice(None))).float(),
    )  # type: ignore[arg-type]
    begin = time.perf_counter()
    inference = NPE(density_estimator=estimator, show_progress_bars=False)
    density = inference.append_simulations(theta[fold.fitted], x[fold.fitted]).train()
    trained = time.perf_counter()
    test = x[fold.split.test]
    with torch.no_grad():
        samples = torch.cat(
            [density.sample((NUM_DRAWS,), condition=part) for part in test.split(50)], 1
        )
        drawn = time.perf_counter()
        log_prob = density.log_prob(
            torch.tensor(fold.truth).float()[None], condition=test
        )[0]
    return Answer(
        samples.numpy(), log_prob.double().numpy(), trained - begin, drawn - trained
    )


def forest(fold: Fold, changes: list[str]) -> Answer:
    """Random forest of 300 trees on the seven observables: draws by leaf weights (Meinshausen
    2006).
    """
    return _forest(fold, fold.catalogue.observables)


def prior_given_mass_redshift(fold: Fold, changes: list[str]) -> Answer:
    """The same forest, which sees M500 and redshift only."""
    return _forest(fold, CONTEXT)


def _forest(fold: Fold, names: tuple[str, ...]) -> Answer:
    begin = time.perf_counter()
    samples = forest_histories(
        fold.catalogue, names, fold.fitted, fold.split.test, NUM_DRAWS, SEED
    )
    return Answer(samples, None, time.perf_counter() - begin, float("nan"))


def prior(fold: Fold, changes: list[str]) -> Answer:
    """Histories of training rows, whatever is observed."""
    begin = time.perf_counter()
    samples = prior_samples(
        fold.catalogue.theta[fold.fitted], len(fold.split.test), NUM_DRAWS
    )
    return Answer(samples, None, 0.0, time.perf_counter() - begin)


RIVALS: dict[str, Callable[[Fold, list[str]], Answer]] = {
    "ours": ours,
    "original": original,
    "zuko NSF": zuko_nsf,
    "sbi NPE maf": sbi_maf,
    "sbi NPE nsf": sbi_nsf,
    "forest": forest,
    "prior given M500, z": prior_given_mass_redshift,
    "prior": prior,
}
