"""A checkpoint of the original scripts (FrEIA, Kingma & Dhariwal's GLOW) becomes a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cinn_clusters.claims import reserving
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.files import demand_free, sha256_of
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import Permutation
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.legacy.processed import EMBEDDING, NamedScaler, scaler_of
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.settings.config import Config
from cinn_clusters.settings.sections import validated
from cinn_clusters.storage.model import save_posterior

_MODULE = re.compile(r"(.*?)module_list\.(\d+)\.(.+)")
_LAYER = re.compile(r"subnet[12]\.\d+\.(?:weight|bias)")
_PERMUTATION = "perm"
Layers = list[tuple[Tensor, Tensor]]
"""Weights (out, in) and biases (out,) of the linear layers of a sub-network."""
Scaling = list[tuple[str, float, float]]
"""Name, mean and scale of each column."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Both sub-networks of a GLOW coupling, and the permutation behind it, if there is one."""

    subnets: tuple[Layers, Layers]
    permutation: Tensor | None = None


_STATE_DICT = "a state dict of tensors"


@reserving()
def import_original(
    checkpoint: str | Path,
    processed: str | Path,
    out: str | Path,
    *,
    clamp: float = 2.0,
    overwrite: bool = False,
) -> Posterior:
    """Turn a FrEIA checkpoint and its two scalers into a bundle that gives the same samples.

    Args:
        checkpoint: State dict of the original network: GLOW coupling blocks and fixed permutations.
        processed: Folder with the scalers of X and Y (pickle, joblib or ``.npz``), and of the
            embedding for a combined network; X.csv and Y.csv for column names.
        out: Bundle to make.
        clamp: Largest |log-scale| of the network, which a state dict does not hold.
        overwrite: Replace a bundle that stands there.

    Returns:
        The posterior. It is as good as its training: samples may be unphysical, and its test
        clusters took part in training.

    Raises:
        BundleError: If the checkpoint is not such a network.
        DataError: If a scaler is missing, or does not fit the network.
        OutputError: If the bundle stands there already.
    """
    checkpoint, processed, out = Path(checkpoint), Path(processed), Path(out)
    demand_free(out, overwrite)
    blocks = _read_blocks(_read_state(checkpoint), checkpoint)
    config, num_targets, num_observables = _architecture(blocks, clamp, checkpoint)
    flow = make_flow(config, num_targets, num_observables)
    _fill(flow, blocks, checkpoint)
    observables = tuple(
        ObservableMap(name, shift=mean, scale=scale)
        for name, mean, scale in _scaling_of_x(processed, num_observables, checkpoint)
    )
    targets = tuple(
        TargetMap(name, shift=mean, scale=scale)
        for name, mean, scale in _scaling_of_y(processed, num_targets, checkpoint)
    )
    posterior = Posterior(flow.eval(), Transforms(observables, targets))
    provenance = {
        "protocol": "original",
        "files": [{"name": checkpoint.name, "sha256": sha256_of(checkpoint)}],
        "note": "imported from the original scripts",
    }
    save_posterior(posterior, out, config, provenance=provenance, overwrite=overwrite)
    return posterior


def _scaling_of_x(processed: Path, size: int, checkpoint: Path) -> Scaling:
    """Scaling of the scalars; of a combined network, of its embedding behind them, too."""
    scalars = scaler_of(processed, "X")
    scaling = _scaling(scalars)
    if len(scaling) == size:
        return scaling
    if len(scaling) < size:
        with suppress(DataError):  # no scaler of embeddings
            scaling += _scaling(scaler_of(processed, EMBEDDING))
    if len(scaling) != size:
        expected = "a network of as many X columns as its scaler"
        got = f"{size}, and {len(scaling)} in {scalars.path.name}"
        hint = "beside it, emb_scaler.pkl is that of an embedding"
        raise DataError(checkpoint, expected, got, str(processed), hint)
    return scaling


def _scaling_of_y(processed: Path, size: int, checkpoint: Path) -> Scaling:
    named = scaler_of(processed, "Y")
    if len(named.columns) != size:
        expected = "a network of as many Y columns as its scaler"
        got = f"{size}, and {len(named.columns)} in {named.path.name}"
        raise DataError(checkpoint, expected, got, str(processed))
    return _scaling(named)


def _scaling(named: NamedScaler) -> Scaling:
    """Name, mean and scale of each column; of its first ones where their number differs."""
    mean, scale = named.scaler.mean.tolist(), named.scaler.scale.tolist()
    if len(named.columns) != len(mean):
        expected = f"columns of {named.path.name}: {', '.join(named.columns)}"
        raise DataError(named.path, expected, f"{len(mean)} columns")
    return list(zip(named.columns, mean, scale, strict=True))


def _read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name, by torch's reader for weights only, which runs no code of the file."""
    state = _load_weights(path)
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    is_tensors = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor)
        for name, value in state.items()
    )
    if not is_tensors:
        raise BundleError(path, _STATE_DICT, type(state).__name__)
    _demand_finite(state, path)
    return dict(state)


def _load_weights(path: Path) -> Any:
    try:
        demand_regular(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(path, "a readable file", reason(error)) from error
    except Exception as error:  # whatever its reader says of it
        hint = "save it with torch.save(model.state_dict(), path)"
        got = "another object or damage"
        raise BundleError(path, _STATE_DICT, got, "", hint) from error


def _demand_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, value in state.items():
        is_dense = value.layout is torch.strided
        if not is_dense or not value.isfinite().all():
            raise BundleError(path, "finite tensors", f"others in '{name}'")


def _read_blocks(state: Mapping[str, Tensor], path: Path) -> list[_Block]:
    """Coupling blocks in order, each with the permutation that follows it."""
    blocks: list[_Block] = []
    for tensors in _modules(state, path):
        if any(map(_LAYER.fullmatch, tensors)):
            blocks.append(
                _Block((_linear(tensors, 1, path), _linear(tensors, 2, path)))
            )
        elif _PERMUTATION not in tensors:
            expected = "GLOW coupling blocks and fixed permutations only"
            raise BundleError(path, expected, ", ".join(tensors))
        elif not blocks or blocks[-1].permutation is not None:
            expected = "a coupling block before each permutation"
            raise BundleError(path, expected, "two permutations in a row")
        else:
            blocks[-1] = _Block(blocks[-1].subnets, tensors[_PERMUTATION].long())
    if not blocks:
        raise BundleError(
            path, "GLOW coupling blocks and fixed permutations only", "none"
        )
    return blocks


def _modules(state: Mapping[str, Tensor], path: Path) -> list[dict[str, Tensor]]:
    """Tensors of each module of the network, in order, by their names inside it."""
    modules: dict[int, dict[str, Tensor]] = {}
    prefixes = set()
    for name, value in state.items():
        if match := _MODULE.fullmatch(name):
            prefixes.add(match[1])
            modules.setdefault(int(match[2]), {})[match[3]] = value
    if not prefixes:
        first = f"{next(iter(state), 'nothing')}, ..."
        raise BundleError(
            path, "the state of one FrEIA network (module_list.0.subnet1...)", first
        )
    if len(prefixes) > 1:
        raise BundleError(
            path, "the state of one FrEIA network", f"{len(prefixes)} networks"
        )
    return [modules[number] for number in sorted(modules)]


def _linear(tensors: Mapping[str, Tensor], subnet: int, path: Path) -> Layers:
    """Weights and biases of a sub-network, in order."""
    prefix = f"subnet{subnet}."
    numbers = sorted(
        {int(name.split(".")[1]) for name in tensors if name.startswith(prefix)}
    )
    try:
        layers = [
            (tensors[f"{prefix}{number}.weight"], tensors[f"{prefix}{number}.bias"])
            for number in numbers
        ]
    except KeyError as error:
        expected = "linear layers with a bias in each sub-network"
        raise BundleError(path, expected, f"no {error}") from error
    if len(layers) < 2 or any(weight.ndim != 2 for weight, _ in layers):
        raise BundleError(
            path, f"two linear layers or more in subnet{subnet}", len(layers)
        )
    return layers


def _architecture(
    blocks: list[_Block], clamp: float, path: Path
) -> tuple[Config, int, int]:
    """Settings, number of targets and number of observables, told by shapes of the first block."""
    first, second = blocks[0].subnets
    half = second[-1][0].shape[0] // 2, first[-1][0].shape[0] // 2
    num_targets = sum(half)
    num_observables = first[0][0].shape[1] - half[0]
    widths = {
        weight.shape[0] for layers in (first, second) for weight, _ in layers[:-1]
    }
    if len(widths) != 1 or half[0] != round(num_targets / 2):
        expected = "hidden layers of one width, halves of the targets"
        raise BundleError(path, expected, f"{sorted(widths)}, {half}")
    model = {"flow": "glow", "members": 1, "mixing": "permutation", "zero_init": False}
    glow = {"blocks": len(blocks), "hidden": widths.pop(), "layers": len(first) - 1}
    values = {"model": model, "glow": {**glow, "clamp": clamp}}
    config = validated(Config, values, f"{path}, or --clamp")
    return config, num_targets, num_observables


def _fill(flow: Flow, blocks: list[_Block], path: Path) -> None:
    """Copy weights and permutations; without a permutation, the order of the targets stays."""
    pairs = list(pairwise(flow.transforms))[::2]
    for block, (coupling, permutation) in zip(blocks, pairs, strict=True):
        assert isinstance(coupling, Coupling)
        assert isinstance(permutation, Permutation)
        order = _order(block, len(permutation.order), path)
        permutation.order.copy_(order)
        permutation.undo.copy_(torch.argsort(order))
        try:
            for layers, network in zip(
                block.subnets, (coupling.subnet1, coupling.subnet2), strict=True
            ):
                _copy(layers, network)
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                path, "coupling blocks of one shape", "different ones"
            ) from error


def _order(block: _Block, num_targets: int, path: Path) -> Tensor:
    """Order of the targets after a block."""
    unchanged = torch.arange(num_targets)
    if block.permutation is None:
        return unchanged
    if not torch.equal(block.permutation.flatten().sort()[0], unchanged):
        raise BundleError(path, f"permutations of {num_targets} targets", "others")
    return block.permutation.flatten()


def _copy(layers: Layers, network: nn.Module | None) -> None:
    assert isinstance(network, nn.Sequential)
    linear = [layer for layer in network if isinstance(layer, StackedLinear)]
    for layer, (weight, bias) in zip(linear, layers, strict=True):
        assert layer.bias is not None
        if (weight.T.shape, bias.shape) != (
            layer.weight[0].shape,
            layer.bias[0, 0].shape,
        ):
            raise ValueError("a layer of another shape")
        layer.weight.data[0].copy_(weight.T)
        layer.bias.data[0, 0].copy_(bias)
