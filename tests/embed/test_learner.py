"""The training loop: repeatable, resumed bit for bit, the same on two processes as Lightning
runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cinn_clusters.embed.learner import LearningState, MapSet, learn
from cinn_clusters.embed.method import Method
from cinn_clusters.embed.moco import MoCoV2
from cinn_clusters.embed.simclr import SimCLR
from cinn_clusters.errors import TrainingError
from cinn_clusters.settings.embedding import EmbedConfig, MoCoV2Config, SimCLRConfig

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of Lightning, about what it would do better


def settings(seed: int = 42, **options: object) -> EmbedConfig:
    embed = {"batch": 16, "positives": "views", **options}
    return EmbedConfig.model_validate({"seed": seed, "embed": embed})


OPTIONS = settings(epochs=4, learning_rate=1e-2)


def tiny(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(256, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 8),
    )
    network.num_features = 8  # type: ignore[assignment]
    return network


def data(num: int = 48) -> MapSet:
    maps = torch.rand(num, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    partners = (torch.arange(num) // 3 * 3)[:, None] + (
        torch.arange(num)[:, None] + torch.tensor([1, 2])
    ) % 3
    return MapSet(maps, torch.arange(num) // 6, torch.empty(num, 0), partners)


def simclr(seed: int = 0) -> Method:
    return SimCLR(tiny(seed), SimCLRConfig())


def moco(seed: int = 0) -> Method:
    return MoCoV2(tiny(seed), MoCoV2Config())


@pytest.mark.parametrize("make", [simclr, moco])
def test_a_resumed_training_is_the_uninterrupted_one(
    make: Callable[..., Method],
) -> None:
    states: list[LearningState] = []
    torch.manual_seed(1)
    whole = make()
    history = learn(whole, data(), OPTIONS, on_epoch=states.append)
    assert [state.epoch for state in states] == [1, 2, 3, 4]
    torch.manual_seed(2)
    resumed = make(5)
    again = learn(resumed, data(), OPTIONS, progress=states[1])
    assert again == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_seeds_decide() -> None:
    def trained(seed: int) -> list[float]:
        torch.manual_seed(0)
        return learn(simclr(), data(), settings(seed, epochs=1))

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


@pytest.mark.parametrize("positives", ["views", "projections"])
def test_pairs_are_what_was_asked_for(
    positives: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    from cinn_clusters.embed import learner as module

    kept = module.Learner._pair

    def spy(
        self: module.Learner, rows: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(kept(self, rows, generator))
        return seen[-1]

    monkeypatch.setattr(module.Learner, "_pair", spy)
    learn(simclr(), data(), settings(epochs=1, positives=positives))
    maps = data().maps
    for first, second in seen:
        rows = [int((maps == one).flatten(1).all(1).nonzero()) for one in first]
        others = [int((maps == one).flatten(1).all(1).nonzero()) for one in second]
        if positives == "views":
            assert rows == others
        else:
            assert all(
                a // 3 == b // 3 and a != b for a, b in zip(rows, others, strict=True)
            )


def test_too_few_maps_and_a_loss_that_is_not_finite() -> None:
    with pytest.raises(TrainingError, match="at least one batch of 64"):
        learn(simclr(), data(), settings(batch=64))
    method = simclr()
    with torch.no_grad():
        next(method.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match="finite loss"):
        learn(method, data(), OPTIONS)


def test_two_processes_see_the_negatives_of_both(tmp_path: Path) -> None:
    """Mean loss and gradients of two halves of a batch are those of the batch in one process."""
    script = tmp_path / "both.py"
    script.write_text(
        "import sys, torch\n"
        "from torch import distributed\n"
        "from torch.multiprocessing import spawn\n"
        "from cinn_clusters.embed.simclr import info_nce\n"
        "first, second = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))\n"
        "clusters = torch.tensor([0, 0, 1, 2, 2, 3, 1, 4])\n"
        "def loss(weight, rows):\n"
        "    return info_nce(first[rows] @ weight, second[rows] @ weight, clusters[rows], 0.2, same=True)\n"
        "def half(rank, init):\n"
        "    distributed.init_process_group('gloo', init_method=init, rank=rank, world_size=2)\n"
        "    weight = torch.eye(4, requires_grad=True)\n"
        "    value = loss(weight, slice(4 * rank, 4 * rank + 4))\n"
        "    value.backward()\n"
        "    told = torch.cat([value.detach()[None], weight.grad.flatten()])\n"
        "    distributed.all_reduce(told)\n"
        "    whole = torch.eye(4, requires_grad=True)\n"
        "    distributed.destroy_process_group()\n"
        "    value = loss(whole, slice(None))\n"
        "    value.backward()\n"
        "    expected = torch.cat([value.detach()[None], whole.grad.flatten()])\n"
        "    torch.testing.assert_close(told / 2, expected)\n"
        "if __name__ == '__main__':\n"
        "    spawn(half, (sys.argv[1],), nprocs=2)\n"
        "    print('alike')\n"
    )
    address = f"file://{tmp_path / 'meeting'}"
    done = subprocess.run(
        [sys.executable, str(script), address],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "alike" in done.stdout, done.stderr[-2000:]


def test_two_processes_train_one_encoder(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_learner import *\n"
        "if __name__ == '__main__':\n"
        "    torch.manual_seed(1)\n"
        "    method = simclr()\n"
        "    before = [p.clone() for p in method.parameters()]\n"
        "    history = learn(method, data(), settings(epochs=2, devices=2))\n"
        "    assert len(history) == 2, history\n"
        "    assert any(not torch.equal(a, b) for a, b in zip(before, method.parameters()))\n"
        "    print('trained')\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "trained" in done.stdout, done.stderr[-2000:]
