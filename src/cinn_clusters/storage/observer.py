"""A model for observers: a posterior for any subset and any errors, its domain, and P(recorded)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from cinn_clusters.bundle import read_bundle
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.errors import BundleError
from cinn_clusters.ood.sample_test import Reference, fit_reference
from cinn_clusters.ood.selection import Recorded, fit_recorded, make_recorded
from cinn_clusters.ood.support import Domain, fit_domain
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.storage.model import RECORDED_PREFIX, load_posterior

PACKAGED = "tng-cluster"


@dataclass(frozen=True)
class Observer:
    """What answers for observed clusters.

    Args:
        posterior: Takes any subset of its observables, with errors.
        transforms: Its transforms.
        domain: Where it was trained.
        references: What samples of its training clusters look like: of rows with a usable history,
            and of all.
        recorded: P(a collision is recorded), or None where the table told of recorded ones only.
        path: Folder of the bundle.
    """

    posterior: Posterior
    transforms: MeasurementTransforms
    domain: Domain
    references: tuple[Reference, ...]
    recorded: Recorded | None
    path: Path


def packaged_model() -> Path:
    """Return the folder of the model that comes with the package.

    Raises:
        BundleError: If this installation has none.
    """
    path = Path(str(files("cinn_clusters"))) / "models" / PACKAGED
    if not path.is_dir():
        raise BundleError(
            str(path),
            "the model of the package",
            "none",
            "",
            "install the package again, or --model",
        )
    return path


def load_observer(path: str | Path | None = None, *, device: str = "auto") -> Observer:
    """Load a model for observers; without a path, the one that comes with the package.

    Raises:
        BundleError: If it is missing, damaged, or was trained without ``train.uncertain``.
    """
    path = packaged_model() if path is None else Path(path)
    posterior = load_posterior(path, device=device)
    bundle = read_bundle(path)
    transforms = posterior.transforms
    if not isinstance(transforms, MeasurementTransforms) or "domain" not in bundle.info:
        hint = "train one with --config observer, or leave --model out"
        raise BundleError(
            str(path), "a model that takes missing values and errors", "one that does not", "", hint
        )
    if "references" not in bundle.info:
        raise BundleError(
            str(path),
            "a summary of its training clusters",
            "none (an older model)",
            "",
            "train it again",
        )
    domain, references = (
        Domain.from_dict(bundle.info["domain"]),
        map(Reference.from_dict, bundle.info["references"]),
    )
    return Observer(
        posterior,
        transforms,
        domain,
        tuple(references),
        _recorded(transforms, bundle.tensors),
        path,
    )


def observer_parts(
    posterior: Posterior, seen: Catalogue, left_out: pd.DataFrame | None, seed: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Fit what a model for observers has beside its posterior.

    Args:
        posterior: Trained with ``train.uncertain``.
        seen: Rows of training and validation.
        left_out: Rows without a usable history, of the same clusters; None or none of them: no
            P(recorded).
        seed: Seed.

    Returns:
        Plain values and tensors for its bundle.
    """
    transforms = posterior.transforms
    assert isinstance(transforms, MeasurementTransforms)
    tensors: dict[str, Tensor] = {}
    if left_out is not None and not left_out.is_recorded.astype(bool).all():
        answers = np.concatenate(
            [np.ones(len(seen.table), bool), left_out.is_recorded.to_numpy(bool)]
        )
        inputs, clusters = _with_others(seen, left_out, transforms.inputs)
        recorded = fit_recorded(transforms, inputs, answers, clusters, seed=seed)
        tensors = {
            RECORDED_PREFIX + name: value for name, value in recorded.network.state_dict().items()
        }
    return domain_parts(posterior, seen, left_out, seed), tensors


def domain_parts(
    posterior: Posterior, seen: Catalogue, left_out: pd.DataFrame | None, seed: int
) -> dict[str, Any]:
    """Fit the checks of whether a model applies: all that ``observer_parts`` fits but
    P(recorded).
    """
    transforms = posterior.transforms
    assert isinstance(transforms, MeasurementTransforms)
    inputs = seen.inputs(transforms.inputs)
    domain = fit_domain(transforms, inputs, partial(disagreement, posterior, seed=seed))
    references = [fit_reference(transforms, inputs, seen.clusters)]
    if left_out is not None and len(left_out):
        references.append(
            fit_reference(transforms, *_with_others(seen, left_out, transforms.inputs))
        )
    return {
        "domain": domain.to_dict(),
        "references": [reference.to_dict() for reference in references],
    }


def _with_others(
    seen: Catalogue, left_out: pd.DataFrame, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (M, L) and clusters (M,) of all rows, those without a usable history last."""
    others = replace(seen, table=left_out)
    inputs = np.concatenate([seen.inputs(names), others.inputs(names)])
    return inputs, np.concatenate([seen.clusters, others.clusters])


def _recorded(transforms: MeasurementTransforms, tensors: dict[str, Tensor]) -> Recorded | None:
    own = {
        name.removeprefix(RECORDED_PREFIX): value
        for name, value in tensors.items()
        if _is_recorded(name)
    }
    if not own:
        return None
    recorded = make_recorded(transforms)
    recorded.network.load_state_dict(own)
    return recorded


def _is_recorded(name: str) -> bool:
    return name.startswith(RECORDED_PREFIX)
