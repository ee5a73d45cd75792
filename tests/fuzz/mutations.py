"""Ways to spoil an input: its bytes, its values, its structure, its place.

Each takes the path of a file and a random generator, and changes the file.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import torch
from astropy.io import fits
from safetensors.torch import load_file, save_file

from cinn_clusters.files import sha256_of
from cinn_clusters.storage.run import decision_hash

Mutation = Callable[[Path, Random], None]

DEEP = 20_000
NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1e400",
    "1e-320",
    "-0.0",
    "0",
    "-1",
    "-99",
    "1e308",
    "1e38",
    "1e39",
    "1e30",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    "1_000",
    "0x10",
    "1e",
    "1.2.3",
    "1,5",
    "007",
    "True",
    "None",
    "NULL",
    "9" * 5000,
    "1" + "0" * 400,
    "1e999999999",
    "0." + "0" * 400 + "1",
]
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\n",
        "\r",
        "\t",
        '"',
        "'",
        ",",
        ";",
        "#",
        "%",
        "\\",
        "/",
        ".",
        "..",
    ),
    *(
        "\ufeff",
        "\u202e",
        "é",
        "\U0001d538",
        "A" * 70_000,
        "{}",
        "[]",
        "${x}",
        "$(id)",
        "%s%n",
    ),
    *("../../x", "/dev/zero", "CON", "=1+1", "<script>", "[bold]", "\\frac{", "$"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        -(2**63) - 1,
        10**30,
        0.0,
        1e308,
        -1e308,
    ),
    *(
        float("nan"),
        float("inf"),
        -float("inf"),
        1e-320,
        "",
        "x",
        "nan",
        "\x00",
        "\ud800",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        [1, "a"],
        {"": 0},
        ["x"] * 1000,
        [[0.0] * 3] * 3,
        "9" * 5000,
    ),
)
HUGE = "1" + "0" * 5000


def spoil_bytes(path: Path, rng: Random) -> None:
    """Flip bits, cut, insert, repeat or wipe bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 2, 4, 8, 64, 512)), len(data) - place)
        part = data[place : place + size]
        action = rng.choice(
            ("flip", "flip", "flip", "cut", "insert", "repeat", "wipe", "fill")
        )
        if action == "flip" and part:
            data[place] ^= 1 << rng.randrange(8)
        elif action == "cut":
            del data[place : rng.choice((place + size, len(data)))]
        elif action == "insert":
            data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif action == "repeat":
            data[place:place] = part * rng.choice((1, 2, 50))
        else:
            data[place : place + size] = bytes([0 if action == "wipe" else 255]) * size
    path.write_bytes(data)


def spoil_text(path: Path, rng: Random) -> None:
    """Replace values, repeat or remove lines and columns, change encoding or delimiter."""
    text = path.read_text(errors="replace")
    for _ in range(rng.choice((1, 1, 2, 5))):
        text = rng.choice(_TEXT_CHANGES)(text, rng)
    encoding = rng.choice(
        ("utf-8",) * 12 + ("utf-16", "latin-1", "utf-8-sig", "utf-32")
    )
    path.write_bytes(text.encode(encoding, "replace"))


def _replace_token(text: str, rng: Random) -> str:
    tokens = list(re.finditer(r"[^\s,;=\"\[\]<>]+", text)) or list(
        re.finditer("^", text)
    )
    token = rng.choice(tokens)
    new = rng.choice(rng.choice((NUMBERS, TEXTS)))
    return text[: token.start()] + new + text[token.end() :]


def _change_lines(text: str, rng: Random) -> str:
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    action = rng.choice(("remove", "repeat", "swap", "cut", "blank", "end", "column"))
    if action == "remove":
        del lines[place]
    elif action == "repeat":
        lines[place:place] = [lines[place]] * rng.choice((1, 2, 300))
    elif action == "swap":
        rng.shuffle(lines)
    elif action == "cut":
        lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
    elif action == "blank":
        lines[place:place] = [""] * rng.choice((1, 5))
    elif action == "end":
        lines = lines[:place]
    else:
        lines = [line + rng.choice((",", ",x", "")) for line in lines]
    return "\n".join(lines)


def _change_separator(text: str, rng: Random) -> str:
    old, new = rng.choice(
        ((",", ";"), (",", "\t"), (".", ","), ("\n", "\r\n"), ("\n", "\r"))
    )
    return text.replace(old, new)


_TEXT_CHANGES = (
    _replace_token,
    _replace_token,
    _replace_token,
    _change_lines,
    _change_separator,
)


def spoil_toml(path: Path, rng: Random) -> None:
    """Replace the value of a key, add an unknown key, nest deeply."""
    lines = path.read_text().split("\n")
    places = [number for number, line in enumerate(lines) if "=" in line]
    place = rng.choice(places)
    key, _, value = lines[place].partition("=")
    lines[place] = rng.choice(
        (
            f"{key}= {_toml_value(rng)}",
            f"{key}= {_toml_value(rng)}",
            f"{key.strip()}_ ={value}",
            f"{lines[place]}\n{lines[place]}",
            f"{key}",
            f'"{key}".x ={value}',
            "",
        )
    )
    if rng.random() < 0.1:
        lines.insert(
            place,
            rng.choice(("[x]", "[[mass]]", "[a.b.c]", "[", "a." * DEEP + "b = 1")),
        )
    path.write_text("\n".join(lines), errors="replace")


def _toml_value(rng: Random) -> str:
    literals = (
        *(
            "nan",
            "-inf",
            "1e400",
            HUGE,
            f"0x{'f' * 5000}",
            "2**5",
            "1979-05-27",
            "[]",
            "{}",
        ),
        *(
            "-1",
            "0",
            "true",
            '""',
            "'''",
            "9223372036854775808",
            "1000000000000",
            "1e300",
        ),
        *(
            "[" * DEEP + "]" * DEEP,
            "[" * DEEP,
            "{a=" * DEEP + "1" + "}" * DEEP,
            '"\\uD800"',
        ),
        *('"' + "x" * 5000 + '"', "[1, [2, 'a']]", "{x = 1}", "'\x00'", '"\\u0000"'),
    )
    return rng.choice(literals)


def spoil_json(path: Path, rng: Random) -> None:
    """Replace, remove or nest a value of JSON, or write what Python's reader chokes on."""
    values = json.loads(path.read_text())
    special = rng.random()
    if special < 0.05:
        path.write_text(
            rng.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP))
        )
    elif special < 0.15:
        text = path.read_text()
        token = rng.choice(list(re.finditer(r"-?\d[\d.e+-]*", text)))
        new = rng.choice((HUGE, f"-{HUGE}", "1e999999", "[" * DEEP + "]" * DEEP))
        path.write_text(text[: token.start()] + new + text[token.end() :])
    else:
        for _ in range(rng.choice((1, 1, 2))):
            values = _changed(values, rng)
        path.write_text(json.dumps(values), errors="surrogatepass")


def _changed(values: Any, rng: Random, depth: int = 0) -> Any:
    """Plain values with one of them, anywhere, changed."""
    if isinstance(values, dict) and values and rng.random() < 0.95:
        key = rng.choice(sorted(values))
        if depth and rng.random() < 0.1:
            return {name: value for name, value in values.items() if name != key}
        return {**values, key: _changed(values[key], rng, depth + 1)}
    if isinstance(values, list) and values and rng.random() < 0.8:
        place = rng.randrange(len(values))
        action = rng.random()
        if action < 0.1:
            return values[:place]
        if action < 0.2:
            return values + values[place:]
        return [
            *values[:place],
            _changed(values[place], rng, depth + 1),
            *values[place + 1 :],
        ]
    return rng.choice(VALUES)


def spoil_array(values: np.ndarray, rng: Random) -> np.ndarray:
    """Change shape, type or values of an array."""
    action = rng.choice(("shape", "dtype", "value", "value", "size", "rank", "rank"))
    if action == "shape":
        return values.reshape(
            rng.choice(((-1,), (1, *values.shape), values.shape[::-1]))
        )
    if action == "dtype":
        name = rng.choice(
            [
                "bool",
                "int8",
                "int64",
                "uint64",
                "float16",
                "float64",
                "complex128",
                "U3",
                "S3",
                "M8[s]",
            ]
        )
        with np.errstate(all="ignore"):
            return (
                np.zeros(values.shape, name)
                if values.dtype.kind in "US"
                else _cast(values, name)
            )
    if action == "size":
        return rng.choice(
            (values[:0], values[..., :0], values[:1], np.concatenate([values] * 2))
        )
    if action == "rank":
        return rng.choice((values[..., None], values.reshape(-1), np.array(1.0)))
    changed = np.array(values)
    if changed.size and changed.dtype.kind in "fiub":
        place = rng.randrange(changed.size)
        extreme = rng.choice((np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0))
        whole = rng.random() < 0.2
        with np.errstate(all="ignore"):
            changed.reshape(-1)[... if whole else place] = np.float64(extreme).astype(
                changed.dtype
            )
    elif changed.size:
        changed.reshape(-1)[rng.randrange(changed.size)] = rng.choice(("", "x", "1"))
    return changed


def _cast(values: np.ndarray, name: str) -> np.ndarray:
    if name.startswith("M8"):
        return values.astype("int64").astype(name)
    return values.astype(name)


def spoil_npy(path: Path, rng: Random) -> None:
    """Change an array on disk, or the header that describes it."""
    if rng.random() < 0.3:
        data = path.read_bytes()
        old, new = rng.choice(
            (
                (b"'descr': '<", b"'descr': '>"),
                (b"(", b"(9999999999, "),
                (b"<f4", b"|O8"),
                (b"(", b"(-"),
                (b"False", b"True "),
                (b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
            )
        )
        path.write_bytes(data.replace(old, new, 1))
        return
    np.save(path, spoil_array(np.load(path), rng), allow_pickle=False)


def spoil_hdf5(path: Path, rng: Random) -> None:
    """Change, remove or link away a dataset or an attribute."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if hasattr(item, "dtype") else None
        )
        name = rng.choice(names)
        attributes = rng.choice((file.attrs, file[name].attrs))
        action = rng.choice(
            ("array", "array", "array", "attribute", "delete", "link", "group")
        )
        if action == "attribute" and len(attributes):
            key = rng.choice(sorted(attributes))
            attributes[key] = rng.choice(
                (
                    -1.0,
                    0.0,
                    np.nan,
                    np.inf,
                    "x",
                    "",
                    10**18,
                    [1, 2],
                    np.zeros((2, 2)),
                    b"\xff",
                )
            )
            return
        text = h5py.check_string_dtype(file[name].dtype)
        values = np.array(file[name].asstr()[:] if text else file[name][()])
        kept = dict(file[name].attrs)
        del file[name]
        if action == "array" and text:
            names = rng.choice(
                (
                    values[:1],
                    values[:0],
                    np.append(values, "x"),
                    values[::-1],
                    values[:, None],
                    np.array(["", *values[1:]], object),
                    np.array([values[1], *values[1:]], object),
                    np.array(["\n" + values[0], *values[1:]], object),
                )
            )
            file.create_dataset(
                name, data=names.astype(object), dtype=h5py.string_dtype()
            )
        elif action == "array":
            changed = spoil_array(values, rng)
            if changed.dtype.kind in "UM":
                changed = np.zeros(changed.shape, "S3")
            file[name] = changed
        elif action == "link":
            file[name] = rng.choice(
                (
                    h5py.SoftLink("/nowhere"),
                    h5py.SoftLink(f"/{name}"),
                    h5py.SoftLink("/"),
                    h5py.ExternalLink("nothing.h5", "/x"),
                    h5py.ExternalLink("/dev/zero", "/x"),
                )
            )
        elif action == "group":
            file.create_group(name)
        if name in file and isinstance(file.get(name, getlink=True), h5py.HardLink):
            for key, value in kept.items():
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
                    file[name].attrs[key] = value


_CARDS = [
    "SIMPLE",
    "BITPIX",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "PCOUNT",
    "GCOUNT",
    "TFIELDS",
    "TFORM1",
    "TFORM2",
    "TTYPE1",
    "TUNIT3",
    "TNULL2",
    "TSCAL2",
    "TZERO2",
    "TDIM2",
    "EXTEND",
    "XTENSION",
    "BSCALE",
    "BZERO",
    "BLANK",
    "BUNIT",
    "CTYPE1",
    "CTYPE2",
    "CRVAL1",
    "CRVAL2",
    "CRPIX1",
    "CDELT1",
    "CDELT2",
    "CUNIT1",
    "CUNIT2",
    "CD1_1",
    "PC1_1",
    "RADESYS",
    "EQUINOX",
    "LONPOLE",
    "PV2_1",
    "WCSAXES",
]
_CARD_VALUES: tuple[Any, ...] = (
    *(
        0,
        -1,
        1,
        2,
        3,
        7,
        999,
        1000,
        99_999,
        2**31,
        10**12,
        10**18,
        -32,
        1e300,
        -1e-300,
        0.0,
    ),
    *(
        "",
        "x",
        "deg",
        "arcsec",
        "m",
        "RA---CAR",
        "GLON-CAR",
        "DEC--ZEA",
        "LINEAR",
        "9E",
        "1PE(5)",
    ),
    *("99999999E", "0A", "Msun/h", "log10", "FK4", "10X", True, False, None),
)


def spoil_fits(path: Path, rng: Random) -> None:
    """Change header cards, without the library's care for what they mean."""
    data = path.read_bytes()
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(_CARDS)
        card = fits.Card(name, rng.choice(_CARD_VALUES)).image.ljust(80)[:80].encode()
        places = [
            match.start() for match in re.finditer(name.ljust(8).encode() + b"=", data)
        ]
        ends = [match.start() for match in re.finditer(b"END" + b" " * 77, data)]
        if places:
            place = rng.choice(places)
        elif ends:
            place = rng.choice(ends)
            card += b"END" + b" " * 77
        else:
            return
        data = data[:place] + card + data[place + len(card) :]
    path.write_bytes(data)


def spoil_png(path: Path, rng: Random) -> None:
    """Say another size, depth or colour type in the header of a PNG, with a checksum that fits."""
    data = bytearray(path.read_bytes())
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    sizes = (0, 1, 2, 10_000, 30_000, 65_535, 2**31 - 1, 2**32 - 1, width)
    fields = (
        rng.choice(sizes), rng.choice((*sizes, height)), rng.choice((depth, depth, 1, 16, 255)),
        rng.choice((colour, colour, 2, 3, 4, 6, 9)), *rest,
    )  # fmt: skip
    data[16:29] = struct.pack(">IIBBBBB", *fields)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    if rng.random() < 0.5:
        start = data.index(b"IDAT") - 4
        body = zlib.compress(bytes(min(3_000_000, 4 * fields[0] * max(fields[1], 1))))
        chunk = b"IDAT" + body
        data[start:] = (
            struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        )
        data += b"\x00\x00\x00\x00IEND\xaeB`\x82"
    path.write_bytes(data)


def spoil_tensors(path: Path, rng: Random) -> None:
    """Change a tensor of a safetensors file, or what names it."""
    tensors = load_file(path)
    name = rng.choice(sorted(tensors))
    value = tensors.pop(name)
    action = rng.choice(("array", "array", "array", "drop", "rename", "more", "type"))
    if action == "array":
        changed = spoil_array(np.atleast_1d(value.numpy()), rng)
        if changed.dtype.kind in "biuf":
            value = torch.from_numpy(np.ascontiguousarray(changed))
        tensors[name] = value
    elif action == "rename":
        tensors[
            rng.choice(("x", "", name + ".x", name.rpartition(".")[0], "selection.x"))
        ] = value
    elif action == "more":
        tensors |= {
            name: value,
            rng.choice(("x", "selection.x", "backbone.x")): torch.zeros(1),
        }
    elif action == "type":
        tensors[name] = value.to(
            rng.choice((torch.bfloat16, torch.complex64, torch.float64))
        )
    save_file(tensors, path)


def spoil_state(path: Path, rng: Random) -> None:
    """Change a tensor of a state dict of torch, or what names it."""
    state = torch.load(path, weights_only=True)
    name = rng.choice(sorted(state))
    action = rng.choice(("array", "array", "array", "drop", "rename", "other"))
    if action == "array":
        changed = spoil_array(state[name].numpy(), rng)
        if changed.dtype.kind in "biuf":
            state[name] = torch.from_numpy(np.ascontiguousarray(changed))
    elif action == "other":
        state[name] = rng.choice((None, 1, "x", [1], torch.zeros(2).to_sparse()))
    else:
        value = state.pop(name)
        if action == "rename":
            state[rng.choice(("x", "", 3, name.replace("0", "10"), "a.b.c"))] = value
    torch.save(state, path)


def spoil_bundle(path: Path, rng: Random) -> None:
    """Spoil the information or the tensors of a bundle and sign it anew, or spoil its bytes."""
    info, weights, manifest = (
        path / name for name in ("bundle.json", "weights.safetensors", "manifest.json")
    )
    action = rng.random()
    if action < 0.2:
        spoil_bytes(rng.choice((info, weights, manifest)), rng)
        return
    if action < 0.3:
        spoil_json(manifest, rng)
        return
    if action < 0.65:
        spoil_json(info, rng)
    elif action < 0.95:
        spoil_tensors(weights, rng)
    else:
        spoil_bytes(weights, rng)
    content = json.loads(manifest.read_text())
    content["sha256"] = {file.name: sha256_of(file) for file in (info, weights)}
    manifest.write_text(json.dumps(content))


def spoil_run(path: Path, rng: Random) -> None:
    """Spoil a file of a prepared run; what was decided in it is often signed anew."""
    name = rng.choice(
        (
            "split.json",
            "split.json",
            "transforms.json",
            "transforms.json",
            "X.csv",
            "meta.csv",
        )
    )
    if name.endswith("csv"):
        rng.choice((spoil_text, spoil_bytes))(path / name, rng)
    else:
        rng.choice((spoil_json, spoil_json, spoil_json, spoil_bytes))(path / name, rng)
    if rng.random() < 0.8:
        _sign_run(path)


def _sign_run(path: Path) -> None:
    import hashlib

    try:
        record = json.loads((path / "split.json").read_text())
        maps = json.loads((path / "transforms.json").read_text())
        tables = "".join(
            sha256_of(path / name) for name in ("X.csv", "Y.csv", "meta.csv")
        )
        record["table_sha256"] = hashlib.sha256(tables.encode()).hexdigest()
        record["sha256"] = decision_hash(record, maps)
        (path / "split.json").write_text(json.dumps(record))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return  # spoilt beyond signing


def spoil_place(path: Path, rng: Random) -> None:
    """Put something else where a file belongs."""
    if path.is_dir():
        path.rename(path.with_name("aside"))
    else:
        path.unlink()
    kind = rng.choice(
        ("loop", "folder", "fifo", "zero", "dangling", "null", "empty", "locked")
    )
    if kind == "loop":
        path.symlink_to(path.name)
    elif kind == "folder":
        (path / path.name).mkdir(parents=True)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("zero", "null"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "dangling":
        path.symlink_to("nothing-here")
    else:
        path.touch()
        path.chmod(0o000 if kind == "locked" else 0o644)


STRANGE_PATHS = (
    *(
        "",
        ".",
        "/",
        "..",
        "./",
        "~",
        "-",
        "--",
        "a\nb",
        "a\x01b",
        "\udcff.csv",
        "é.csv",
        "x" * 300,
    ),
    *(
        "x/" * 3000,
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        "/proc/self/environ",
        "/dev/null",
    ),
    *(
        "nothing.csv",
        "http://localhost:1/x",
        "file:///x",
        "s3://x",
        "*.csv",
        "$HOME",
        " ",
        "x.npz",
    ),
)
STRANGE_VALUES = (
    *NUMBERS,
    *(text for text in TEXTS if "\x00" not in text),
    "\udcff",
    "1" * 30,
)
