"""Ours beside its rivals on the same folds: fits that are kept one by one, then the tables.

    pip install -e '.[benchmark]'
    python benchmarks/peers/run.py ../shared/data/tng_cluster --out peers
    python benchmarks/peers/table.py ../shared/data/tng_cluster --out peers --score ../shared/score.py

A fit is one rival, seed, fold and member of an ensemble; those that stand in --out are not done
again, so that the run may be stopped at any time. BayesFlow has an environment and a process of
its own, see ``bayesflow_rival.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from folds import Answer, Unit, fit_path, keep, seed_everything, units
from rivals import FITS

from cinn_clusters import read_catalogue
from cinn_clusters.data.catalogue import Catalogue

NUM_MEMBERS = {"zuko transforms": 5, "sbi maf transforms": 5}
"""Fits whose members are mixed afterwards; the first alone is the row without an ensemble."""


def read_table(folder: Path) -> Catalogue:
    return read_catalogue(folder / "observables1.csv", folder / "unobservables1.csv")


def make_fits(
    name: str,
    fit: Callable[[Unit], Answer],
    catalogue: Catalogue,
    out: Path,
    seed: int,
    members: Sequence[int],
) -> None:
    """Do those fits of a rival and seed that are not kept yet."""
    for member in members:
        for unit in units(catalogue, seed, member):
            path = fit_path(out, name, seed, unit.fold, member)
            if path.exists():
                continue
            seed_everything(unit)
            begin = time.process_time()
            keep(path, fit(unit))
            print(f"{path.stem}: {time.process_time() - begin:.0f} s CPU", flush=True)


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="holds observables1.csv and unobservables1.csv"
    )
    parser.add_argument("--out", type=Path, default=Path("peers"), help="kept fits")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--members", nargs="*", type=int, help="these only")
    parser.add_argument("--only", nargs="*", help="these fits")
    return parser.parse_args()


def main() -> None:
    args = parse(__doc__)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    catalogue = read_table(args.folder)
    for seed in args.seeds:
        for name in args.only or FITS:
            members = args.members or range(NUM_MEMBERS.get(name, 1))
            make_fits(name, FITS[name], catalogue, args.out, seed, members)


if __name__ == "__main__":
    main()
