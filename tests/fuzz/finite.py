"""Whether outputs hold what is no number where an answer was promised."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from safetensors.torch import load

_WORDS = re.compile(r"(?<![\w.])(nan|-?inf(inity)?)(?![\w.-])", re.IGNORECASE)


def not_finite(out: Path, stdout: str) -> str:
    """Say where the outputs below a folder, or what was printed, are not finite; else nothing."""
    if match := _WORDS.search(_without_texts(stdout)):
        return f"printed {match[0]}"
    for path in sorted(out.rglob("*")):
        look = _LOOKS.get(path.suffix)
        if look and path.is_file() and (reason := look(path)):
            return f"{path.name}: {reason}"
    return ""


def _without_texts(stdout: str) -> str:
    """What was printed, less the texts of JSON, which a file may have brought."""
    if not stdout.startswith("{"):
        return stdout
    return re.sub(r'"(?:[^"\\]|\\.)*"', "", stdout)


def _netcdf(path: Path) -> str:
    with h5py.File(path) as file:
        for name, values in file["posterior"].items():
            if values.dtype.kind == "f" and not np.isfinite(values[()]).all():
                return f"samples of {name}"
    return ""


def _maps(path: Path) -> str:
    with h5py.File(path) as file:
        values = file["log_brightness"][:]
        if np.isinf(values).any() or np.isnan(values).all((1, 2)).any():
            return "maps"
    return ""


def _table(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = pd.read_csv(
            path, comment="#", encoding_errors="replace", on_bad_lines="skip"
        )
    if "status" not in frame or "conversion_note" not in frame.columns.union(
        ["conversion_note"]
    ):
        return ""
    answered = frame[frame["status"].isin(("ok", "flagged"))]
    for name in answered.filter(regex="_median$|_p16$|_p84$"):
        if not np.isfinite(pd.to_numeric(answered[name], errors="coerce")).all():
            return f"column {name} of answered rows"
    return ""


def _json(path: Path) -> str:
    text = path.read_text()
    found: list[str] = []
    json.loads(text, parse_constant=lambda name: found.append(name))
    return ", ".join(found[:1])


def _array(path: Path) -> str:
    values = np.load(path)
    return (
        "values" if values.dtype.kind == "f" and not np.isfinite(values).all() else ""
    )


def _tensors(path: Path) -> str:
    for name, value in load(path.read_bytes()).items():
        if value.is_floating_point() and not value.isfinite().all():
            return name
    return ""


_LOOKS = {
    ".nc": _netcdf,
    ".h5": _maps,
    ".csv": _table,
    ".json": _json,
    ".npy": _array,
    ".safetensors": _tensors,
}
