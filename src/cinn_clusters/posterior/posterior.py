"""p(theta | x) in physical units: densities and draws of an ensemble of flows, mixed with equal
weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.parallel import parallel_map
from cinn_clusters.posterior.recalibration import Recalibration
from cinn_clusters.rng import numpy_stream

POINTS_A_BATCH = 32_000
"""Draws in flight at once: bounds memory whatever the length of the catalogue, and fits the
cache."""
NUM_MARGINAL_DRAWS = 1000
"""Draws that tell the marginals of an object where a recalibrated density is asked for."""


@dataclass(frozen=True)
class Posterior:
    """Conditional density of the targets given catalogue values.

    Args:
        flow: K trained members.
        transforms: Between catalogue values and what the flow sees.
        device: Where the flow lives.
        recalibration: Repair of draws and densities that held-out clusters asked for, or None.
    """

    flow: Flow
    transforms: Transforms
    device: str = "cpu"
    recalibration: Recalibration | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Catalogue columns to pass as ``inputs``, in order."""
        return self.transforms.inputs

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of theta, in order."""
        return self.transforms.target_names

    def log_prob(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Log-density in physical units; recalibrated, with marginals told by draws of a fixed seed.

        Args:
            theta: Targets in catalogue units, (N, D) or (S, N, D).
            inputs: Catalogue values, (N, len(self.inputs)).

        Returns:
            log q(theta | inputs), (N,) or (S, N); -inf outside the support or on its edge.

        Raises:
            DataError: If the shapes do not fit or an input is not finite.
        """
        context = self.context(inputs)
        theta = np.asarray(theta, dtype=float)
        if theta.ndim not in (2, 3) or theta.shape[-2:] != (len(inputs), len(self.targets)):
            raise DataError(
                "theta",
                f"(N, D) or (S, N, D) with N, D = {len(inputs), len(self.targets)}",
                f"{theta.shape}",
            )
        layers = theta.reshape(-1, *theta.shape[-2:])
        log_slope = np.zeros(layers.shape[:2])
        if self.recalibration is not None:
            plain = replace(self, recalibration=None)
            layers, log_slope = self.recalibration.undo(
                layers, plain.sample(inputs, NUM_MARGINAL_DRAWS)
            )
        with torch.no_grad():
            rows = [
                self._physical_log_prob(torch.from_numpy(layer), context).numpy()
                for layer in layers
            ]
        return np.asarray((np.stack(rows) + log_slope).reshape(theta.shape[:-1]))

    def sample(self, inputs: np.ndarray, num_draws: int = 1000, *, seed: int = 0) -> np.ndarray:
        """Draw from the posterior of each object.

        Args:
            inputs: Catalogue values, (N, len(self.inputs)).
            num_draws: S.
            seed: The draws of an object depend on the seed and its place in the catalogue only.

        Returns:
            (S, N, D) in catalogue units, every draw inside the physical bounds.

        Raises:
            DataError: If the shapes do not fit or an input is not finite.
        """
        _demand_draws(num_draws)
        result = np.empty((num_draws, len(inputs), len(self.targets)), dtype=np.float32)
        for objects, draws in self.sample_batches(inputs, num_draws, seed=seed):
            result[:, objects] = draws
        return result

    def sample_batches(
        self,
        inputs: np.ndarray,
        num_draws: int = 1000,
        *,
        seed: int = 0,
        places: np.ndarray | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (slice of objects, draws (S, n, D) float32) in pieces of bounded memory.

        Args:
            inputs: Catalogue values, (N, len(self.inputs)).
            num_draws: S.
            seed: See ``sample``.
            places: Place of each object in its catalogue, (N,); default 0..N-1.

        Raises:
            DataError: If the shapes do not fit or an input is not finite.
        """
        _demand_draws(num_draws)
        context = self.context(inputs)
        places = np.arange(len(inputs)) if places is None else places
        step = max(1, POINTS_A_BATCH // num_draws)
        pieces = [
            slice(begin, min(begin + step, len(inputs))) for begin in range(0, len(inputs), step)
        ]

        def draw(objects: slice) -> tuple[slice, np.ndarray]:
            return objects, self._draw(context.rows(objects), num_draws, seed, places[objects])

        yield from parallel_map(draw, pieces)

    def context(self, inputs: np.ndarray) -> Context:
        """Standardise catalogue values once for many densities.

        Raises:
            DataError: If the shape does not fit or a value is not finite.
        """
        inputs = np.asarray(inputs, dtype=float)
        x = self.transforms.standardise_inputs(inputs)
        anchors = self.transforms.anchors(inputs)
        fine = (
            self.transforms.is_usable(inputs)
            & torch.isfinite(x).all(1)
            & torch.isfinite(anchors).all(1)
        )
        if not fine.all():
            first = f"first row {int((~fine).int().argmax())}"
            raise DataError(
                "inputs", "finite values", f"{int((~fine).sum())} rows that are not", first
            )
        return Context(x.float().to(self.device), anchors)

    def unbounded_log_prob(self, u: Tensor, context: Context) -> Tensor:
        """Log-density per unit physical volume, as a differentiable function of unbounded u (N,
        D); (N,).
        """
        members = self.flow.num_members
        points = u.float().to(self.device).expand(members, -1, -1)
        log_probs = self.flow.log_prob(points, context.x.expand(members, -1, -1)).double().cpu()
        mixture = torch.logsumexp(log_probs, 0) - math.log(members)
        return mixture - self.transforms.log_jacobian(u, context.anchors)

    def _physical_log_prob(self, theta: Tensor, context: Context) -> Tensor:
        u = self.transforms.standardise_targets(theta, context.anchors)
        inside = torch.isfinite(u).all(-1)
        log_prob = self.unbounded_log_prob(torch.where(inside[:, None], u, 0.0), context)
        return torch.where(inside, log_prob, -math.inf)

    def _draw(self, context: Context, num_draws: int, seed: int, places: np.ndarray) -> np.ndarray:
        members, num_targets = self.flow.num_members, len(self.targets)
        each = -(-num_draws // members)  # draw l comes from member l mod K
        z = member_noise(seed, places, each, members, num_targets).to(self.device)
        x = context.x.repeat_interleave(each, 0).expand(members, -1, -1)
        u = self.flow.sample(z, x).cpu().view(members, len(places), each, num_targets)
        theta = self.transforms.physical_targets(u, context.anchors[None, :, None].expand(u.shape))
        draws = theta.permute(2, 0, 1, 3).reshape(each * members, len(places), num_targets)
        samples = draws[:num_draws].float().numpy()
        return samples if self.recalibration is None else self.recalibration.draws(samples)


@dataclass(frozen=True)
class Context:
    """Standardised observables (N, L) of some objects, and what their targets are measured from
    (N, D).
    """

    x: Tensor
    anchors: Tensor

    def rows(self, index: slice | Tensor) -> Context:
        """Return some of the objects."""
        return Context(self.x[index], self.anchors[index])


def _demand_draws(num_draws: int) -> None:
    if num_draws < 1:
        raise DataError("draws", "a positive number", str(num_draws))


def member_noise(
    seed: int, places: np.ndarray, num_draws: int, num_members: int, num_targets: int
) -> Tensor:
    """Gaussian noise of some objects, (K, n S, D): it depends on the seed and the place in the
    catalogue only.
    """
    shape = (num_draws, num_members, num_targets)
    noise = [
        numpy_stream(seed, "draws", int(place)).standard_normal(shape, dtype=np.float32)
        for place in places
    ]
    return (
        torch.from_numpy(np.stack(noise)).permute(2, 0, 1, 3).reshape(num_members, -1, num_targets)
    )
