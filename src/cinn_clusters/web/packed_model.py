"""A trained model as plain values for a page: everything that ``engine.js`` computes with.

Numbers that are many are one block of little-endian float32 in base64; each array says where in it
it begins and what shape it has. Networks are packed as the inverse of the flow needs them, masks
multiplied in and hidden units in the order in which an autoregression comes to know them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.cosmology import (
    HUBBLE_CONSTANT,
    OMEGA_MATTER,
    age_at_lookback,
    lookback_at_redshift,
)
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.errors import DataError
from cinn_clusters.files import JsonObject
from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.elements import Spline
from cinn_clusters.flows.linear_parts import layer_arrays, linear_map
from cinn_clusters.flows.mixing import ActNorm, LULinear, Permutation, Rotation
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import MaskedLinear, StackedLinear
from cinn_clusters.ood.selection import SelectionClassifier
from cinn_clusters.ood.support import TrainingSupport
from cinn_clusters.posterior.collision import MAJOR_MERGER, notes
from cinn_clusters.posterior.trained import TrainedModel

NUM_CLOCK_POINTS = 600
"""Points of the table of cosmic ages, equally spaced in ln(1 + z)."""
MAX_CLOCK_REDSHIFT = 3.0
AFFINE_LAYERS = (ActNorm, LULinear, Permutation, Rotation)

Place: TypeAlias = dict[str, list[int] | int]
"""Where an array stands in the block: its first number and its shape."""


@dataclass
class _Block:
    """Arrays that are collected into one block of float32."""

    arrays: list[np.ndarray] = field(default_factory=list)
    size: int = 0

    def put(self, values: Tensor | np.ndarray) -> Place:
        """Append an array and return its place."""
        array = np.ascontiguousarray(values, dtype="<f4")
        place: Place = {"begin": self.size, "shape": list(array.shape)}
        self.arrays.append(array.ravel())
        self.size += array.size
        return place

    def encoded(self) -> str:
        """All of it in base64."""
        joined = np.concatenate(self.arrays)
        return base64.b64encode(joined.tobytes()).decode("ascii")


def pack_model(model: TrainedModel) -> JsonObject:
    """Pack a model for a page.

    Args:
        model: A model that takes observables with errors and gaps, of autoregressive splines.

    Returns:
        Plain values for JSON.

    Raises:
        DataError: If the model takes exact, complete observables only, has an embedding, a
            recalibration, or a flow that pages have no inverse of.
    """
    transforms = _demand_transforms(model)
    block = _Block()
    steps = [
        _pack_step(step, block) for step in reversed(model.posterior.flow.transforms)
    ]
    pack = {
        **_pack_columns(transforms),
        "flow": {"num_members": model.posterior.flow.num_members, "steps": steps},
        "support": _pack_support(model.support),
        "selection": _pack_selection(model.selection, block),
        "clock": _pack_clock(),
        "major": asdict(MAJOR_MERGER),
    }
    return {**pack, "weights": block.encoded()}


def _demand_transforms(model: TrainedModel) -> MeasurementTransforms:
    transforms = model.posterior.transforms
    subject = "model of a page"
    if not isinstance(transforms, MeasurementTransforms):
        raise DataError(subject, "one that takes missing values", "one that does not")
    if transforms.has_embedding:
        raise DataError(subject, "scalar observables", "an image embedding among them")
    if model.posterior.recalibration is not None:
        raise DataError(subject, "a posterior as trained", "a recalibrated one")
    return transforms


def _pack_columns(transforms: MeasurementTransforms) -> JsonObject:
    """Maps, units and bounds of observables and targets, and the Gaussian of the observables."""
    plain = transforms.to_dict()
    schema = transforms.schema
    columns = [schema.column(name) for name in transforms.target_names]
    return {
        "observables": _described(plain["observables"], transforms),
        "targets": _described(plain["targets"], transforms),
        "prior": plain["prior"],
        "time": transforms.time,
        "mass": schema.mass,
        "collision_time": schema.bounded_time,
        "mass_ratio": schema.mass_ratio,
        "record_begin": transforms.record_begin,
        "notes": notes(columns),
    }


def _described(
    maps: Sequence[JsonObject], transforms: MeasurementTransforms
) -> list[JsonObject]:
    """Maps of columns with what a reader is shown of them."""
    columns = [transforms.schema.column(str(entry["name"])) for entry in maps]
    return [
        {
            **entry,
            "unit_name": column.unit,
            "symbol": column.symbol,
            "meaning": column.meaning,
        }
        for entry, column in zip(maps, columns, strict=True)
    ]


def _pack_step(step: torch.nn.Module, block: _Block) -> JsonObject:
    if isinstance(step, AFFINE_LAYERS):
        return _pack_affine(step, block)
    if isinstance(step, Autoregressive) and isinstance(step.element, Spline):
        return _pack_autoregression(step, step.element, block)
    expected = "autoregressive splines between linear layers"
    raise DataError("flow of a page", expected, type(step).__name__)


def _pack_affine(step: Transform, block: _Block) -> JsonObject:
    """Matrix (K, D, D) and shift (K, D) of the inverse, by what it makes of the unit vectors."""
    num_members = max([1, *map(len, step.parameters())])
    matrix, shift, _ = linear_map(
        [step], step.num_targets, num_members, is_inverse=True
    )
    return {"kind": "affine", "matrix": block.put(matrix), "shift": block.put(shift)}


def _pack_autoregression(
    step: Autoregressive, element: Spline, block: _Block
) -> JsonObject:
    """Layers of the masked network with hidden units in the order of their degrees."""
    layers = [layer for layer in step.network if isinstance(layer, MaskedLinear)]
    arrays = map(layer_arrays, layers)
    tensors = [tuple(map(torch.from_numpy, of_layer)) for of_layer in arrays]
    weights, biases = map(list, zip(*tensors, strict=True))
    num_observables, num_targets = step.num_observables, step.num_targets
    for number, weight in enumerate(weights[:-1]):
        degrees = torch.arange(weight.shape[-1]) % num_targets
        order = torch.argsort(degrees, stable=True)
        weights[number] = weights[number][..., order]
        biases[number] = biases[number][..., order]
        weights[number + 1] = weights[number + 1][..., order, :]
    ends = [int((degrees <= target).sum()) for target in range(num_targets)]
    of_x, of_targets = weights[0].split((num_observables, num_targets), 1)
    # outputs of one target next to one another: (K, H, P, D) becomes (K, D, P, H)
    outputs = weights[-1].unflatten(-1, (element.num_parameters, num_targets))
    last_bias = biases[-1].unflatten(-1, (element.num_parameters, num_targets))
    return {
        "kind": "autoregression",
        "num_bins": element.num_bins,
        "bound": element.bound,
        "ends": ends,
        "of_x": block.put(of_x.mT),
        "of_targets": block.put(of_targets.mT),
        "bias": block.put(biases[0]),
        "hidden": [block.put(weight.mT) for weight in weights[1:-1]],
        "hidden_biases": [block.put(bias) for bias in biases[1:-1]],
        "outputs": block.put(outputs.permute(0, 3, 2, 1)),
        "output_bias": block.put(last_bias.mT),
    }


def _pack_support(support: TrainingSupport | None) -> JsonObject | None:
    """Limits and distances of the training clusters; that of the ensemble is not asked."""
    if support is None:
        return None
    plain = support.to_dict()
    del plain["disagreements"]
    rounded = np.round(support.distances, 9)
    return {**plain, "distances": rounded.tolist()}


def _pack_selection(
    selection: SelectionClassifier | None, block: _Block
) -> JsonObject | None:
    if selection is None:
        return None
    layers = [layer for layer in selection.network if isinstance(layer, StackedLinear)]
    packed = [
        {"weight": block.put(weight.swapaxes(1, 2)), "bias": block.put(bias)}
        for weight, bias in map(layer_arrays, layers)
    ]
    return {**selection.calibration.to_dict(), "layers": packed}


def _pack_clock() -> JsonObject:
    """The catalogue's clock in closed form, and a table of Planck 2015 ages."""
    log_redshifts = np.linspace(0.0, np.log1p(MAX_CLOCK_REDSHIFT), NUM_CLOCK_POINTS)
    redshifts = np.expm1(log_redshifts)
    ages = age_at_lookback(lookback_at_redshift(redshifts))
    return {
        "hubble_constant": HUBBLE_CONSTANT,
        "omega_matter": OMEGA_MATTER,
        "max_redshift": MAX_CLOCK_REDSHIFT,
        "ages": np.round(ages, 7).tolist(),
    }
