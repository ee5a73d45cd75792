"""Every preset on a published table: what was converted, what could not be used, what was flagged.

    python benchmarks/presets.py ../shared/data/observed [--answer] [--model MODEL] [--out
    posteriors]

The text files there carry no column names; they are given the published ones first.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.table import Table

from cinn_clusters import Sampling, infer
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.mapping import read_preset
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.files import Destination


def lines(path: Path, *, separator: str | None = None) -> list[list[str]]:
    kept = [
        line.rstrip("\n")
        for line in path.open(encoding="utf-8")
        if line.strip() and not line.startswith("#")
    ]
    return [[part.strip() for part in line.split(separator)] for line in kept]


def named(rows: list[list[str]], names: list[str]) -> Table:
    width = len(names)
    return Table(
        {
            name: [row[i] for row in rows if len(row) >= width]
            for i, name in enumerate(names)
        }
    )


def mcxc(folder: Path) -> Table:
    rows = lines(folder / "piffaretti_mcxc.txt", separator="\t")
    return named(
        [row for row in rows if re.match(r"J\d", row[0])],
        ["MCXC", "z", "L500", "M500", "R500"],
    )


def lovisari(folder: Path) -> Table:
    names = [
        "Name",
        "z",
        "M500",
        "E_M500",
        "e_M500",
        "Mgas500",
        "E_Mgas500",
        "e_Mgas500",
    ]
    return named(lines(folder / "lovisari_lovisari2020_tableA1.txt"), names)


def rexcess(folder: Path) -> Table:
    names = [
        "Cluster",
        "z",
        "T1",
        "L1",
        "L2",
        "T2",
        "L3",
        "L4",
        "YX",
        "R500",
        "cool_core",
        "disturbed",
    ]
    return named(lines(folder / "pratt_p09_table_b1.txt"), names)


def psz2(folder: Path) -> Table:
    rows = [row[1:-1] for row in lines(folder / "planck2015_sz2.dat", separator="|")]
    return named(
        rows,
        [
            "number",
            "NAME",
            "Y5R500",
            "Y5R500_ERR",
            "VALIDATION",
            "REDSHIFT",
            "REDSHIFT_ID",
            "MSZ",
            "MSZ_ERR_UP",
            "MSZ_ERR_LOW",
        ],
    )


def act(folder: Path) -> Table:
    rows = lines(folder / "hilton_DR5_cluster-catalog_v1.0b3.txt", separator="\t")
    table = named(rows, ["name", "redshift", "y_c", "M500cUncorr", "M500cCal", "M200m"])
    for side in (
        "M500cCal_errMinus",
        "M500cCal_errPlus",
    ):  # this cut of the catalogue has no errors: 20 per cent
        table[side] = 0.2 * np.array(table["M500cCal"], dtype=float)
    return table


def accept(folder: Path) -> Path:
    return folder / "accept_catalog.csv"


SAMPLES = {
    "mcxc2": mcxc,
    "accept": accept,
    "lovisari2020": lovisari,
    "rexcess": rexcess,
    "psz2": psz2,
    "act_dr5": act,
    "spt_xvp": lambda folder: folder / "xvp_chiu18.fits",
    "spt_xmm": lambda folder: folder / "xmmspt_bulbul_chiu+19.fits",
    "spt_chiu16": lambda folder: folder / "chiu16a_without_one.fits",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--answer",
        action="store_true",
        help="infer, too, with --model or the packaged one",
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for preset, make in SAMPLES.items():
        mapping, made = read_preset(preset), make(args.folder)
        with tempfile.TemporaryDirectory() as scratch:
            path = made if isinstance(made, Path) else Path(scratch, f"{preset}.vot")
            if not isinstance(made, Path):
                made.write(path, format="votable")
            table = read_table(path, mapping.read)
            found = convert(table, mapping)
            print(
                f"\n## {preset}: {len(table)} rows, {int((~found.has_time).sum())} without a usable redshift"
            )
            for line in found.log:
                print(f"- {line}")
            for name, values in found.values.items():
                known = np.isfinite(values)
                error = (
                    np.median(found.errors[name][known])
                    if name in found.errors and known.any()
                    else 0.0
                )
                middle = np.median(values[known]) if known.any() else np.nan
                print(
                    f"- {name}: {int(known.sum())} values, median {middle:.2f}, median error {error:.3f} dex"
                )
            told = Counter(
                reason for reasons in found.reasons.values() for reason in reasons
            )
            for reason, count in told.most_common():
                print(f"- {count} rows: {reason}")
            if args.answer:
                print_posterior(path, preset, args.model, Path(args.out or scratch))


def print_posterior(path: Path, preset: str, model: Path | None, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    done = infer(
        path,
        Destination(out / f"{preset}.nc", overwrite=True),
        mapping=read_preset(preset),
        model=model,
        sampling=Sampling(300),
    )
    print(f"- answered {done.num_answered}, flagged {done.num_flagged}")
    for reason, count in done.reasons.most_common(6):
        print(f"  - {count}: {reason}")


if __name__ == "__main__":
    main()
