"""Small real inputs of every kind that the product reads, which the campaign then spoils."""

from __future__ import annotations

import pickle
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from astropy.io import fits
from astropy.table import QTable
from PIL import Image

from cinn_clusters import cli

TINY = (
    "model.members=1",
    "autoregressive.blocks=1",
    "autoregressive.hidden=4",
    "train.epochs=1",
    "train.held_out_groups=0",
    "train.checkpoint_every=1",
)
CHANGES = [part for change in TINY for part in ("--set", change)]

MAPPING = """name = "my catalogue"
object_name = "name"

[redshift]
column = "z"

[mass]
column = "M500"
unit = "1e14 Msun"
error = "e_M500"
definition = "500c"

[gas_mass]
column = "Mgas"
unit = "1e14 Msun"
error_low = "e_Mgas"
error_high = "E_Mgas"
"""
COLUMNS = """[keys]
halo = "HaloID"
snapshot = "Snapshot"
cluster = "HaloOrigID"

[columns.Group_M_Crit500]
unit = "log10 Msun"
symbol = "M"
meaning = "mass"
bounds = [12.0, 17.0]
role = "mass"
"""
CONFIG = """seed = 3

[model]
flow = "autoregressive"
members = 2
dropout = 0.0

[autoregressive]
blocks = 2
hidden = 8

[train]
epochs = 3
learning_rate = 3e-3
augment = false
"""
EMBED_CONFIG = """seed = 3

[embed]
method = "simclr"
size = 16
epochs = 1

[views]
zoom = 0.05
photons = [3000.0, 300000.0]

[simclr]
temperature = 0.2
"""


def call(*arguments: object) -> int:
    """Run a line of the command in this process, its output swallowed."""
    sys.argv = ["cinn-clusters", *map(str, arguments)]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors:
        try:
            cli.main()
        except SystemExit as stop:
            if stop.code:
                raise RuntimeError(f"{arguments}: {errors.getvalue()}") from stop
    return 0


def build(folder: Path) -> Path:
    """Make the inputs, a folder or a file of each kind."""
    folder.mkdir(parents=True)
    mock, run = folder / "mock", folder / "run"
    sizes = ("--clusters", 16, "--size", 16, "--projections", 1, "--processes", 1)
    call("mock", "--out", mock, "--maps", *sizes)
    tables = (mock / "observables1.csv", mock / "unobservables1.csv")
    files = ("--observables", tables[0], "--targets", tables[1])
    call("prepare", *files, "--out", run)
    call("train", run, *CHANGES)
    call("evaluate", run, "--draws", 10)
    _half_trained(run, folder / "half")
    _head(tables[0], folder / "simulated.csv", 5)
    _observed(folder)
    _settings(folder)
    _maps(folder, mock / "maps" / "maps.h5")
    _images(folder / "images")
    _original(folder / "original", mock)
    return folder


def _half_trained(run: Path, half: Path) -> None:
    """A trained run without answers, beside the checkpoint of its first epoch."""
    import shutil

    from cinn_clusters.pipeline.simulation.train import train
    from cinn_clusters.settings.config import read_config

    half.mkdir()
    for name in (
        "X.csv",
        "Y.csv",
        "meta.csv",
        "left_out.csv",
        "split.json",
        "transforms.json",
    ):
        shutil.copy(run / name, half)
    checkpoint, kept = half / "checkpoint.safetensors", half / "kept"

    def keep(_: object) -> None:
        if checkpoint.exists() and not kept.exists():
            shutil.copy(checkpoint, kept)

    train(half, read_config(changes=[*TINY, "train.epochs=2"]), on_progress=keep)
    kept.rename(checkpoint)


def _head(source: Path, path: Path, num_rows: int) -> None:
    lines = source.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: num_rows + 1]))


def _observed(folder: Path) -> None:
    rng = np.random.default_rng(1)
    table = QTable(
        {
            "name": [f"A{number}" for number in (85, 119, 401, 478)],
            "z": [0.055, 0.044, 0.074, 0.088],
            "M500": rng.uniform(3, 9, 4),
            "e_M500": rng.uniform(0.2, 0.5, 4),
            "Mgas": rng.uniform(0.4, 1.1, 4),
            "e_Mgas": [0.05] * 4,
            "E_Mgas": [0.06] * 4,
        }
    )
    formats = {
        "csv": "ascii.csv",
        "ecsv": "ascii.ecsv",
        "fits": "fits",
        "vot": "votable",
        "parquet": "parquet",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ending, format_ in formats.items():
            table.write(folder / f"observed.{ending}", format=format_)


def _settings(folder: Path) -> None:
    (folder / "mapping.toml").write_text(MAPPING)
    (folder / "columns.toml").write_text(COLUMNS)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "embed.toml").write_text(EMBED_CONFIG)


def _maps(folder: Path, source: Path) -> None:
    """A store of six maps, an encoder that never learned, and its vectors."""
    from cinn_clusters.embed.backbones import make_backbone
    from cinn_clusters.files import Destination
    from cinn_clusters.settings.embedding import read_embed_config
    from cinn_clusters.storage.encoder import ENCODER_KIND, Encoder, write_encoder

    with h5py.File(source) as full, h5py.File(folder / "maps.h5", "w") as part:
        part.attrs.update(full.attrs)
        for name in full:
            part[name] = full[name][:6]
            part[name].attrs.update(full[name].attrs)
    config = read_embed_config(folder / "embed.toml")
    backbone = make_backbone(config.embed.backbone, 0).eval()
    width = len(backbone(torch.zeros(1, 1, 16, 16))[0])
    projection = np.eye(width, 3, dtype=np.float32)
    info = {
        "kind": ENCODER_KIND,
        "config": config.model_dump(mode="json"),
        "clusters": ["1", "2"],
        "cluster_column": "HaloOrigID",
        "half_width_r500": 1.5,
        "variant": "ideal",
    }
    offset = np.zeros(width, np.float32)
    encoder = Encoder(backbone, config.embed.size, offset, projection, info)
    write_encoder(encoder, Destination(folder / "encoder"))
    call(
        *("embed", "encode", "--threads", 1, "--model", folder / "encoder"),
        *("--maps", folder / "maps.h5", "--out", folder / "vectors"),
    )


def _images(folder: Path) -> None:
    folder.mkdir()
    y, x = np.indices((24, 24))
    values = np.exp(-0.1 * ((y - 12.0) ** 2 + (x - 11.0) ** 2)) + 1e-3
    picture = Image.fromarray((255 * values / values.max()).astype(np.uint8))
    for ending in ("png", "jpg"):
        picture.save(folder / f"map.{ending}")
    header = fits.Header()
    for axis, name, step in ((1, "RA---TAN", -1e-3), (2, "DEC--TAN", 1e-3)):
        header[f"CTYPE{axis}"] = name
        header[f"CRVAL{axis}"] = 30.0
        header[f"CRPIX{axis}"] = 12.5
        header[f"CDELT{axis}"] = step
        header[f"CUNIT{axis}"] = "deg"
    fits.PrimaryHDU(values.astype(np.float32), header).writeto(folder / "map.fits")
    with h5py.File(folder / "map.hdf5", "w") as file:
        for number in range(2):
            file[f"Halo_{number}"] = values.astype(np.float32)


def _original(folder: Path, mock: Path) -> None:
    """A checkpoint and the scalers of the original scripts."""
    from original import X_COLUMNS, Y_COLUMNS, freia_glow, processed_data

    names = ("observables1.csv", "unobservables1.csv")
    tables = [pd.read_csv(mock / name) for name in names]
    scalers = processed_data((tables[0], tables[1]), folder)
    for side, scaler in zip("XY", scalers, strict=True):
        with (folder / f"scaler_{side}.pkl").open("wb") as stream:
            pickle.dump(scaler, stream)
    network = freia_glow(len(Y_COLUMNS), len(X_COLUMNS))
    torch.save(network.state_dict(), folder / "network.pt")
