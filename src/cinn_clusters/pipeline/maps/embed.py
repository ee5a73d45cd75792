"""Training of encoders of X-ray maps on the training clusters of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import off_bounds
from cinn_clusters.data.embeddings import PATTERN
from cinn_clusters.data.split import Split
from cinn_clusters.embed.backbones import make_backbone
from cinn_clusters.embed.encode import encode, fit_components
from cinn_clusters.embed.learner import LearningState, MapSet, learn
from cinn_clusters.embed.method import Method, seeded
from cinn_clusters.embed.methods import make_method
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.embed.supervised import Joint, Supervised
from cinn_clusters.errors import DataError
from cinn_clusters.files import demand_free
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.fit import fit_catalogue_transforms
from cinn_clusters.settings.config import Config, ModelConfig
from cinn_clusters.settings.embedding import EmbedConfig
from cinn_clusters.storage.encoder import KIND, Encoder, write_encoder
from cinn_clusters.storage.encoder_checkpoint import read_checkpoint, write_checkpoint
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run, versions

HISTORY = "history.csv"
SNAPSHOT_KEYS = ["HaloID", "Snapshot"]


@dataclass(frozen=True)
class _AfterEpoch:
    """Keeps a checkpoint and tells the caller; an object, since a closure could not be sent to
    other processes.
    """

    checkpoint: Path | None
    config: EmbedConfig
    on_epoch: Callable[[int], None] | None

    def __call__(self, state: LearningState) -> None:
        if self.checkpoint is not None and state.epoch % self.config.embed.checkpoint_every == 0:
            write_checkpoint(self.checkpoint, state, self.config)
        if self.on_epoch is not None:
            self.on_epoch(state.epoch)


def train_encoder(
    run: Run,
    store: MapStore,
    out: str | Path,
    config: EmbedConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    on_epoch: Callable[[int], None] | None = None,
) -> Encoder:
    """Train an encoder on the maps of the training clusters of a run.

    Args:
        run: Says which clusters may be learned from.
        store: Maps of any clusters.
        out: Bundle to make; a checkpoint stands beside it while the training is under way.
        config: Method, backbone, views.
        overwrite: Replace an encoder that stands there.
        resume: Go on from the checkpoint.
        on_epoch: Called with the number of epochs done.

    Returns:
        The encoder.

    Raises:
        DataError: If the run has no row with a map.
        BundleError: If there is no checkpoint to go on from, or it is of other settings.
        OutputError: If an encoder stands there already.
        TrainingError: If a loss is not finite, or there are too few maps.
    """
    out = Path(out)
    demand_free(out, overwrite)
    rows, _ = matched(run.catalogue, store)
    is_training = np.isin(rows, run.split.train)
    if not is_training.any():
        raise DataError(store.source, "maps of training clusters of the run", "none", str(run.path))
    return fit_encoder(
        run.catalogue,
        run.split.train,
        store,
        config,
        out=out,
        overwrite=overwrite,
        resume=resume,
        on_epoch=on_epoch,
        provenance={"table_sha256": run.record.get("table_sha256", "")},
    )


def fit_encoder(
    catalogue: Catalogue,
    train: np.ndarray,
    store: MapStore,
    config: EmbedConfig,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    on_epoch: Callable[[int], None] | None = None,
    provenance: dict[str, Any] | None = None,
    inputs: Tensor | None = None,
) -> Encoder:
    """Train an encoder on the maps of some rows of a catalogue; see ``train_encoder``.

    Args:
        catalogue: Keys, clusters and labels.
        train: Its rows to learn from.
        store: Maps.
        config: Method, backbone, views.
        out: Bundle to make, or None to write nothing.
        overwrite: Replace an encoder that stands there.
        resume: Go on from the checkpoint.
        on_epoch: Called with the number of epochs done; must pickle if there is more than one
            device.
        provenance: Further values for the bundle.
        inputs: ``as_inputs`` of all maps of the store, where they are at hand.

    Returns:
        The encoder.
    """
    rows, maps = matched(catalogue, store)
    chosen = np.isin(rows, train)
    rows, maps = rows[chosen], maps[chosen]
    given = (
        as_inputs(store.values[maps], config.embed.size)
        if inputs is None
        else inputs[torch.as_tensor(maps)]
    )
    labels = _labels(catalogue, train, config.embed.method)[rows]
    data = MapSet(
        given,
        torch.as_tensor(_numbers(catalogue.clusters[rows])),
        torch.tensor(labels).float(),
        _partners(rows),
    )
    backbone = make_backbone(config.embed.backbone, config.seed)
    method = _make_method(config, backbone, len(catalogue.targets), labels.shape[1])
    checkpoint = None if out is None else out.with_name(f".{out.name}.checkpoint")
    progress = read_checkpoint(checkpoint, config) if resume and checkpoint is not None else None
    after = _AfterEpoch(checkpoint, config, on_epoch)
    history = learn(method, data, config, progress=progress, on_epoch=after)
    vectors = encode(backbone, given)
    offset, projection = fit_components(vectors, config.embed.components)
    info = {
        "kind": KIND,
        "config": config.model_dump(mode="json"),
        "num_features": vectors.shape[1],
        "versions": versions(),
        "maps": len(given),
        "source": store.source,
        "half_width_r500": store.half_width,
        "variant": store.variant,
        "cluster_column": catalogue.cluster_column,
        "clusters": sorted({str(c) for c in catalogue.clusters[rows]}),
        **(provenance or {}),
    }
    encoder = Encoder(backbone.eval(), config.embed.size, offset, projection, info)
    if out is not None:
        write_encoder(out, encoder, overwrite)
        (out.with_name(f"{out.name}.{HISTORY}")).write_text(
            "epoch,loss\n"
            + "".join(f"{number + 1},{loss!r}\n" for number, loss in enumerate(history)),
            encoding="utf-8",
        )
        assert checkpoint is not None
        shutil.rmtree(checkpoint, ignore_errors=True)
    return encoder


def matched(catalogue: Catalogue, store: MapStore) -> tuple[np.ndarray, np.ndarray]:
    """Row of the catalogue and number of the map for every map that has a row, both (M,).

    Raises:
        DataError: If the names of the maps do not say whose they are.
    """
    if "HaloID" not in store.table:
        first = store.table.filename.iloc[0]
        raise DataError(store.source, f"names of maps like {PATTERN}", f"'{first}'")
    snapshots = catalogue.table[SNAPSHOT_KEYS].reset_index(drop=True).drop_duplicates()
    keys = pd.MultiIndex.from_frame(snapshots)
    found = keys.get_indexer(pd.MultiIndex.from_frame(store.table[SNAPSHOT_KEYS]))
    has_row = found >= 0
    return snapshots.index.to_numpy()[found[has_row]], np.flatnonzero(has_row)


def _labels(catalogue: Catalogue, train: np.ndarray, method: str) -> np.ndarray:
    """What a supervised encoder is told of all rows: standardised targets (N, D), and for
    ``joint`` x, too.
    """
    if method not in ("supervised", "joint"):
        return np.empty((len(catalogue.table), 0))
    transforms = fit_catalogue_transforms(catalogue, Split(train, train, train))
    inputs = catalogue.inputs(transforms.inputs)
    theta = off_bounds(catalogue.theta, catalogue.target_columns, catalogue.age)
    u = transforms.standardise_targets(theta, transforms.anchors(inputs)).numpy()
    x = transforms.standardise_inputs(inputs).numpy()
    return np.asarray(u if method == "supervised" else np.concatenate([u, x], 1))


def _numbers(clusters: np.ndarray) -> np.ndarray:
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)


def _partners(rows: np.ndarray) -> Tensor:
    """For each map those of the other projections of its snapshot, (N, P - 1); empty if their
    numbers differ.
    """
    order = np.argsort(rows, kind="stable")
    counts = np.unique(rows, return_counts=True)[1]
    if len(set(counts.tolist())) != 1:
        return torch.empty(len(rows), 0, dtype=torch.long)
    groups = order.reshape(-1, counts[0])
    others = np.empty((len(rows), int(counts[0]) - 1), dtype=np.int64)
    for place in range(groups.shape[1]):
        others[groups[:, place]] = np.delete(groups, place, axis=1)
    return torch.from_numpy(others)


def _make_method(
    config: EmbedConfig, backbone: nn.Module, num_targets: int, num_labels: int
) -> Method:
    with seeded(config.seed, "heads"):
        if config.embed.method == "supervised":
            return Supervised(backbone, config.supervised, num_targets)
        if config.embed.method == "joint":
            outputs = config.embed.components
            single = Config(seed=config.seed, model=ModelConfig(members=1))
            flow = make_flow(single, num_targets, num_labels - num_targets + outputs)
            return Joint(
                backbone, density=flow, num_targets=num_targets, outputs=outputs, seed=config.seed
            )
        return make_method(config, backbone)
