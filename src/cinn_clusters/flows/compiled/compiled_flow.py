"""A flow of PyTorch turned into compiled kernels, where there are kernels for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.compiled.chain import TILES, Plan, Registers, Stream
from cinn_clusters.flows.compiled.draws import DrawArrays, run_chain
from cinn_clusters.flows.compiled.gradient_chain import GradientChain, aligned_rows
from cinn_clusters.flows.compiled.lanes import NUM_UNITS
from cinn_clusters.flows.compiled.monotone import ElementShape
from cinn_clusters.flows.compiled.weights import Block, Layer, Step, steps_of
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import Affine, Element, Spline
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.linear_parts import linear_map
from cinn_clusters.flows.mixing import ActNorm, Permutation, Rotation
from cinn_clusters.flows.transform import Transform


def compile_flow(flow: Flow) -> CompiledFlow | None:
    """Return a flow as compiled kernels, or None where there are none for it.

    There are kernels for couplings and autoregressions of splines or affine maps on the CPU, with
    linear maps between them. The weights are copied: train first, compile then.

    Args:
        flow: K trained members.

    Returns:
        The compiled flow; its samples and densities are those of ``flow`` to 1e-4.

    Examples:
        >>> from cinn_clusters import Config
        >>> from cinn_clusters.flows.zoo import make_flow
        >>> compiled = compile_flow(make_flow(Config(), 6, 7))
        >>> noise = np.zeros((10, 3, 20, 6), dtype=np.float32)
        >>> compiled.sample(noise, np.zeros((3, 7), dtype=np.float32)).shape
        (10, 3, 20, 6)
    """
    parameters = next(flow.parameters())
    if parameters.device.type != "cpu" or parameters.dtype != torch.float32:
        return None
    blocks = [part for part in flow.transforms if isinstance(part, Block)]
    kinds = Coupling, Autoregressive, ActNorm, Permutation, Rotation
    if not blocks or not all(isinstance(part, kinds) for part in flow.transforms):
        return None
    return CompiledFlow(flow)


@dataclass(frozen=True, eq=False)
class CompiledFlow:
    """Kernels of a flow; both directions are made ready when first used."""

    flow: Flow

    def sample(self, noise: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Turn Gaussian noise (K, N, P, D) into P targets of each of N objects, given x (N, L)."""
        return self._sampler.run(noise, x, len(noise))

    def log_prob(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log-density (K, N, P) of each member for P targets of objects x (N, L).

        Targets u are (N, P, D), or those of each member, (K, N, P, D).
        """
        points = u.reshape(-1, *u.shape[-3:])
        log_prob = self._density.run(points, x, self.flow.num_members)
        return log_prob[..., 0]

    def gradient(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log-density and its gradient, (K, N, P, 1 + D), of each member at u (N, P, D)."""
        *shape, num_targets = u.shape
        points = _contiguous(u).reshape(1, -1, num_targets)
        num_members = self.flow.num_members
        results = np.empty((num_members, points.shape[1], 1 + num_targets), np.float32)
        draws = DrawArrays(points, _contiguous(x), results)
        if results.size:
            self._slopes.run(draws)
        return results.reshape(num_members, *shape, 1 + num_targets)

    @cached_property
    def _slopes(self) -> GradientChain:
        chain = _chain_of(self.flow, is_inverse=False, may_push=False)
        return GradientChain(chain.plan, chain.stream, chain.num_rows)

    @cached_property
    def _sampler(self) -> _Chain:
        return _chain_of(self.flow, is_inverse=True)

    @cached_property
    def _density(self) -> _Chain:
        return _chain_of(self.flow, is_inverse=False)


@dataclass(frozen=True, eq=False)
class _Chain:
    """One direction of a flow."""

    plan: Plan
    stream: Stream
    num_rows: dict[str, int]

    def run(self, points: np.ndarray, x: np.ndarray, num_members: int) -> np.ndarray:
        """Samples (K, N, P, D) of points, or log-densities (K, N, P, 1)."""
        *_, num_objects, num_draws, num_targets = points.shape
        width = 1
        if self.plan.is_inverse:
            width = num_targets
        shape = num_members, num_objects * num_draws
        results = np.empty((*shape, width), dtype=np.float32)
        draws = DrawArrays(
            _contiguous(points).reshape(len(points), -1, num_targets),
            _contiguous(x),
            results,
        )
        if results.size:
            run_chain(self.plan, self.stream, draws, self._registers())
        return results.reshape(num_members, num_objects, num_draws, width)

    def _registers(self) -> Registers:
        memory = {name: aligned_rows(number) for name, number in self.num_rows.items()}
        return Registers(**memory)


def _contiguous(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers, dtype=np.float32)


def _chain_of(flow: Flow, is_inverse: bool, may_push: bool = True) -> _Chain:
    mixings, blocks = _alternating(flow)
    if is_inverse:
        mixings, blocks = mixings[::-1], blocks[::-1]
    steps = [steps_of(block, is_inverse) for block in blocks]
    plan = _plan(blocks[0], steps[0], len(blocks), is_inverse)
    plan = plan._replace(is_pushed=plan.is_pushed and may_push)
    sizes = flow.num_targets, flow.num_members
    maps = [linear_map(mixing, *sizes, is_inverse=is_inverse) for mixing in mixings]
    layers = [Layer(matrix, shift) for matrix, shift, _ in maps]
    log_det = sum(of_map for _, _, of_map in maps)
    stream = Stream(
        _flat(_in_order(plan, layers, steps)),
        _flat([step.of_x.stream for of_block in steps for step in of_block]),
        np.asarray(log_det, dtype=np.float32),
    )
    num_columns = 1 + flow.num_observables
    num_features = stream.features.size // (flow.num_members * num_columns)
    return _Chain(plan, stream, _num_rows(plan, flow, num_features))


def _in_order(
    plan: Plan, mixings: Sequence[Layer], steps: Sequence[Sequence[Step]]
) -> Iterator[np.ndarray]:
    """Streams (K, numbers) of a mixing and the steps of a block in turn, and the last mixing."""
    *before, last = mixings
    for mixing, of_block in zip(before, steps, strict=True):
        yield mixing.stream
        for step in of_block:
            if plan.is_pushed:
                yield step.pushed_stream
            else:
                yield step.stream
    yield last.stream


def _flat(streams: Iterable[np.ndarray]) -> np.ndarray:
    """Streams of all members, member by member."""
    return np.concatenate(list(streams), 1, dtype=np.float32).ravel()


def _plan(
    block: Block, steps: Sequence[Step], num_blocks: int, is_inverse: bool
) -> Plan:
    is_coupling = isinstance(block, Coupling)
    return Plan(
        num_blocks,
        block.num_targets,
        np.array([step.targets for step in steps]),
        np.concatenate([step.spans for step in steps]),
        _element_shape(block.element),
        is_inverse,
        is_coupling and len(steps[0].layers) == 2,
        is_coupling or is_inverse,
    )


def _num_rows(plan: Plan, flow: Flow, num_features: int) -> dict[str, int]:
    num_targets = plan.num_targets
    last = plan.units[:, 3].max()
    return {
        "x": flow.num_observables,
        "seen": num_features,
        "features": num_features,
        "targets": TILES * num_targets,
        "log_det": TILES,
        "inputs": num_targets + NUM_UNITS,
        "hidden": last + NUM_UNITS,
        "parameters": last + NUM_UNITS,
    }


def _element_shape(element: Element) -> ElementShape:
    zero = np.float32(0.0)
    if isinstance(element, Spline):
        bound = np.float32(element.bound)
        return ElementShape(element.num_parameters, element.num_bins, bound, zero)
    assert isinstance(element, Affine)
    clamp = np.float32(element.clamp)
    return ElementShape(element.num_parameters, 0, zero, clamp)


def _alternating(flow: Flow) -> tuple[list[list[Transform]], list[Block]]:
    """Mixings before, between and behind the blocks, and the blocks."""
    mixings: list[list[Transform]] = [[]]
    blocks: list[Block] = []
    for transform in flow.transforms:
        assert isinstance(transform, Transform)
        if isinstance(transform, Block):
            blocks.append(transform)
            mixings.append([])
        else:
            mixings[-1].append(transform)
    return mixings, blocks
