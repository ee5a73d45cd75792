"""The way in from the original scripts: a FrEIA checkpoint and two scalers become a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.files import demand_free, sha256_of
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import Permutation
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.legacy.processed import scaler_of
from cinn_clusters.nn.stacked import StackedLinear
from cinn_clusters.posterior.fit import make_recipe
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.model import save_posterior

MODULE = re.compile(r"(.*?)module_list\.(\d+)\.(.+)")
LAYER = re.compile(r"subnet([12])\.(\d+)\.(weight|bias)")
Modules = list[dict[str, Tensor]]


def import_original(
    checkpoint: str | Path,
    processed: str | Path,
    out: str | Path,
    *,
    clamp: float = 2.0,
    overwrite: bool = False,
) -> Posterior:
    """Turn a FrEIA checkpoint and its two scalers into a bundle that gives the same draws.

    Args:
        checkpoint: State dict of the original network: GLOW coupling blocks and fixed permutations.
        processed: Folder with the scalers of X and Y (pickle, joblib or ``.npz``), and X.csv, Y.csv
            for column names.
        out: Bundle to make.
        clamp: Largest |log-scale| of the network, which a state dict does not tell.
        overwrite: Replace a bundle that stands there.

    Returns:
        The posterior. It is as good as its training: draws may be unphysical, and its test clusters
        were trained on.

    Raises:
        BundleError: If the checkpoint is not such a network.
        DataError: If a scaler is missing, or does not fit the network.
        OutputError: If the bundle stands there already.
    """
    checkpoint, processed, out = Path(checkpoint), Path(processed), Path(out)
    demand_free(out, overwrite)
    modules = _modules(_read_state(checkpoint), checkpoint)
    config, num_targets, num_observables = _architecture(modules, clamp, checkpoint)
    flow = make_flow(make_recipe(config), num_targets, num_observables)
    _fill(flow, modules, checkpoint)
    maps = {}
    for side, size in (("X", num_observables), ("Y", num_targets)):
        path, scaler, names = scaler_of(processed, side)
        if len(names) != size:
            got = f"{len(names)} in {path.name}"
            raise DataError(
                str(checkpoint),
                f"a network of as many {side} columns as its scaler",
                f"{size}, and {got}",
            )
        maps[side] = list(zip(names, scaler.mean.tolist(), scaler.scale.tolist(), strict=True))
    transforms = Transforms(
        tuple(ObservableMap(name, shift=mean, scale=scale) for name, mean, scale in maps["X"]),
        tuple(TargetMap(name, shift=mean, scale=scale) for name, mean, scale in maps["Y"]),
    )
    posterior = Posterior(flow.eval(), transforms)
    provenance = {
        "protocol": "original",
        "files": [{"name": checkpoint.name, "sha256": sha256_of(checkpoint)}],
        "note": "imported from the original scripts",
    }
    save_posterior(posterior, out, config, provenance=provenance, overwrite=overwrite)
    return posterior


def _read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name; torch's reader for weights only, which runs no code of the file."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(str(path), "a readable file", error.strerror or str(error)) from error
    except Exception as error:  # whatever its reader says of it
        hint = "save it with torch.save(model.state_dict(), path)"
        raise BundleError(
            str(path), "a state dict of tensors", "another object or damage", "", hint
        ) from error
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise BundleError(str(path), "a state dict of tensors", type(state).__name__)
    return state


def _modules(state: Mapping[str, Tensor], path: Path) -> Modules:
    """Tensors of each module of the network, in order, by their names inside it."""
    found: dict[int, dict[str, Tensor]] = {}
    prefixes = set()
    for name, value in state.items():
        if match := MODULE.fullmatch(name):
            prefixes.add(match[1])
            found.setdefault(int(match[2]), {})[match[3]] = value
    if len(prefixes) != 1:
        got = f"{len(prefixes)} networks" if prefixes else f"{next(iter(state), 'nothing')}, ..."
        raise BundleError(
            str(path), "the state of one FrEIA network (module_list.0.subnet1...)", got
        )
    return [found[number] for number in sorted(found)]


def _architecture(modules: Modules, clamp: float, path: Path) -> tuple[Config, int, int]:
    couplings = [tensors for tensors in modules if any(map(LAYER.fullmatch, tensors))]
    others = [
        tensors
        for tensors in modules
        if not any(map(LAYER.fullmatch, tensors)) and "perm" not in tensors
    ]
    if not couplings or others:
        got = ", ".join(next(iter(others), {"none": 0}))
        raise BundleError(str(path), "GLOW coupling blocks and fixed permutations only", got)
    first, second = (_linear(couplings[0], side, path) for side in (1, 2))
    halves = second[-1][0].shape[0] // 2, first[-1][0].shape[0] // 2
    num_targets, num_observables = sum(halves), first[0][0].shape[1] - halves[0]
    hidden = {weight.shape[0] for layers in (first, second) for weight, _ in layers[:-1]}
    if len(hidden) != 1 or halves[0] != round(num_targets / 2):
        raise BundleError(
            str(path),
            "hidden layers of one width, halves of the targets",
            f"{sorted(hidden)}, {halves}",
        )
    model = {
        "flow": "glow",
        "members": 1,
        "blocks": len(couplings),
        "hidden": hidden.pop(),
        "layers": len(first) - 1,
        "clamp": clamp,
        "mixing": "permutation",
        "zero_init": False,
    }
    return Config.model_validate({"model": model}), num_targets, num_observables


def _linear(tensors: Mapping[str, Tensor], side: int, path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of a sub-network, in order."""
    numbers = sorted(
        {
            int(match[2])
            for name in tensors
            if (match := LAYER.fullmatch(name)) and int(match[1]) == side
        }
    )
    try:
        layers = [
            (tensors[f"subnet{side}.{n}.weight"], tensors[f"subnet{side}.{n}.bias"])
            for n in numbers
        ]
    except KeyError as error:
        raise BundleError(
            str(path), "linear layers with a bias in each sub-network", f"no {error}"
        ) from error
    if len(layers) < 2 or any(weight.ndim != 2 for weight, _ in layers):
        raise BundleError(str(path), f"two linear layers or more in subnet{side}", f"{len(layers)}")
    return layers


def _fill(flow: Flow, modules: Modules, path: Path) -> None:
    """Copy weights and permutations; a block that no permutation follows gets the one that does
    nothing.
    """
    pairs: list[tuple[dict[str, Tensor], Tensor | None]] = []
    for tensors in modules:
        if "perm" not in tensors:
            pairs.append((tensors, None))
        elif pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], tensors["perm"])
        else:
            raise BundleError(
                str(path), "a coupling block before each permutation", "two permutations in a row"
            )
    layers = list(flow.transforms)
    for (tensors, order), coupling, permutation in zip(
        pairs, layers[::2], layers[1::2], strict=True
    ):
        assert isinstance(coupling, Coupling)
        assert isinstance(permutation, Permutation)
        order = torch.arange(len(permutation.order)) if order is None else order.long()
        permutation.order.copy_(order)
        permutation.undo.copy_(torch.argsort(order))
        for side, network in ((1, coupling.subnet1), (2, coupling.subnet2)):
            assert isinstance(network, nn.Sequential)
            mine = [layer for layer in network if isinstance(layer, StackedLinear)]
            try:
                for layer, (weight, bias) in zip(mine, _linear(tensors, side, path), strict=True):
                    layer.weight.data[0].copy_(weight.T)
                    layer.bias.data[0, 0].copy_(bias)  # type: ignore[union-attr]
            except (RuntimeError, ValueError) as error:
                raise BundleError(
                    str(path), "coupling blocks of one shape", "different ones"
                ) from error
