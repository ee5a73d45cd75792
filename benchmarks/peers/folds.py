"""Folds of the protocol, what a rival answers, and how answers are kept: one file a fit.

A *representation* says what a flow sees: raw columns, standardised on the training clusters, or
this package's transforms (bijections of bounded targets, ratios to M500, dequantised times). Both
are ``Transforms``, so that samples and densities come back by one path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise, off_bounds
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.posterior.fit import fit_catalogue_transforms
from cinn_clusters.schema import INFINITE, Schema

NUM_DRAWS = 1000
NUM_SHARED_DRAWS = 200
"""Samples of each further member: five members share the 1000 of a mixture."""
NUM_GROUPS = 10
"""Each member of an ensemble stops on a tenth of the clusters of its own."""


@dataclass(frozen=True)
class Unit:
    """What one fit is told.

    Args:
        catalogue: All rows.
        split: Rows of the fold.
        truth: Dequantised ground truth of the test rows, (N, D).
        fold: Number of the fold.
        seed: Seed of a whole out-of-fold answer.
        member: Number in its ensemble.
    """

    catalogue: Catalogue
    split: Split
    truth: np.ndarray
    fold: int
    seed: int
    member: int

    @property
    def stream(self) -> int:
        """Seed of this fit alone."""
        return 10_000 * self.seed + 100 * self.fold + self.member

    @property
    def num_draws(self) -> int:
        """Samples a row that are asked of this fit."""
        return NUM_SHARED_DRAWS if self.member else NUM_DRAWS

    @property
    def fitted(self) -> np.ndarray:
        """Rows outside the test fold."""
        return np.concatenate([self.split.train, self.split.validation])

    @property
    def held_out(self) -> np.ndarray:
        """Those of them that this member stops on: whole clusters."""
        clusters = self.catalogue.clusters
        names = np.unique(clusters[self.fitted])
        rng = np.random.default_rng([self.seed, self.fold])
        group = np.array_split(rng.permutation(names), NUM_GROUPS)[self.member]
        return self.fitted[np.isin(clusters[self.fitted], group)]

    @property
    def trained(self) -> np.ndarray:
        """The others."""
        return np.setdiff1d(self.fitted, self.held_out)


@dataclass(frozen=True)
class Answer:
    """Samples (S, N, D), log-density of the ground truth (N,) or NaN, and seconds spent."""

    samples: np.ndarray
    log_prob: np.ndarray
    train_seconds: float
    draw_seconds: float


class Represented:
    """A fold as a flow sees it, and the way back to catalogue units."""

    def __init__(self, unit: Unit, *, raw: bool) -> None:
        self.unit, self.catalogue = unit, unit.catalogue
        if raw:
            self.catalogue = without_physics(unit.catalogue)
        transforms = fit_catalogue_transforms(
            self.catalogue, unit.split, seed=unit.seed
        )
        if raw:
            transforms = unclipped(transforms)
        self.transforms = transforms

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """Columns of the table that the transforms take."""
        return self.catalogue.inputs(self.transforms.inputs)[rows]

    def x(self, rows: np.ndarray) -> Tensor:
        """Standardised observables."""
        return self.transforms.standardise_inputs(self.inputs(rows)).float()

    def u(self, rows: np.ndarray, jitter: int) -> Tensor:
        """Standardised targets; times are spread anew for each jitter where they are at all."""
        part = self.catalogue.rows(rows)
        rng = np.random.default_rng([self.unit.stream, jitter])
        theta = dequantise(part.theta, part.target_columns, part.age, rng)
        if self.transforms.is_bounded:
            theta = off_bounds(theta, part.target_columns, part.age)
        return self.standardised(theta, rows)

    def standardised(self, theta: np.ndarray, rows: np.ndarray) -> Tensor:
        """Standardised targets u of theta in catalogue units."""
        anchors = self.transforms.anchors(self.inputs(rows))
        return self.transforms.standardise_targets(theta, anchors).float()

    @cached_property
    def truth(self) -> Tensor:
        """The ground truth that the likelihood is of."""
        return self.standardised(self.unit.truth, self.unit.split.test)

    def answer(
        self, u: Tensor, log_prob: Tensor, train_seconds: float, draw_seconds: float
    ) -> Answer:
        """Samples u (S, N, D) and log-density of the truth (N,) in physical units."""
        anchors = self.transforms.anchors(self.inputs(self.unit.split.test))
        samples = self.transforms.physical_targets(u, anchors).numpy()
        density = log_prob.double() - self.transforms.log_jacobian(self.truth, anchors)
        return Answer(samples, density.numpy(), train_seconds, draw_seconds)


def without_physics(catalogue: Catalogue) -> Catalogue:
    """The same rows with columns that have no bounds, logarithms, ratios or resolution."""
    columns = tuple(
        replace(
            column,
            bounds=INFINITE,
            is_log=False,
            floor=0.0,
            relative_to=None,
            bijection="identity",
            anchor=None,
            resolution=0.0,
        )
        for column in catalogue.schema.columns
    )
    schema: Schema = replace(catalogue.schema, columns=columns)
    return replace(catalogue, schema=schema)


def unclipped(transforms: Transforms) -> Transforms:
    """The same with observables of any size."""
    observables = tuple(
        replace(entry, clip=math.inf) for entry in transforms.observables
    )
    return replace(transforms, observables=observables)


def units(catalogue: Catalogue, seed: int, member: int) -> list[Unit]:
    """The five folds of the protocol for one seed and member."""
    return [
        Unit(
            catalogue,
            split,
            dequantised_ground_truth(catalogue, split.test),
            fold,
            seed,
            member,
        )
        for fold, split in enumerate(folds_by_cluster(catalogue.clusters))
    ]


def slug(name: str) -> str:
    """File name of a fit."""
    return "_".join(name.lower().replace(",", "").replace("'", "").split())


def fit_path(out: Path, name: str, seed: int, fold: int, member: int) -> Path:
    return out / f"{slug(name)}_s{seed}_f{fold}_m{member}.npz"


def keep(path: Path, answer: Answer) -> None:
    """Write an answer whole or not at all."""
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        samples=answer.samples.astype(np.float32),
        log_prob=answer.log_prob,
        seconds=[answer.train_seconds, answer.draw_seconds],
    )
    part.rename(path)


def read_answer(path: Path) -> Answer:
    with np.load(path) as kept:
        return Answer(kept["samples"], kept["log_prob"], *map(float, kept["seconds"]))


def seed_everything(unit: Unit) -> None:
    torch.manual_seed(unit.stream)
    np.random.seed(unit.stream)  # noqa: NPY002 (sbi draws its held-out rows from it)
