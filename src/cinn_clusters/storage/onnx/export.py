"""A posterior as an ONNX file that draws samples, or that tells densities, in catalogue units.

All is inside: measurement errors and missing values, standardisation, the members of the ensemble,
bounds. A program that runs the file needs neither this package nor PyTorch.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.files import atomic_file, demand_free
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.schema import ERROR_PREFIX
from cinn_clusters.storage.onnx.expressions import Graph, joined
from cinn_clusters.storage.onnx.features import Features, features_of
from cinn_clusters.storage.onnx.layers import Batch, inverse_flow, log_prob_of_flow
from cinn_clusters.storage.onnx.target_maps import log_jacobian, physical, unbounded

OnnxFunction: TypeAlias = Literal["sample", "log_prob"]
"""What a file answers."""
_TEXTS: dict[OnnxFunction, str] = {
    "sample": "samples (S, N, D) in catalogue units from Gaussian noise (S, N, D); members of the ensemble take turns, so S is best a multiple of them",
    "log_prob": "log-densities (S, N) per catalogue unit of theta (S, N, D); -inf outside the support",
}
_INPUTS = "inputs (N, L): NaN is a missing value, sigma_<name> its standard error (0: exact); an object that cannot be answered gets NaN"


def export_onnx(
    posterior: Posterior,
    path: str | Path,
    function: OnnxFunction = "sample",
    *,
    overwrite: bool = False,
) -> None:
    """Write a posterior as an ONNX file, which other programs run without this package.

    A file of ``sample`` takes ``noise`` and ``inputs``, a file of ``log_prob`` takes ``theta`` and
    ``inputs``. Names and units of inputs and targets are in its metadata. Members take turns:
    sample s is one of member s mod K.

    Args:
        posterior: Trained, of a flow with couplings or autoregressions, and without recalibration.
        path: File to make.
        function: What the file answers.
        overwrite: Replace a file that stands there.

    Raises:
        ConfigError: If the function is unknown, or onnx is not installed.
        DataError: If the posterior is recalibrated, or its flow cannot be written.
        OutputError: If the file is taken or cannot be written.

    Examples:
        >>> from cinn_clusters import load_posterior
        >>> path = getfixture("tmp_path") / "model.onnx"
        >>> export_onnx(load_posterior(), path)
        >>> path.stat().st_size < 2_000_000
        True
    """
    path = Path(path)
    demand_free(path, overwrite)
    if function not in _TEXTS:
        raise ConfigError("function", " or ".join(_TEXTS), repr(function))
    if posterior.recalibration is not None:
        expected = "one as it was trained: a recalibration needs all samples at once"
        hint = "export it --without-recalibration"
        raise DataError("posterior", expected, "a recalibrated one", "", hint)
    graph = Graph()
    inputs = graph.input("inputs", np.float64, ("N", len(posterior.inputs)))
    features = features_of(posterior.transforms, inputs)
    if function == "sample":
        _add_samples(posterior, graph, features)
    else:
        _add_log_prob(posterior, graph, features)
    text = f"{_TEXTS[function]}; {_INPUTS}"
    model = graph.model(f"cinn_clusters_{function}", _facts(posterior, function), text)
    content = model.SerializeToString(deterministic=True)
    with atomic_file(path, overwrite=overwrite) as scratch:
        scratch.write_bytes(content)


def _facts(posterior: Posterior, function: str) -> dict[str, str]:
    """Metadata: units by name, in the order of the columns, as JSON."""
    units = {name: _unit(posterior, name) for name in posterior.inputs}
    target_units = {name: _unit(posterior, name) for name in posterior.targets}
    return {
        "package": "cinn-clusters",
        "version": version("cinn-clusters"),
        "function": function,
        "inputs": json.dumps(units),
        "targets": json.dumps(target_units),
        "members": str(posterior.flow.num_members),
    }


def _unit(posterior: Posterior, name: str) -> str:
    """Unit of a column; of the standard error of a logarithm, dex."""
    transforms = posterior.transforms
    quantity = name.removeprefix(ERROR_PREFIX)
    unit = transforms.schema.column(quantity).unit
    logarithms = [entry.name for entry in transforms.observables if entry.is_log]
    is_in_dex = quantity in logarithms or unit.startswith("log10")
    if name != quantity and is_in_dex:
        return "dex"
    return unit


def _add_samples(posterior: Posterior, graph: Graph, features: Features) -> None:
    """Fill noise up to whole turns of the members, draw, and cut what was filled in."""
    transforms, num_members = posterior.transforms, posterior.flow.num_members
    num_targets = len(posterior.targets)
    axes = "S", "N", num_targets
    noise = graph.input("noise", np.float32, axes)
    num_samples, num_objects = noise.size(0), noise.size(1)
    num_turns = (num_samples + (num_members - 1)) / num_members
    num_filled = num_turns * num_members

    none = graph.constant(np.zeros(3, np.int64))
    num_missing = joined((num_filled - num_samples, none.take([0, 1], 0)), 0)
    filled = noise.padded(none, num_missing, 0.0)
    turns_first = filled.reshaped(num_turns, num_members, num_objects, num_targets)
    z = turns_first.transposed(1, 0, 2, 3)  # (K, P, N, D)

    members = graph.constant(np.array([num_members]))
    shape = joined((members, num_turns, num_objects), 0)
    x = features.x.cast(np.float32).unsqueezed(0)
    u = inverse_flow(posterior.flow, z, Batch(x, shape))
    theta = physical(transforms, u, features.anchors).transposed(1, 0, 2, 3)
    samples = theta.reshaped(num_filled, num_objects, num_targets).first(num_samples)
    answered = features.is_usable.unsqueezed().where(samples, math.nan)
    graph.output("samples", answered.cast(transforms.sample_dtype), axes)


def _add_log_prob(posterior: Posterior, graph: Graph, features: Features) -> None:
    """Mix the densities of all members."""
    transforms, num_members = posterior.transforms, posterior.flow.num_members
    num_targets = len(posterior.targets)
    theta = graph.input("theta", np.float64, ("S", "N", num_targets))
    u = unbounded(transforms, theta, features.anchors)
    is_inside = u.is_finite.all()
    inside = is_inside.unsqueezed().where(u, 0.0)

    members = graph.constant(np.array([num_members]))
    shape = joined((members, theta.size(0), theta.size(1)), 0)
    x = features.x.cast(np.float32).unsqueezed(0)
    of_members = inside.cast(np.float32).expanded(shape, num_targets)
    log_probs = log_prob_of_flow(posterior.flow, of_members, Batch(x, shape))
    log_sum = log_probs.cast(np.float64).log_sum_exp(0)
    log_mixture = log_sum - math.log(num_members)

    log_prob = log_mixture - log_jacobian(transforms, inside, features.anchors)
    supported = is_inside.where(log_prob, -math.inf)
    is_number = ~theta.is_nan
    is_answered = features.is_usable & is_number.all()
    graph.output("log_prob", is_answered.where(supported, math.nan), ("S", "N"))
