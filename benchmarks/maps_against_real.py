"""Mock maps beside the X-ray maps of TNG-Cluster: grey levels of pictures, and one page to look at.

python benchmarks/maps_against_real.py ../shared/data/xray_maps/tng_cluster_tiles/umap77 beside.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from cinn_clusters.mock.images import draw_maps
from cinn_clusters.mock.population import draw_cluster
from cinn_clusters.pipeline.maps.mock_maps import picture
from cinn_clusters.rng import numpy_stream

matplotlib.use("Agg")
SIZE, NUM, SEED = 76, 100, 1


def real_maps(folder: Path) -> np.ndarray:
    """Grey levels in [0, 1] of tiles that were coloured with inferno, (N, SIZE, SIZE)."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.0, 1.0, 256))[:, :3] * 255.0
    levels = []
    for path in sorted(folder.iterdir())[:NUM]:
        pixels = np.asarray(Image.open(path).convert("RGB"), float)[:SIZE, :SIZE]
        levels.append(((pixels[:, :, None] - colours) ** 2).sum(-1).argmin(-1) / 255.0)
    return np.stack(levels)


def mock_maps() -> np.ndarray:
    """One map of each of NUM clusters, at a random snapshot and projection, (N, SIZE, SIZE)."""
    rng, levels = np.random.default_rng(SEED), []
    for cluster in range(NUM):
        history, _, observables = draw_cluster(cluster, SEED)
        maps = draw_maps(
            history, observables["GroupGasMass"], numpy_stream(SEED, "maps", cluster)
        )
        grey = Image.fromarray(picture(maps[rng.integers(8), rng.integers(3)]))
        levels.append(
            np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.BOX), float) / 255.0
        )
    return np.stack(levels)


def statistics(levels: np.ndarray) -> dict[str, np.ndarray]:
    """What the eye compares, (N,) each."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    ring = np.hypot(x, y).astype(int)
    at_edge = np.maximum(np.abs(x), np.abs(y)) > SIZE / 2 - 2
    num_pixels = np.bincount(ring.ravel())
    sums = [np.bincount(ring.ravel(), image.ravel()) for image in levels]
    rings = np.stack([(total / num_pixels)[ring] for total in sums])
    return {
        "mean": levels.mean((1, 2)),
        "black": (levels < 0.02).mean((1, 2)),
        "at the edge": levels[:, at_edge].mean(1),
        "rms about rings": (levels - rings)[:, ring < SIZE / 2].std(1),
    }


def page(real: np.ndarray, mock: np.ndarray, out: Path) -> None:
    """Six columns of mock maps, then six of real ones."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(8, 12, figsize=(18, 12))
    for row, line in enumerate(axes):
        for column, axis in enumerate(line):
            maps = mock if column < 6 else real
            axis.imshow(maps[6 * row + column % 6], cmap="inferno", vmin=0.0, vmax=1.0)
            axis.axis("off")
    figure.subplots_adjust(0.0, 0.0, 1.0, 1.0, 0.02, 0.02)
    figure.savefig(out, dpi=60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    real, mock = real_maps(args.tiles), mock_maps()
    print("| grey level | mock: median [16 %, 84 %] | real |\n|---|---|---|")
    for (name, ours), theirs in zip(
        statistics(mock).items(), statistics(real).values(), strict=True
    ):
        cells = []
        for values in (ours, theirs):
            low, median, high = np.percentile(values, [16, 50, 84])
            cells.append(f"{median:.2f} [{low:.2f}, {high:.2f}]")
        print(f"| {name} | {' | '.join(cells)} |")
    page(real, mock, args.out)


if __name__ == "__main__":
    main()
