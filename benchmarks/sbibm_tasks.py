"""C2ST of our flows and of sbi's NPE against reference posteriors of sbibm.

    pip download --no-deps sbibm==1.1.0 -d sbibm-wheel
    python benchmarks/sbibm_tasks.py sbibm-wheel/sbibm-1.1.0-py2.py3-none-any.whl --out sbibm.json

Observations and reference samples come out of the wheel; simulators are written here from
Lueckmann+21 (arXiv:2101.04653, appendix T) and checked against the wheel (``--check``). The flows
are those of the package, trained by its loop; a uniform prior is mapped to the real line, so that
no draw leaves it. Results are kept in --out by task and method: what is there is not done again.
``--table`` rewrites the table of docs/sbibm.md.
"""

from __future__ import annotations

import argparse
import bz2
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.settings.config import Config
from cinn_clusters.training.fit import TrainingObjective, epochs, load_best, start

DOCS = Path(__file__).parents[1] / "docs/sbibm.md"
MARKS = ("<!-- table -->", "<!-- /table -->")
NUM_SIMULATIONS = 10_000
NUM_OBSERVATIONS = 10
HELD_OUT = 0.1


@dataclass(frozen=True)
class Task:
    """A prior and a simulator; ``bound`` b means a uniform prior on [-b, b]^D, None one of N(0,
    0.1).
    """

    num_targets: int
    bound: float | None
    simulate: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    def prior(self, num: int, rng: np.random.Generator) -> np.ndarray:
        """Draw parameters."""
        if self.bound is None:
            return rng.normal(scale=np.sqrt(0.1), size=(num, self.num_targets))
        return rng.uniform(-self.bound, self.bound, (num, self.num_targets))


def two_moons(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A noisy half circle, shifted by the parameters folded along the diagonal."""
    angle, radius = (
        rng.uniform(-np.pi / 2, np.pi / 2, len(theta)),
        rng.normal(0.1, 0.01, len(theta)),
    )
    moon = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], 1)
    return moon + np.stack(
        [-np.abs(theta.sum(1)), theta[:, 1] - theta[:, 0]], 1
    ) / np.sqrt(2)


def gaussian_linear(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Theta plus noise of variance 0.1 in ten dimensions."""
    return theta + rng.normal(scale=np.sqrt(0.1), size=theta.shape)


def gaussian_mixture(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Theta plus noise that is wide or narrow, half of the time each."""
    scale = np.where(rng.random(len(theta)) < 0.5, 1.0, 0.1)
    return theta + scale[:, None] * rng.normal(size=theta.shape)


def slcp(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Four points of a two-dimensional Gaussian whose mean and covariance the five parameters
    give.
    """
    first, second, correlation = (
        theta[:, 2] ** 2,
        theta[:, 3] ** 2,
        np.tanh(theta[:, 4]),
    )
    noise = rng.normal(size=(len(theta), 4, 2))
    across = (
        correlation[:, None] * noise[..., 0]
        + np.sqrt(1 - correlation[:, None] ** 2) * noise[..., 1]
    )
    points = (
        np.stack([first[:, None] * noise[..., 0], second[:, None] * across], -1)
        + theta[:, None, :2]
    )
    return points.reshape(len(theta), 8)


TASKS = {
    "two_moons": Task(2, 1.0, two_moons),
    "gaussian_linear": Task(10, None, gaussian_linear),
    "gaussian_mixture": Task(2, 10.0, gaussian_mixture),
    "slcp": Task(5, 3.0, slcp),
}


def read_reference(
    wheel: Path, task: str, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observation (1, L), reference samples (M, D) and true parameters (1, D)."""
    folder = f"sbibm/tasks/{task}/files/num_observation_{number}"
    with zipfile.ZipFile(wheel) as archive:

        def table(data: bytes) -> np.ndarray:
            return np.loadtxt(io.BytesIO(data), delimiter=",", skiprows=1, ndmin=2)

        samples = table(
            bz2.decompress(
                archive.read(f"{folder}/reference_posterior_samples.csv.bz2")
            )
        )
        return (
            table(archive.read(f"{folder}/observation.csv")),
            samples,
            table(archive.read(f"{folder}/true_parameters.csv")),
        )


Sampler = Callable[[np.ndarray, int], np.ndarray]
"""(observation (1, L), number of draws) -> draws."""


def settings(flow: str, args: argparse.Namespace) -> Config:
    """Settings of a flow of two hidden layers; a velocity field has no blocks."""
    wanted = {
        "blocks": args.blocks,
        "hidden": args.hidden,
        "layers": 2,
        "bins": 10,
        "bound": 5.0,
    }
    known = type(getattr(Config(), flow)).model_fields
    values = {
        "seed": args.seed,
        "model": {"flow": flow, "members": args.members},
        flow: {name: value for name, value in wanted.items() if name in known},
        "train": {
            "epochs": args.epochs,
            "batch": 200,
            "learning_rate": 1e-3,
            "weight_decay": 1e-3,
        },
    }
    return Config.model_validate(values)


def train_ours(task: Task, theta: np.ndarray, x: np.ndarray, config: Config) -> Sampler:
    """Train an ensemble of flows by the package's own loop."""
    bound = task.bound
    raw = theta if bound is None else np.log((theta + bound) / (bound - theta))
    mean, sd, x_mean, x_sd = raw.mean(0), raw.std(0), x.mean(0), x.std(0)
    u = torch.tensor((raw - mean) / sd).float()
    c = torch.tensor((x - x_mean) / x_sd).float()
    flow, members = make_flow(config, theta.shape[1], x.shape[1]), config.model.members
    order = torch.randperm(len(u), generator=torch.Generator().manual_seed(config.seed))
    held_out = order[: int(HELD_OUT * len(u))].expand(members, -1)
    train = [order[int(HELD_OUT * len(u)) :]] * members

    def batch_loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return flow.loss(u[rows], c[rows], generator).mean(-1)

    def held_out_loss() -> Tensor:
        return -flow.log_prob(u[held_out], c[held_out]).mean(-1)

    state = start(flow, members, config.train)
    objective = TrainingObjective(batch_loss, held_out_loss, train)
    for _ in epochs(flow, objective, config.train, state, config.seed):
        pass
    load_best(flow.eval(), state)

    def sample(observation: np.ndarray, num_draws: int) -> np.ndarray:
        each, generator = -(-num_draws // members), torch.Generator().manual_seed(0)
        noise = torch.randn(members, each, theta.shape[1], generator=generator)
        given = (
            torch.tensor((observation - x_mean) / x_sd)
            .float()
            .expand(members, each, -1)
        )
        drawn = (
            flow.sample(noise, given).flatten(0, 1)[:num_draws].double().numpy() * sd
            + mean
        )
        return drawn if bound is None else bound * np.tanh(0.5 * drawn)

    return sample


def train_sbi(task: Task, theta: np.ndarray, x: np.ndarray, estimator: str) -> Sampler:
    """Neural posterior estimation of sbi with its defaults, given the prior as its users would."""
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    size = torch.ones(task.num_targets)
    if task.bound is None:
        prior = torch.distributions.MultivariateNormal(
            0 * size, 0.1 * torch.eye(task.num_targets)
        )
    else:
        prior = BoxUniform(-task.bound * size, task.bound * size)
    inference = NPE(prior=prior, density_estimator=estimator, show_progress_bars=False)
    inference.append_simulations(
        torch.tensor(theta).float(), torch.tensor(x).float()
    ).train()
    posterior = inference.build_posterior()

    def sample(observation: np.ndarray, num_draws: int) -> np.ndarray:
        given = torch.tensor(observation).float()
        return (
            posterior.sample((num_draws,), x=given, show_progress_bars=False)
            .double()
            .numpy()
        )

    return sample


def c2st(reference: np.ndarray, samples: np.ndarray, seed: int = 1) -> float:
    """Accuracy with which a classifier tells two samples apart: 0.5 is perfect (Lopez-Paz &
    Oquab 2017).
    """
    mean, sd, width = (
        reference.mean(0),
        reference.std(0, ddof=1),
        10 * reference.shape[1],
    )
    data = np.concatenate([(reference - mean) / sd, (samples - mean) / sd])
    label = np.repeat([0, 1], [len(reference), len(samples)])
    network = MLPClassifier((width, width), max_iter=10_000, random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    return float(
        cross_val_score(network, data, label, cv=folds, scoring="accuracy").mean()
    )


def check(wheel: Path) -> None:
    """Simulations at the true parameters surround the observations of the wheel."""
    for name, task in TASKS.items():
        worst = 0.0
        for number in range(1, NUM_OBSERVATIONS + 1):
            observation, reference, true = read_reference(wheel, name, number)
            again = task.simulate(
                np.repeat(true, 20_000, 0), np.random.default_rng(number)
            )
            worst = max(
                worst, np.abs((observation[0] - again.mean(0)) / again.std(0)).max()
            )
            if task.bound is None:  # closed form: precision 10 + 10
                error = (
                    np.abs(reference.mean(0) - 0.5 * observation[0]).max(),
                    abs(reference.std() ** 2 - 0.05),
                )
                assert reference.std(0).max() < 0.25, error
        print(
            f"{name}: observations lie within {worst:.1f} standard deviations of simulations at the true parameters"
        )


def run(
    name: str, method: str, wheel: Path, args: argparse.Namespace
) -> dict[str, object]:
    """Train one method on one task and judge it on every observation."""
    task, rng = TASKS[name], np.random.default_rng(args.seed)
    theta = task.prior(NUM_SIMULATIONS, rng)
    x = task.simulate(theta, rng)
    torch.manual_seed(args.seed)
    begin = time.perf_counter()
    if method.startswith("sbi"):
        sampler = train_sbi(task, theta, x, method.split()[-1])
    else:
        sampler = train_ours(task, theta, x, settings(method, args))
    seconds, scores = time.perf_counter() - begin, []
    for number in range(1, NUM_OBSERVATIONS + 1):
        observation, reference, _ = read_reference(wheel, name, number)
        scores.append(c2st(reference[: args.draws], sampler(observation, args.draws)))
        print(f"{name}, {method}, observation {number}: {scores[-1]:.3f}", flush=True)
    return {"c2st": scores, "train_seconds": seconds, "draws": args.draws}


def table(kept: dict[str, dict[str, object]]) -> str:
    """Mean over observations, with its standard error, in markdown."""
    methods = list(dict.fromkeys(key.split("/")[1] for key in kept))
    lines = [
        f"| C2ST, 0.5 is perfect | {' | '.join(methods)} |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for name in TASKS:
        cells = []
        for method in methods:
            scores = np.array(
                kept.get(f"{name}/{method}", {}).get("c2st", []), dtype=float
            )
            cells.append(
                f"{scores.mean():.3f} +- {scores.std(ddof=1) / len(scores) ** 0.5:.3f}"
                if len(scores)
                else ""
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path("sbibm.json"))
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument(
        "--methods", nargs="*", default=["autoregressive", "sbi maf", "sbi nsf"]
    )
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument(
        "--draws",
        type=int,
        default=10_000,
        help="draws and reference samples that are compared",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--again", action="store_true", help="do these tasks and methods anew"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only check the simulators against the wheel",
    )
    parser.add_argument(
        "--table", action="store_true", help="only rewrite the table of docs/sbibm.md"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check:
        return check(args.wheel)
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, method in (
        []
        if args.table
        else [(name, method) for method in args.methods for name in args.tasks]
    ):
        if args.again or f"{name}/{method}" not in kept:
            done = run(name, method, args.wheel, args)
            kept = json.loads(args.out.read_text()) if args.out.exists() else {}
            kept[f"{name}/{method}"] = done
            args.out.write_text(json.dumps(kept, indent=1))
    print(table(kept))
    if DOCS.exists():
        page = DOCS.read_text(encoding="utf-8")
        before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
        DOCS.write_text(
            f"{before}{MARKS[0]}\n{table(kept)}\n{MARKS[1]}{after}", encoding="utf-8"
        )
    return None


if __name__ == "__main__":
    main()
