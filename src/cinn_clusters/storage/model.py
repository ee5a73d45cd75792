"""A posterior to and from its bundle, with all that tells where it came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cinn_clusters import schema
from cinn_clusters.bundle import FORMAT_VERSION, read_bundle, write_bundle
from cinn_clusters.data.measurement import read_transforms
from cinn_clusters.errors import BundleError
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.fit import make_recipe, resolve_device
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.recalibration import Recalibration
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.run import Run, split_hash, versions

RECORDED_PREFIX = "recorded."
"""Before the names of tensors that belong to the classifier beside a posterior."""
SECTIONS = ("versions", "config", "columns", "transforms", "provenance")


def save_posterior(
    posterior: Posterior,
    path: str | Path,
    config: Config,
    *,
    provenance: dict[str, Any] | None = None,
    parts: tuple[dict[str, Any], dict[str, Tensor]] = ({}, {}),
    overwrite: bool = False,
) -> None:
    """Write a posterior as a bundle.

    Args:
        posterior: Trained.
        path: Directory to make.
        config: Settings it was built with.
        provenance: Hashes, counts and scores of its training.
        parts: Plain values and tensors of what stands beside it (see ``observer_parts``).
        overwrite: Replace a bundle that stands there.

    Raises:
        OutputError: If the path is taken or writing fails.
    """
    transforms = posterior.transforms
    names = (*transforms.inputs, *transforms.target_names)
    info = {
        "package": "cinn-clusters",
        "versions": versions(),
        "config": config.model_dump(),
        "columns": {name: _described(name) for name in names},
        "transforms": transforms.to_dict(),
        "provenance": provenance or {},
        **parts[0],
    }
    if posterior.recalibration is not None:
        info["recalibration"] = posterior.recalibration.to_dict()
    write_bundle(Path(path), info, {**posterior.flow.state_dict(), **parts[1]}, overwrite=overwrite)


def load_posterior(path: str | Path, *, device: str = "auto") -> Posterior:
    """Load a posterior after checking hashes and version.

    Raises:
        BundleError: If the bundle is missing, newer, incomplete, damaged or not a posterior of
            ours.
    """
    bundle = read_bundle(path)
    device = resolve_device(device)
    try:
        config = Config.model_validate(bundle.info["config"])
        transforms = read_transforms(bundle.info["transforms"])
        flow = make_flow(make_recipe(config), len(transforms.targets), transforms.num_features)
        own = {
            name: value
            for name, value in bundle.tensors.items()
            if not name.startswith(RECORDED_PREFIX)
        }
        flow.load_state_dict(own)
        maps = bundle.info.get("recalibration")
        recalibration = None if maps is None else Recalibration.from_dict(maps)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            str(path), f"a posterior of format {FORMAT_VERSION}", reason, "", "train it again"
        ) from error
    return Posterior(
        flow.to(device).eval().requires_grad_(False), transforms, device, recalibration
    )


def describe_bundle(path: str | Path) -> dict[str, Any]:
    """Return the provenance of a bundle, its files checked.

    Raises:
        BundleError: If the bundle is missing, newer, incomplete, damaged or not a posterior of
            ours.
    """
    bundle = read_bundle(path)
    if missing := [name for name in SECTIONS if name not in bundle.info]:
        got = f"no {', '.join(missing)}"
        raise BundleError(
            str(path), f"a posterior of format {FORMAT_VERSION}", got, "", "train it again"
        )
    num_parameters = sum(
        value.numel() for value in bundle.tensors.values() if value.dtype == torch.float32
    )
    return {"format_version": FORMAT_VERSION, **bundle.info, "num_parameters": num_parameters}


def demand_own_model(run: Run) -> None:
    """Refuse a model that was trained on another table or split: it may have seen what it is to be judged on.

    Raises:
        BundleError: If the model is missing, damaged or another run's.
    """
    told = describe_bundle(run.paths.model)["provenance"]
    expected = {"table_sha256": run.record["table_sha256"], "split_sha256": split_hash(run.record)}
    if any(told.get(key) != value for key, value in expected.items()):
        raise BundleError(
            str(run.paths.model), "the model of this run's split", "another's", "", "train it here"
        )


def _described(name: str) -> dict[str, Any]:
    known = asdict(schema.column(name))
    return {key: known[key] for key in ("unit", "meaning", "symbol")}
