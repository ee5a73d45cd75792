"""What is spoilt, and the line of the command that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fuzz import mutations
from fuzz.corpus import CHANGES
from fuzz.mutations import (
    STRANGE_PATHS,
    STRANGE_VALUES,
    Mutation,
    spoil_bundle,
    spoil_bytes,
    spoil_fits,
    spoil_hdf5,
    spoil_json,
    spoil_npy,
    spoil_place,
    spoil_png,
    spoil_run,
    spoil_tensors,
    spoil_text,
    spoil_toml,
)


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Args:
        line: The command; words that begin with ``@`` are inputs, ``@@`` such that may be changed
            by the command, ``>`` outputs.
        spoilt: Inputs of which one is spoilt, below the folder of the case.
        mutations: Ways to spoil it, drawn with equal chance.
        weight: Share of the campaign.
    """

    line: str
    spoilt: tuple[str, ...]
    mutations: tuple[Mutation, ...] = (spoil_bytes,)
    weight: int = 2


_INFER = "infer --model @run/model --draws 10 --out >p.nc --catalogue"
_BY_MAPPING = "--mapping @mapping.toml"
_PREPARE = "prepare --observables @mock/observables1.csv --targets @mock/unobservables1.csv --out >run"
_TRAIN = "train @run"
_ENCODE = "embed encode --threads 1 --model @encoder --maps @maps.h5 --out >v"
_ORIGINAL = "import-original @original/network.pt --processed-dir @original --out >m"
_TEXT = (spoil_text, spoil_text, spoil_bytes, spoil_place)
_TOML = (spoil_toml, spoil_toml, spoil_text, spoil_bytes, spoil_place)
_BUNDLE = (spoil_bundle,)


def _table(ending: str, *ways: Mutation) -> Kind:
    name = f"observed.{ending}"
    return Kind(
        f"{_INFER} @{name} {_BY_MAPPING}", (name,), (*ways, spoil_bytes, spoil_place), 4
    )


def _image(ending: str, *ways: Mutation) -> Kind:
    name = f"images/map.{ending}"
    return Kind(
        f"maps @{name} --size 16 --out >m.h5",
        (name,),
        (*ways, spoil_bytes, spoil_place),
        4,
    )


KINDS: dict[str, Kind] = {
    "CSV": _table("csv", spoil_text, spoil_text),
    "ECSV": _table("ecsv", spoil_text, spoil_text),
    "FITS table": _table("fits", spoil_fits, spoil_fits),
    "VOTable": _table("vot", spoil_text, spoil_text),
    "Parquet": _table("parquet", spoil_bytes),
    "simulated table": Kind(f"{_INFER} @simulated.csv", ("simulated.csv",), _TEXT, 4),
    "mapping": Kind(f"{_INFER} @observed.csv {_BY_MAPPING}", ("mapping.toml",), _TOML, 4),
    "column file": Kind(f"{_PREPARE} --columns @columns.toml", ("columns.toml",), _TOML, 4),
    "simulator's files": Kind(
        _PREPARE, ("mock/observables1.csv", "mock/unobservables1.csv"), _TEXT, 4
    ),
    "settings": Kind(f"{_TRAIN} --config @config.toml", ("config.toml",), _TOML, 4),
    "encoder's settings": Kind(
        "embed train --threads 1 @run --maps @maps.h5 --config @embed.toml --out @encoder",
        ("embed.toml",), _TOML, 3,
    ),
    "model, shown": Kind("show @run/model --json", ("run/model",), _BUNDLE, 6),
    "model, asked": Kind(f"{_INFER} @simulated.csv", ("run/model",), (*_BUNDLE, spoil_place), 8),
    "encoder": Kind(_ENCODE, ("encoder",), (*_BUNDLE, spoil_place), 8),
    "checkpoint": Kind(
        " ".join(("train @@half", *CHANGES, "--set", "train.epochs=2", "--resume")),
        ("half/checkpoint.safetensors",), (spoil_tensors, spoil_bytes, spoil_place), 2,
    ),
    "run": Kind("audit @run --json", ("run",), (spoil_run,), 6),
    "run, evaluated": Kind("evaluate @@half --draws 10", ("half",), (spoil_run,), 2),
    "posterior": Kind(
        "diagnose @run/posterior.nc --out >d.json", ("run/posterior.nc",),
        (spoil_hdf5, spoil_hdf5, spoil_bytes, spoil_place), 2,
    ),
    "maps, encoded": Kind(
        _ENCODE, ("maps.h5",), (spoil_hdf5, spoil_hdf5, spoil_bytes, spoil_place), 6
    ),
    "maps, joined": Kind(
        "maps @maps.h5 --out >m.h5", ("maps.h5",), (spoil_hdf5, spoil_hdf5, spoil_bytes), 4
    ),
    "FITS image": _image("fits", spoil_fits, spoil_fits),
    "PNG": _image("png", spoil_png),
    "JPEG": _image("jpg"),
    "HDF5 images": _image("hdf5", spoil_hdf5, spoil_hdf5),
    "vectors": Kind(
        f"{_PREPARE} --embeddings @vectors", ("vectors/components.npy", "vectors/filenames.npy"),
        (spoil_npy, spoil_npy, spoil_bytes, spoil_place), 4,
    ),
    "record of an encoder": Kind(
        f"{_PREPARE} --embeddings @vectors", ("vectors/encoder.json",), (spoil_json, spoil_bytes), 2
    ),
    "scaler": Kind(
        _ORIGINAL, ("original/scaler_X.pkl", "original/scaler_Y.pkl"), (spoil_bytes, spoil_place), 4
    ),
    "checkpoint of the original": Kind(
        _ORIGINAL, ("original/network.pt",), (mutations.spoil_state, spoil_bytes, spoil_place), 4
    ),
    "processed folder": Kind(
        "prepare --processed-dir @original --clusters @mock/unobservables1.csv --out >r", ("original/X.csv", "original/meta.csv"),
        _TEXT, 2,
    ),
}  # fmt: skip

LINES = (
    f"{_INFER} @simulated.csv --samples 5 --seed 1 --ood flag --device cpu --threads 1",
    f"{_PREPARE} --x-columns Group_M_Crit500 --y-columns last_d_peri --seed 1",
    f"{_PREPARE} --halo-column HaloID --snapshot-column Snapshot --cluster-column HaloOrigID",
    f"{_TRAIN} --set train.epochs=1 --set model.flow=glow --device cpu --threads 1",
    f"{_TRAIN} --set seed=1 --set autoregressive.hidden=8 --set train.noise=0.1 --config glow",
    "maps @images/map.png --size 16 --redshift 0.1 --radius 900 --pixel-kpc 40"
    " --half-width 1.5 --centre peak --stretch log --planes auto --out >m.h5",
    "maps @images/map.fits --size 16 --redshift 0.1 --radius 900 --centre 30,30 --out >m.h5",
    f"{_ORIGINAL} --clamp 2.0",
    f"{_ENCODE} --variant ideal",
    "show @run/model",
    "audit @run",
)
SLOW_LINES = (
    "evaluate @@half --draws 10 --seed 0 --device cpu",
    "crossval @@half --folds 3 --draws 10 " + " ".join(CHANGES),
    "tune @@half --trials 1 --fold 0 --folds 3 --inner-folds 2 " + " ".join(CHANGES),
    "mock --clusters 3 --seed 1 --size 16 --projections 1 --formats png --processes 1 --out >m",
    "figures @run --halo 1 --rows 2 --estimate median --seed 0 --out >f",
    "sensitivity @@half --seed 0",
    "baseline @@half --members 1 --batch 8 --seed 1",
    "report @run --out >r.html",
    "demo observed --draws 10 --seed 0 --out >o",
    "diagnose @run/posterior.nc --targets @mock/unobservables1.csv --observables"
    " @mock/observables1.csv --columns @columns.toml --seed 0 --out >d.json",
)
"""Lines of which one option's value, or one path, is replaced by a strange one."""


def strange_line(words: list[str], rng: Random) -> list[str]:
    """Replace the value of one option, or one path, of a line."""
    words = list(words)
    places = range(1, len(words))
    values = [place for place in places if not words[place].startswith("-")]
    place = rng.choice(values)
    if words[place - 1] == "--set":
        key = words[place].partition("=")[0]
        huge = (
            "1000000000000",
            "1e300",
            "9" * 5000,
            "[" * mutations.DEEP,
            "nan",
            "1e-320",
            "-1",
        )
        value = rng.choice((*huge, *STRANGE_VALUES))
        words[place] = rng.choice(
            (f"{key}={value}", f"{key}={value}", value, f"{key}.x={value}")
        )
    elif words[place][0] in "@>":
        words[place] = rng.choice(STRANGE_PATHS)
    else:
        words[place] = rng.choice(
            ("1000000000000", "0", "1", *STRANGE_VALUES, *STRANGE_PATHS)
        )
    return words
