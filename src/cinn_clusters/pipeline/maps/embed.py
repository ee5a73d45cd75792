"""Training of encoders of X-ray maps on the training clusters of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cinn_clusters.claims import reserving
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import off_bounds
from cinn_clusters.data.reading.map_names import KNOWN_PATTERNS, pair_maps
from cinn_clusters.data.split import Split
from cinn_clusters.embed.backbones import make_backbone
from cinn_clusters.embed.encode import encode, fit_components
from cinn_clusters.embed.learner import LearningState, MapSet, OnEpoch, learn
from cinn_clusters.embed.method import Method, seeded
from cinn_clusters.embed.methods import make_method
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.embed.supervised import Joint, Supervised
from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination, atomic_file, demand_free, discard
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.fit import fit_catalogue_transforms
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.schema import KEYS
from cinn_clusters.settings.config import Config, ModelConfig
from cinn_clusters.settings.embedding import EmbedConfig
from cinn_clusters.storage.encoder import ENCODER_KIND, Encoder, write_encoder
from cinn_clusters.storage.encoder_checkpoint import (
    LearningTask,
    read_learning_state,
    write_learning_state,
)
from cinn_clusters.storage.map_store import MapStore
from cinn_clusters.storage.run import Run, json_hash, versions


@dataclass(frozen=True)
class _AfterEpoch:
    """Writes a checkpoint and reports progress; a class, since closures cannot be pickled."""

    checkpoint: Path
    task: LearningTask
    on_progress: OnProgress

    def __call__(self, state: LearningState) -> None:
        options = self.task.config.embed
        if state.epoch % options.checkpoint_every == 0:
            write_learning_state(self.checkpoint, state, self.task)
        loss = f"loss {state.history[-1]:.3f}"
        self.on_progress(Progress(state.epoch, options.epochs, options.method, loss))


@reserving()
def train_encoder(
    run: Run,
    store: MapStore,
    config: EmbedConfig,
    destination: Destination,
    *,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Encoder:
    """Train an encoder on the maps of the training clusters of a run.

    Args:
        run: Names the clusters to train on.
        store: Maps of any clusters.
        config: Method, backbone, views.
        destination: Bundle to make; a checkpoint is beside it while the training is under way.
        resume: Demand a checkpoint to go on from; without, one of this training is gone on from
            unless ``destination`` may be overwritten.
        on_progress: Called after each epoch; must pickle if there is more than one device.

    Returns:
        The encoder.

    Raises:
        DataError: If the run has no row with a map.
        BundleError: If there is no checkpoint to go on from, or it is of other settings.
        OutputError: If an encoder exists there already.
        TrainingError: If a loss is not finite, or there are too few maps.
    """
    path, catalogue, train = destination.path, run.catalogue, run.split.train
    history = path.with_name(f"{path.name}.history.csv")
    demand_free(path, destination.overwrite, history)
    rows, _ = match_maps(catalogue, store)
    if not np.isin(rows, train).any():
        expected = "maps of training clusters of the run"
        raise DataError(store.source, expected, "none", str(run.path))
    checkpoint = path.with_name(f".{path.name}.checkpoint")
    task = LearningTask(config, _data_hash(run, store))
    start = None
    if resume or (checkpoint.exists() and not destination.overwrite):
        start = read_learning_state(checkpoint, task)
    on_epoch = _AfterEpoch(checkpoint, task, on_progress)
    encoder, losses = fit_encoder(
        catalogue, train, store, config, start=start, on_epoch=on_epoch
    )
    provenance = {"table_sha256": run.record.get("table_sha256", "")}
    encoder = replace(encoder, info=encoder.info | provenance)
    write_encoder(encoder, destination)
    _write_history(losses, history)
    discard(checkpoint)
    return encoder


def _data_hash(run: Run, store: MapStore) -> str:
    """Return the hash of what an encoder learns from."""
    record, names = json_hash(run.record), map(str, store.table["filename"])
    digest = hashlib.sha256(record.encode())
    digest.update("\n".join(names).encode())
    digest.update(np.ascontiguousarray(store.values).data)
    return digest.hexdigest()


def fit_encoder(
    catalogue: Catalogue,
    train: np.ndarray,
    store: MapStore,
    config: EmbedConfig,
    *,
    start: LearningState | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[Encoder, list[float]]:
    """Train an encoder on the maps of some rows of a catalogue.

    Args:
        catalogue: Keys, clusters and labels.
        train: Its rows to learn from.
        store: Maps.
        config: Method, backbone, views.
        start: State to go on from.
        on_epoch: Called after each epoch; must pickle if there is more than one device.

    Returns:
        The encoder and the mean loss of each epoch.
    """
    rows, maps = match_maps(catalogue, store)
    is_training = np.isin(rows, train)
    rows, maps = rows[is_training], maps[is_training]
    inputs = as_inputs(store.values[maps], config.embed.size)
    clusters = catalogue.clusters[rows]
    numbers = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    labels = _labels(catalogue, train, config.embed.method)[rows]
    data = MapSet(
        inputs, torch.as_tensor(numbers), torch.tensor(labels).float(), _partners(rows)
    )
    backbone = make_backbone(config.embed.backbone, config.seed)
    method = _make_method(config, backbone, len(catalogue.targets), labels.shape[1])
    losses = learn(method, data, config, progress=start, on_epoch=on_epoch)
    vectors = encode(backbone, inputs)
    offset, projection = fit_components(vectors, config.embed.components)
    info = {
        "kind": ENCODER_KIND,
        "config": config.model_dump(mode="json"),
        "num_features": vectors.shape[1],
        "versions": versions(),
        "maps": len(inputs),
        "source": store.source,
        "half_width_r500": store.half_width,
        "variant": store.variant,
        "cluster_column": catalogue.cluster_column,
        "clusters": sorted({str(cluster) for cluster in clusters}),
    }
    return Encoder(backbone.eval(), config.embed.size, offset, projection, info), losses


def match_maps(catalogue: Catalogue, store: MapStore) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of the catalogue and the number in the store of each map with a row, (M,) both.

    Raises:
        DataError: If the names of the maps do not say whose they are.
    """
    keys = list(KEYS)
    if keys[0] not in store.table:
        first = store.table.filename.iloc[0]
        expected = f"names of maps like {' or '.join(KNOWN_PATTERNS)}"
        hint = "say it with --name-pattern"
        raise DataError(store.source, expected, f"'{first}'", "", hint)
    snapshots = catalogue.table[keys].reset_index(drop=True).drop_duplicates()
    row_of_view, map_of_view = pair_maps(snapshots, store.table, keys)
    order = np.argsort(map_of_view, kind="stable")
    order = order[map_of_view[order] >= 0]
    return snapshots.index.to_numpy()[row_of_view[order]], map_of_view[order]


def _labels(catalogue: Catalogue, train: np.ndarray, method: str) -> np.ndarray:
    """Return what an encoder learns of all rows: standardised targets, for ``joint`` also x."""
    if method not in ("supervised", "joint"):
        return np.empty((len(catalogue.table), 0))
    transforms = fit_catalogue_transforms(catalogue, Split(train, train, train))
    inputs = catalogue.inputs(transforms.inputs)
    theta = off_bounds(catalogue.theta, catalogue.target_columns, catalogue.age)
    u = transforms.standardise_targets(theta, transforms.anchors(inputs)).numpy()
    if method == "supervised":
        return u
    x = transforms.standardise_inputs(inputs).numpy()
    return np.concatenate([u, x], 1)


def _partners(rows: np.ndarray) -> Tensor:
    """Return for each map those of the other projections of its snapshot, (N, P - 1).

    There are none, (N, 0), if snapshots differ in their number of projections.
    """
    _, counts = np.unique(rows, return_counts=True)
    num_projections = int(counts[0])
    if (counts != num_projections).any():
        return torch.empty(len(rows), 0, dtype=torch.long)
    order = np.argsort(rows, kind="stable")
    snapshots = order.reshape(-1, num_projections)
    partners = np.empty((len(rows), num_projections - 1), dtype=np.int64)
    for projection in range(num_projections):
        maps = snapshots[:, projection]
        partners[maps] = np.delete(snapshots, projection, axis=1)
    return torch.from_numpy(partners)


def _make_method(
    config: EmbedConfig, backbone: nn.Module, num_targets: int, num_labels: int
) -> Method:
    with seeded(config.seed, "heads"):
        if config.embed.method == "supervised":
            return Supervised(backbone, config.supervised, num_targets)
        if config.embed.method != "joint":
            return make_method(config, backbone)
        outputs = config.embed.components
        single = Config(seed=config.seed, model=ModelConfig(members=1))
        density = make_flow(single, num_targets, num_labels - num_targets + outputs)
        return Joint(
            backbone,
            density=density,
            num_targets=num_targets,
            outputs=outputs,
            seed=config.seed,
        )


def _write_history(losses: Sequence[float], path: Path) -> None:
    lines = [
        "epoch,loss",
        *(f"{epoch},{loss!r}" for epoch, loss in enumerate(losses, 1)),
    ]
    with atomic_file(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
