r"""Posterior of an ensemble of K conditional flows in physical units, mixed with equal weights.

q(theta | x) = 1/K sum_k q_k(u(theta) | x) |du / dtheta|, where u are the unbounded, standardised
coordinates in which the flows live. Samples are drawn there and mapped back, so that every one
lies inside the physical bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import pandas as pd
import torch
from astropy.table import Table
from numpy.typing import ArrayLike
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.flow_engines import ROWS_A_BLOCK, FlowEngines
from cinn_clusters.parallel import parallel_map
from cinn_clusters.posterior.arguments import (
    as_array,
    as_frame,
    column_of,
    columns_of,
    demand_inputs,
    demand_no_nan,
    demand_possible,
    frame_of_table,
    is_table,
)
from cinn_clusters.posterior.contexts import Context, MixtureDensity
from cinn_clusters.posterior.query import OBJECT, Kernels, Query, Sampling
from cinn_clusters.posterior.recalibration import Recalibration
from cinn_clusters.rng import numpy_stream

Objects: TypeAlias = Query | ArrayLike | pd.DataFrame | Table | Mapping[str, ArrayLike]
"""What a posterior may be asked about: a query, a table by name, or inputs (N, L)."""
POINTS_A_BATCH = 32_000
"""Samples in flight at once: bounds memory whatever the length of the catalogue, and fits the
cache."""
POINTS_A_COMPILED_BATCH = 256_000
"""The same of compiled kernels, whose own tiles fit the cache."""
NUM_MARGINAL_SAMPLES = 1000
"""Samples that define the marginals of an object where a recalibrated density is evaluated."""


@dataclass(frozen=True)
class Posterior:
    """Conditional density of the targets given the observables.

    Args:
        flow: K trained members.
        transforms: Between catalogue values and what the flow sees.
        device: Where the flow lives.
        recalibration: Repair of samples and densities that held-out clusters called for, or None.

    Examples:
        >>> from cinn_clusters import load_posterior
        >>> posterior = load_posterior()  # the model of the package
        >>> table = pd.DataFrame({"Group_M_Crit500": [14.7], "lookback_time_Gyr": [2.0]})
        >>> posterior.sample(posterior.query(table), 100).shape
        (100, 1, 6)
    """

    flow: Flow
    transforms: Transforms
    device: str = "cpu"
    recalibration: Recalibration | None = None

    @cached_property
    def engines(self) -> FlowEngines:
        """What runs the flow."""
        return FlowEngines(self.flow, self.device)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Catalogue columns to pass as ``inputs``, in order."""
        return self.transforms.inputs

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of theta, in order."""
        return self.transforms.target_names

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Columns that identify an object, where a table has them."""
        names = (*self.transforms.schema.keys.names, *schema.ROW_KEYS, OBJECT)
        return tuple(dict.fromkeys(names))

    def query(self, table: Objects, keys: Sequence[str] = ()) -> Query:
        """Make a query of a table that holds the inputs by name.

        A model that accepts missing values takes an absent column or value as a missing
        observable, and an absent ``sigma_<name>`` as an exact one.

        Args:
            table: Columns named as ``Posterior.inputs``, in any order among others; N rows. It may
                be of pandas, polars, astropy (whose units are converted), a structured array or a
                dictionary.
            keys: Columns that identify an object, of which those in the table are kept; none:
                ``key_columns``.

        Returns:
            The query, object n being row n of the table.

        Raises:
            DataError: If a column is no number, or a value is missing that the model needs.
        """
        if isinstance(table, Table):
            table = frame_of_table(table, self.inputs, self.transforms.schema)
        frame = as_frame(table)
        demand_inputs(frame, self.inputs, self._needed)
        values = {name: column_of(frame, name) for name in self.inputs}
        inputs = np.stack(list(values.values()), 1)
        if not self.transforms.accepts_missing:
            self._demand_complete(values)
        names = [name for name in keys or self.key_columns if name in frame]
        objects = frame[names].reset_index(drop=True)
        numbers = np.arange(len(frame))
        return Query(inputs, numbers, objects)

    @property
    def _needed(self) -> tuple[str, ...]:
        """Inputs without which nothing can be answered."""
        if not self.transforms.accepts_missing:
            return self.inputs
        return tuple(name for name in self.inputs if name == self.transforms.time)

    def as_query(self, objects: Objects) -> Query:
        """Return a query as it is, and make one of a table by name or of an array (N, L).

        Raises:
            DataError: If a column is missing, or the values are no numbers.
        """
        if isinstance(objects, Query):
            return objects
        if is_table(objects):
            query = self.query(objects)
            if not isinstance(objects, Table):  # whose reader looks at the values
                frame = as_frame(objects)
                demand_possible(frame, self.inputs, self.transforms.schema)
            return query
        return Query.from_inputs(as_array(objects, "inputs"))

    def log_prob(
        self, theta: ArrayLike, query: Objects, *, kernels: Kernels = "reference"
    ) -> np.ndarray:
        """Log-density in physical units; recalibrated, with marginals of samples of a fixed seed.

        Args:
            theta: Targets in catalogue units, (N, D) or (S, N, D), or a table with columns named as
                ``Posterior.targets``.
            query: Objects, a table of them (see ``query``), or inputs (N, len(self.inputs)).
            kernels: ``compiled`` or ``reference``, as ``Sampling`` has it.

        Returns:
            log q(theta | x), (N,) or (S, N); -inf outside the support or on its edge.

        Raises:
            DataError: If the shapes do not fit, an input is not finite, or a target is NaN.
        """
        query = self.as_query(query)
        if is_table(theta):
            theta = columns_of(theta, self.targets)
        theta = as_array(theta, "theta")
        shape = (len(query), len(self.targets))
        if theta.ndim not in (2, 3) or theta.shape[-2:] != shape:
            expected = f"(N, D) or (S, N, D) with N, D = {shape}"
            raise DataError("theta", expected, f"{theta.shape}")
        demand_no_nan(theta, "theta")
        layers = theta.reshape(-1, *shape)
        log_slope = np.zeros(layers.shape[:2])
        if self.recalibration is not None:
            raw_samples = self.without_recalibration().sample(
                query, NUM_MARGINAL_SAMPLES
            )
            layers, log_slope = self.recalibration.undo(layers, raw_samples)
        log_prob = self._physical_log_prob(layers, query, kernels) + log_slope
        return np.asarray(log_prob.reshape(theta.shape[:-1]))

    def sample(
        self, query: Objects, num_samples: int = 1000, *, seed: int = 0
    ) -> np.ndarray:
        """Draw samples from the posterior of each object.

        Args:
            query: Objects, a table of them (see ``query``), or inputs (N, len(self.inputs)).
            num_samples: S, samples of each object.
            seed: Samples of an object depend on the seed, its inputs and its name only: neither
                the order nor the number of the objects changes them, and objects without names and
                of equal inputs have equal samples. Jobs of 500,000 draws or more use compiled
                kernels, whose samples agree to 1e-4; ``sample_batches`` may fix which.

        Returns:
            Samples (S, N, D) in catalogue units, every one inside the physical bounds.

        Raises:
            DataError: If the shapes do not fit or an input is not finite.
        """
        query, sampling = self.as_query(query), Sampling(num_samples, seed)
        shape = (num_samples, len(query), len(self.targets))
        samples = np.empty(shape, dtype=self.transforms.sample_dtype)
        for objects, batch in self.sample_batches(query, sampling):
            samples[:, objects] = batch
        return samples

    def sample_batches(
        self, query: Objects, sampling: Sampling
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Draw samples in pieces of bounded memory.

        Args:
            query: Objects, a table of them (see ``query``), or inputs (N, len(self.inputs)).
            sampling: Number of samples and seed; the device is that of the posterior.

        Yields:
            Slice of the objects, and their samples (S, n, D).

        Raises:
            DataError: If the shapes do not fit or an input is not finite.
        """
        query = self.as_query(query)
        sampling = sampling.for_job(len(query))
        context = self.context(query.inputs)
        num_points = POINTS_A_BATCH
        if sampling.kernels == "compiled":
            num_points = POINTS_A_COMPILED_BATCH
        step = max(1, num_points // sampling.num_samples)

        def draw(objects: slice) -> tuple[slice, np.ndarray]:
            batch = query.rows(objects)
            return objects, self._sample_batch(batch, context.rows(objects), sampling)

        yield from parallel_map(draw, list(query.batches(step)))

    def context(self, inputs: np.ndarray) -> Context:
        """Standardise catalogue values (N, L) once for many densities.

        Raises:
            DataError: If the shape does not fit or a value is not finite.
        """
        inputs = np.ascontiguousarray(inputs, dtype=float)
        x = self.transforms.standardise_inputs(inputs)
        anchors = self.transforms.anchors(inputs)
        is_usable = self.transforms.is_usable(inputs)
        is_usable &= torch.isfinite(x).all(1)
        is_usable &= torch.isfinite(anchors).all(1)
        if not is_usable.all():
            rows = (~is_usable).nonzero()
            got = f"{len(rows)} rows that are not"
            first = f"first row {int(rows[0])}"
            raise DataError("inputs", "finite values", got, first)
        x = x.float().to(self.device)
        return Context(x, anchors)

    def unbounded_log_prob(self, u: Tensor, context: Context) -> Tensor:
        """Log-density (N,) per unit of u (N, D), differentiable."""
        density = MixtureDensity(
            self.engines, self.transforms, context, context.anchors
        )
        return density.log_prob(u)

    def density(self, query: Query, kernels: Kernels = "reference") -> MixtureDensity:
        """Density of the samples of n objects, before a recalibration.

        Args:
            query: The objects.
            kernels: ``compiled`` or ``reference``, as ``Sampling`` has it.

        Raises:
            DataError: If the shape of the inputs does not fit or a value is not finite.
        """
        context = self.context(query.inputs)
        contexts = self._conditions(query, context)
        is_compiled = kernels == "compiled"
        parts = self.engines, self.transforms
        return MixtureDensity(*parts, contexts, context.anchors, is_compiled)

    def without_recalibration(self) -> Self:
        """Return the posterior as it was trained."""
        return replace(self, recalibration=None)

    def _physical_log_prob(
        self, layers: np.ndarray, query: Query, kernels: Kernels
    ) -> np.ndarray:
        """Log-density (S, N) of layers of targets (S, N, D), before a recalibration."""
        log_prob = np.empty(layers.shape[:2])
        step = max(1, POINTS_A_BATCH // self.num_contexts)
        for objects in query.batches(step):
            density = self.density(query.rows(objects), kernels)
            for layer, row in zip(layers, log_prob, strict=True):
                theta = torch.from_numpy(layer[objects])
                with torch.no_grad():
                    row[objects] = density.physical_log_prob(theta).numpy()
        return log_prob

    @property
    def num_contexts(self) -> int:
        """Contexts of each object, over which its posterior is averaged: T."""
        return 1

    def _conditions(self, query: Query, context: Context) -> Context:
        """What samples of n objects are conditioned on: T contexts an object, (n T)."""
        return context

    def _sample_batch(
        self, query: Query, context: Context, sampling: Sampling
    ) -> np.ndarray:
        """Samples (S, n, D) of n objects."""
        contexts = self._conditions(query, context)
        return self._draw(contexts, query.streams, sampling)

    def _draw(
        self, contexts: Context, streams: Sequence[int], sampling: Sampling
    ) -> np.ndarray:
        """Samples (S, n, D) of n objects with T contexts each.

        Sample l has context l mod T, and all members in turn, each from another one in every
        context.
        """
        num_members, num_objects = self.flow.num_members, len(streams)
        num_targets = len(self.targets)
        num_contexts = len(contexts.x) // num_objects
        num_batches = num_members * num_contexts
        num_each = -(-sampling.num_samples // num_batches)
        stream = Sampling(num_contexts * num_each, sampling.seed)
        z = member_noise(stream, streams, num_members, num_targets)

        shape = (num_members, num_objects, num_contexts, num_each, num_targets)
        noise = z.view(num_members, num_objects, -1, num_targets)
        used = noise[:, :, : stream.num_samples].reshape(shape)
        x = contexts.x.view(num_objects, num_contexts, -1)
        u = self.engines.sample(used, x, sampling.kernels == "compiled")
        anchors = contexts.anchors.view(num_objects, num_contexts, 1, -1)
        theta = self.transforms.physical_targets(u, anchors.expand(shape))
        numbers = torch.arange(sampling.num_samples)
        turn = numbers // num_contexts
        context = numbers % num_contexts
        member = (turn + context) % num_members
        chosen = theta[member, :, context, turn // num_members].numpy()  # (S, n, D)
        with np.errstate(over="ignore"):  # an unbounded flow may explode
            samples = chosen.astype(self.transforms.sample_dtype)
        if self.recalibration is None:
            return samples
        return self.recalibration.repair(samples)

    def _demand_complete(self, values: dict[str, np.ndarray]) -> None:
        """Refuse missing values, for a model that needs every observable."""
        for name, column in values.items():
            is_missing = ~np.isfinite(column)
            if is_missing.any():
                got = f"{int(is_missing.sum())} of {len(column)} missing"
                hint = "leave such rows out, or train a model with train.augment"
                raise DataError(
                    f"column '{name}'", "a value in every row", got, "", hint
                )


def member_noise(
    sampling: Sampling, streams: Sequence[int], num_members: int, num_targets: int
) -> Tensor:
    """Gaussian noise (K, n P, D) of n objects, each with a stream of its own.

    P is the number of samples, filled up with zeros to a multiple of ``ROWS_A_BLOCK``: libraries of
    linear algebra take rows in blocks, and round a row that is left over in another way.
    """
    num_filled = -(-sampling.num_samples // ROWS_A_BLOCK) * ROWS_A_BLOCK
    shape = (sampling.num_samples, num_members, num_targets)
    noise = np.zeros((len(streams), num_filled, *shape[1:]), dtype=np.float32)
    for number, stream in enumerate(streams):
        generator = numpy_stream(sampling.seed, "draws", stream)
        normal = generator.standard_normal(shape, dtype=np.float32)
        noise[number, : sampling.num_samples] = normal
    stacked = torch.from_numpy(noise)  # (n, P, K, D)
    return stacked.permute(2, 0, 1, 3).reshape(num_members, -1, num_targets)
