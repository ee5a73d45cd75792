"""A trained model to and from its bundle, with its provenance."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import torch

from cinn_clusters.bundle import (
    FORMAT_VERSION,
    INFO,
    Bundle,
    fill,
    read_bundle,
    rebuilding,
    write_bundle,
)
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import read_transforms
from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.ood.sample_test import TrainingPopulation
from cinn_clusters.ood.selection import (
    UNCALIBRATED,
    SelectionCalibration,
    SelectionClassifier,
    make_classifier,
)
from cinn_clusters.ood.support import TrainingSupport
from cinn_clusters.posterior.fit import resolve_device
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.recalibration import Recalibration
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.schema import Column
from cinn_clusters.settings.config import Config
from cinn_clusters.settings.renewal import renewed
from cinn_clusters.settings.sections import validated
from cinn_clusters.storage.run import Run, split_hash, versions

PACKAGED_MODEL = "tng-cluster"
_SUPPORT, _POPULATIONS, _RECALIBRATION = (
    "training_support",
    "training_populations",
    "recalibration",
)
_SELECTION = "selection."
"""Before the names of the tensors of the selection classifier."""
_CALIBRATION = "selection_calibration"
_SECTIONS = ("versions", "config", "columns", "transforms", "provenance")


def packaged_model() -> Path:
    """Return the folder of the model that comes with the package.

    Raises:
        BundleError: If this installation has none.
    """
    path = Path(str(files("cinn_clusters"))) / "models" / PACKAGED_MODEL
    if not path.is_dir():
        hint = "install the package again, or --model"
        raise BundleError(str(path), "the model of the package", "none", "", hint)
    return path


def save_model(
    model: TrainedModel, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write a model as a bundle.

    Args:
        model: Trained.
        path: Directory to make.
        overwrite: Replace a bundle that stands there.

    Raises:
        OutputError: If the path is taken or writing fails.

    Examples:
        >>> path = getfixture("tmp_path") / "model"
        >>> save_model(load_model(), path)
        >>> load_model(path).accepts_missing
        True
    """
    posterior, transforms = model.posterior, model.posterior.transforms
    names = (*transforms.inputs, *transforms.target_names)
    info: JsonObject = {
        "package": "cinn-clusters",
        "versions": versions(),
        "config": model.config.model_dump(),
        "columns": {
            name: _column_info(transforms.schema.column(name)) for name in names
        },
        "transforms": transforms.to_dict(),
        "provenance": model.provenance,
    }
    tensors = dict(posterior.flow.state_dict())
    if posterior.recalibration is not None:
        info[_RECALIBRATION] = posterior.recalibration.to_dict()
    if model.support is not None:
        info[_SUPPORT] = model.support.to_dict()
        info[_POPULATIONS] = [population.to_dict() for population in model.populations]
    if model.selection is not None:
        if model.selection.is_of_usable:
            info[_CALIBRATION] = model.selection.calibration.to_dict()
        state = model.selection.network.state_dict()
        tensors |= {_SELECTION + name: value for name, value in state.items()}
    write_bundle(Path(path), info, tensors, overwrite=overwrite)


def save_posterior(
    posterior: Posterior,
    path: str | Path,
    config: Config,
    *,
    provenance: JsonObject | None = None,
    overwrite: bool = False,
) -> None:
    """Write a posterior as a bundle, without checks of whether it applies.

    Args:
        posterior: Trained.
        path: Directory to make.
        config: Settings it was built with.
        provenance: Hashes, counts and scores of its training.
        overwrite: Replace a bundle that stands there.

    Raises:
        OutputError: If the path is taken or writing fails.

    Examples:
        >>> from cinn_clusters import Config
        >>> path = getfixture("tmp_path") / "model"
        >>> save_posterior(load_posterior(), path, Config())
        >>> sorted(file.name for file in path.iterdir())
        ['bundle.json', 'manifest.json', 'weights.safetensors']
    """
    model = TrainedModel(posterior, config, provenance=provenance or {})
    save_model(model, path, overwrite=overwrite)


def load_model(path: str | Path | None = None, *, device: str = "auto") -> TrainedModel:
    """Load a trained model after checking hashes and version.

    Args:
        path: Folder of the bundle; None: the model that comes with the package.
        device: ``auto`` (CUDA when present) or any torch device.

    Returns:
        The model.

    Raises:
        BundleError: If the bundle is missing, newer, incomplete, damaged or no model of ours.
        ConfigError: If the device does not exist.

    Examples:
        >>> load_model().posterior.targets[0]
        'last_T_coll'
    """
    path = packaged_model() if path is None else Path(path)
    bundle = read_bundle(path)
    device = resolve_device(device)
    with rebuilding(path, f"a model of format {FORMAT_VERSION}"):
        return _parse(bundle, path, device)


def load_posterior(
    path: str | Path | None = None, *, device: str = "auto"
) -> Posterior:
    """Load the posterior of a trained model: the short form of ``load_model(path).posterior``.

    Raises:
        BundleError: If the bundle is missing, newer, incomplete, damaged or no model of ours.

    Examples:
        >>> load_posterior().targets[0]
        'last_T_coll'
    """
    return load_model(path, device=device).posterior


def describe_bundle(path: str | Path) -> JsonObject:
    """Return the provenance of a bundle, its files checked.

    Raises:
        BundleError: If the bundle is missing, newer, incomplete, damaged or no model of ours.
    """
    bundle = read_bundle(path)
    if missing := [name for name in _SECTIONS if name not in bundle.info]:
        expected, got = (
            f"a model of format {FORMAT_VERSION}",
            f"no {', '.join(missing)}",
        )
        raise BundleError(str(path), expected, got, "", "train it again")
    sizes = [
        value.numel()
        for value in bundle.tensors.values()
        if value.dtype == torch.float32
    ]
    return {
        "format_version": bundle.format_version,
        **bundle.info,
        "num_parameters": sum(sizes),
    }


def demand_own_model(run: Run) -> None:
    """Refuse a model that was trained on another table or split: it may have seen the test rows.

    Raises:
        BundleError: If the model is missing, damaged or another run's.
    """
    provenance = describe_bundle(run.paths.model)["provenance"]
    expected = {
        "table_sha256": run.record["table_sha256"],
        "split_sha256": split_hash(run.record),
    }
    if any(provenance.get(key) != value for key, value in expected.items()):
        path = str(run.paths.model)
        raise BundleError(
            path, "the model of this run's split", "another's", "", "train it here"
        )


def _parse(bundle: Bundle, path: Path, device: str) -> TrainedModel:
    bundle = _renew(bundle)
    info = bundle.info
    config = validated(Config, renewed(info["config"]), INFO)
    transforms = read_transforms(info["transforms"])
    flow = make_flow(config, len(transforms.targets), transforms.num_features)
    names = [name for name in bundle.tensors if not name.startswith(_SELECTION)]
    fill(flow, {name: bundle.tensors[name] for name in names})
    recalibration = None
    if _RECALIBRATION in info:
        recalibration = Recalibration.from_dict(info[_RECALIBRATION])
    posterior = Posterior(
        flow.to(device).eval().requires_grad_(False), transforms, device, recalibration
    )
    provenance = info["provenance"]
    if not isinstance(transforms, MeasurementTransforms) or _SUPPORT not in info:
        return TrainedModel(posterior, config, provenance=provenance, path=path)
    support = TrainingSupport.from_dict(info[_SUPPORT], transforms)
    populations = tuple(map(TrainingPopulation.from_dict, info[_POPULATIONS]))
    selection = _selection(transforms, bundle)
    return TrainedModel(
        posterior, config, support, populations, selection, provenance, path
    )


def _selection(
    transforms: MeasurementTransforms, bundle: Bundle
) -> SelectionClassifier | None:
    state = {
        name.removeprefix(_SELECTION): value
        for name, value in bundle.tensors.items()
        if name.startswith(_SELECTION)
    }
    if not state:
        return None
    classifier = make_classifier(transforms)
    fill(classifier.network, state)
    calibration = UNCALIBRATED  # in formats 1 and 2
    if _CALIBRATION in bundle.info:
        calibration = SelectionCalibration.from_dict(bundle.info[_CALIBRATION])
    return replace(classifier, calibration=calibration)


_RENAMED_SECTIONS = {"domain": _SUPPORT, "references": _POPULATIONS}
"""Sections of ``bundle.json`` in format 1 (version 0.1.0), and their names in format 2."""


def _renew(bundle: Bundle) -> Bundle:
    """A bundle of format 1 in the words of format 2."""
    info = {
        _RENAMED_SECTIONS.get(name, name): value for name, value in bundle.info.items()
    }
    if "found" in info.get(_RECALIBRATION, {}):
        maps = dict(info[_RECALIBRATION])
        info[_RECALIBRATION] = {"coverage": maps.pop("found"), **maps}
    tensors = {
        _SELECTION + name.removeprefix("recorded.")
        if name.startswith("recorded.")
        else name: value
        for name, value in bundle.tensors.items()
    }
    return Bundle(info, tensors)


def _column_info(column: Column) -> JsonObject:
    return {"unit": column.unit, "meaning": column.meaning, "symbol": column.symbol}
