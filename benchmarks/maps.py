"""What an embedding of the X-ray map adds to the scalars, on the mock maps, five folds by cluster.

    cinn-clusters mock --clusters 350 --maps --out mock
    python benchmarks/maps.py embed mock cache --methods simclr supervised   # fold by fold
    python benchmarks/maps.py flow mock cache --variants scalars simclr morphology
    python benchmarks/maps.py table cache
    python benchmarks/maps.py speed mock --threads 2                         # of encoding

Encoders see the training clusters of their fold only. The posterior is the default preset given
scalars and 32 principal components (or the classical morphology); each projection is a row.
A variant such as ``simclr_one_model`` is the one model: trained with masking and noise augmentation, asked
with the map, and without it (``simclr_one_model_without_map``).
``mixture`` averages the posteriors of the three projections of an object. Errors resample clusters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinn_clusters import read_catalogue, read_config
from cinn_clusters.data.embeddings import Embeddings, join_embeddings
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps
from cinn_clusters.embed.backbones import make_backbone
from cinn_clusters.embed.encode import encode, fit_components
from cinn_clusters.embed.scaling import as_inputs
from cinn_clusters.evaluation.ground_truth import score_scales
from cinn_clusters.pipeline.maps.embed import fit_encoder, match_maps
from cinn_clusters.posterior.fit import fit
from cinn_clusters.settings.embedding import read_embed_config
from cinn_clusters.storage.map_store import read_store

ONE_MODEL, EXACT = None, "exact"
"""Presets of the one model that is asked with and without a map, and of the others."""
NUM_FOLDS, SEED, NUM_DRAWS, COMPONENTS = 5, 42, 300, 32


def catalogue_and_maps(args: argparse.Namespace):
    catalogue = read_catalogue(
        args.folder / "observables1.csv", args.folder / "unobservables1.csv"
    )
    if args.inside:
        outer = next(iter(folds_by_cluster(catalogue.clusters, NUM_FOLDS, SEED)))
        catalogue = catalogue.rows(
            np.sort(np.concatenate([outer.train, outer.validation]))
        )
    return catalogue, read_store(args.folder / "maps")


def embed(args: argparse.Namespace) -> None:
    catalogue, store = catalogue_and_maps(args)
    inputs = as_inputs(store.values, 64)
    for method in args.methods:
        for k, split in enumerate(
            folds_by_cluster(catalogue.clusters, NUM_FOLDS, SEED)
        ):
            path = args.cache / f"{args.name or method}.{k}.npz"
            if path.exists() or k not in args.folds:
                continue
            config = read_embed_config(
                None,
                [f"embed.method={method}", f"embed.components={COMPONENTS}", *args.set],
            )
            begin = time.perf_counter()
            encoder, _ = fit_encoder(catalogue, split.train, store, config)
            seconds = time.perf_counter() - begin
            vectors = encode(encoder.backbone, inputs)
            np.savez(
                path,
                vectors=vectors,
                components=encoder.components(vectors),
                seconds=seconds,
            )
            print(method, k, f"{seconds:.0f} s", flush=True)


def features(
    variant: str, cache: Path, store, k: int, train_maps: np.ndarray
) -> np.ndarray | None:
    """What stands for each map, (N, F)."""
    name = variant.removesuffix("_shuffled").removesuffix("_one_model")
    if name == "scalars":
        return None
    if name == "morphology":
        from cinn_clusters.xray.morphology import morphology

        found = morphology(
            10.0 ** store.values.astype(float), half_width=store.half_width
        )
    elif name == "pixels":
        flat = as_inputs(store.values, 32).flatten(1).numpy()
        offset, projection = fit_components(flat[train_maps], COMPONENTS)
        found = (flat - offset) @ projection
    else:
        found = np.load(cache / f"{name}.{k}.npz")["components"]
    if variant.endswith("_shuffled"):
        found = found[np.random.default_rng(k).permutation(len(found))]
    return found


def flow(args: argparse.Namespace) -> None:
    catalogue, store = catalogue_and_maps(args)
    rows, maps = match_maps(catalogue, store)
    for variant in args.variants:
        is_one = variant.endswith("_one_model")
        config = read_config(ONE_MODEL if is_one else EXACT, args.set)
        for k, split in enumerate(
            folds_by_cluster(catalogue.clusters, NUM_FOLDS, SEED)
        ):
            path = args.cache / f"flow.{variant}.{k}.csv"
            if path.exists() or k not in args.folds:
                continue
            found = features(
                variant, args.cache, store, k, maps[np.isin(rows, split.train)]
            )
            here, parts = catalogue, split
            if found is not None:
                columns = tuple(
                    f"embedding_{number:03d}" for number in range(found.shape[1])
                )
                table = pd.concat(
                    [store.table, pd.DataFrame(found, columns=list(columns))], axis=1
                )
                here, _ = join_embeddings(catalogue, Embeddings(table, columns))
                parts = list(folds_by_cluster(here.clusters, NUM_FOLDS, SEED))[k]
                assert set(here.clusters[parts.test]) == set(
                    catalogue.clusters[split.test]
                )
            posterior = fit(here, parts, config)
            test = here.rows(parts.test)
            query = posterior.query(test.table)
            save_scores(path, here, test, posterior.sample(query, NUM_DRAWS))
            if posterior.transforms.accepts_missing and found is not None:
                scalars = posterior.transforms.without_embedding(query.inputs)
                without = path.with_name(f"flow.{variant}_without_map.{k}.csv")
                save_scores(without, here, test, posterior.sample(scalars, NUM_DRAWS))
            print(variant, k, flush=True)


def save_scores(path: Path, catalogue, test, samples: np.ndarray) -> None:
    """CRPS of each object and target: mean over projections, and of the mixture over
    projections.
    """
    scale = score_scales(catalogue)
    single = pd.DataFrame(
        crps(samples / scale, test.theta / scale), columns=list(catalogue.targets)
    )
    keys = test.table[["HaloID", "Snapshot"]].reset_index(drop=True)
    groups = keys.groupby(["HaloID", "Snapshot"], sort=True).indices
    mixed = []
    for members in groups.values():
        joined = np.concatenate([samples[:, m] for m in members])[:, None]
        mixed.append(crps(joined / scale, test.theta[members[:1]] / scale)[0])
    single[["HaloID", "Snapshot"]] = keys
    means = single.groupby(["HaloID", "Snapshot"], sort=True).mean()
    means[[f"mixture_{name}" for name in catalogue.targets]] = np.array(mixed)
    means["cluster"] = [test.clusters[members[0]] for members in groups.values()]
    means.to_csv(path)


def table(args: argparse.Namespace) -> None:
    variants = sorted(
        {path.name.split(".")[1] for path in args.cache.glob("flow.*.csv")}
    )
    scores = {
        v: pd.concat(
            [pd.read_csv(p) for p in sorted(args.cache.glob(f"flow.{v}.*.csv"))]
        )
        for v in variants
    }
    scores = {
        v: s.set_index(["HaloID", "Snapshot"]).sort_index() for v, s in scores.items()
    }
    full = max(map(len, scores.values()))
    shown = [
        "last_T_coll",
        "last_Mass_ratio",
        "last_V_coll",
        "last_Subcluster_mass",
        "last_d_peri",
        "last_M_Crit500_coll",
    ]
    base = scores["scalars"]
    weights = (
        bootstrap_weights(base.cluster.to_numpy(), 2000) if len(base) == full else None
    )
    print(
        "| given | training s | "
        + " | ".join(shown)
        + " | all |\n|---"
        + "|---" * (len(shown) + 2)
        + "|"
    )
    for variant, found in scores.items():
        seconds = [
            float(np.load(p)["seconds"]) for p in args.cache.glob(f"{variant}.*.npz")
        ]
        cells = []
        for group in [[name] for name in shown] + [shown]:
            ours, theirs = (
                found[group].mean(axis=1),
                base.loc[found.index, group].mean(axis=1),
            )
            cells.append(
                f"{ours.mean():.4f} ({100 * (1 - ours.mean() / theirs.mean()):+.1f} %)"
            )
        time_told = f"{np.mean(seconds):.0f}" if seconds else ""
        print(f"| {variant} ({len(found)}) | {time_told} | " + " | ".join(cells) + " |")
    if weights is None:
        return
    print("\ngain in CRPS over morphology, 99 % interval by cluster")
    for variant in variants:
        if (
            len(scores[variant]) != full
            or "morphology" not in scores
            or len(scores["morphology"]) != full
        ):
            continue
        for name in (
            "last_T_coll",
            "last_Mass_ratio",
            f"mixture_{shown[0]}",
            f"mixture_{shown[1]}",
        ):
            for other in ("scalars", "morphology"):
                theirs, ours = (
                    scores[other][
                        name.removeprefix("mixture_") if other == "scalars" else name
                    ],
                    scores[variant][name],
                )
                gain = 1.0 - (weights @ ours.to_numpy()) / (weights @ theirs.to_numpy())
                low, high = np.quantile(gain, [0.005, 0.995])
                told = (
                    f"{1 - ours.mean() / theirs.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
                )
                print(f"{variant:20s} {name:28s} over {other:10s} {told}")


def speed(args: argparse.Namespace) -> None:
    """Maps a second: of reading and shrinking, of encoding, and of the parts that encoding is
    made of.
    """
    _, store = catalogue_and_maps(args)
    store_values = store.values[:2048]
    inputs = as_inputs(store_values, 64)
    encoder = make_backbone("small", 0).eval()
    network = encoder.backbone
    chunks = inputs.split(256)
    matrix = torch.rand(1024, 1024)
    ways = {
        "shrinking to 64 px": lambda: as_inputs(store_values, 64),
        "encoding (eight orientations)": lambda: encode(encoder, inputs),
        "sharpening alone": lambda: [encoder.sharpen(one) for one in chunks],
        "the network once": lambda: [network(one) for one in chunks],
        "the network once, folded": lambda: [network.fused()(one) for one in chunks],
    }
    with torch.inference_mode():
        for name, way in ways.items():
            print(f"{name:32s} {len(inputs) / shortest(way):8.0f} maps/s")
        product = 2 * 1024**3 / shortest(lambda: matrix @ matrix)
    macs = 25 * 16 * 32**2 + 9 * sum(
        a * b * s**2
        for a, b, s in ((16, 32, 16), (32, 64, 8), (64, 128, 4), (128, 256, 2))
    )
    print(
        f"{'floor of eight, matrix product':32s} {product / (2 * 8 * macs):8.0f} maps/s"
    )


def shortest(way: Callable[[], object], repeats: int = 5) -> float:
    """Least of some times [s]."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        way()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("embed", "flow", "table", "speed"))
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        help="the mock catalogue with maps/, and a cache; or the cache",
    )
    parser.add_argument("--methods", nargs="*", default=["simclr"])
    parser.add_argument("--variants", nargs="*", default=["scalars"])
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(NUM_FOLDS)))
    parser.add_argument(
        "--inside",
        action="store_true",
        help="only the training clusters of fold 0: to search settings",
    )
    parser.add_argument(
        "--name", help="what the encoder is called in the cache; its method when absent"
    )
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.cache = args.folders[-1]
    args.folder = args.folders[0]
    args.cache.mkdir(exist_ok=True)
    torch.set_num_threads(args.threads)
    {"embed": embed, "flow": flow, "table": table, "speed": speed}[args.stage](args)


if __name__ == "__main__":
    main()
