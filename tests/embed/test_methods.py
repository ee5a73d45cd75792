"""Every method learns, follows with its momentum encoder, and never takes a cluster's own
snapshots for negatives."""

from __future__ import annotations

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from cinn_clusters.embed.backbones import SMALL, make_backbone, seeded
from cinn_clusters.embed.method import cosine_momentum
from cinn_clusters.embed.methods import SELF_SUPERVISED, make_method
from cinn_clusters.embed.moco import MoCoV2
from cinn_clusters.embed.simclr import info_nce
from cinn_clusters.embed.supervised import Joint, Supervised
from cinn_clusters.errors import ConfigError
from cinn_clusters.settings.embedding import (
    MoCoV2Config,
    SupervisedConfig,
    read_embed_config,
)
from support import glow


def tiny() -> nn.Module:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 8)
    )
    network.num_features = 8  # type: ignore[assignment]
    return network


def batch(seed: int = 0, num: int = 24) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(num, 1, 8, 8, generator=generator)
    views = [
        base + 0.1 * torch.randn(base.shape, generator=generator) for _ in range(2)
    ]
    return views, torch.arange(num) // 3


@pytest.mark.parametrize("name", SELF_SUPERVISED)
def test_a_method_learns(name: str) -> None:
    torch.manual_seed(0)
    method = make_method(
        read_embed_config(changes=[f"embed.method={name}", "mocov2.queue=24"]), tiny()
    )
    adam = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], 3e-3)
    views, clusters = batch()
    losses = []
    if name == "dino":
        method.divergence.center_momentum = 1.0  # type: ignore[union-attr]  # a moving centre raises the loss at first
    for step in range(60):
        adam.zero_grad()
        loss = method.loss(views, clusters, torch.empty(24, 0))
        loss.backward()
        adam.step()
        method.after_step(step / 60)
        losses.append(float(loss.detach()))
    start = (
        losses[2:5] if name == "mocov2" else losses[:3]
    )  # its queue is empty at first
    assert min(losses[-5:]) < min(start)
    assert all(torch.isfinite(torch.tensor(losses)))


@pytest.mark.parametrize("name", ["mocov2", "mocov3", "byol", "dino"])
def test_momentum_encoders_follow(name: str) -> None:
    method = make_method(read_embed_config(changes=[f"embed.method={name}"]), tiny())
    follower = next(method.key_backbone.parameters())  # type: ignore[union-attr]
    assert not follower.requires_grad
    leader = next(method.backbone.parameters())
    before = follower.clone()
    with torch.no_grad():
        leader += 1.0
    method.after_step(0.0)
    torch.testing.assert_close(
        follower - before, torch.full_like(before, 0.01), atol=1e-5, rtol=0
    )


def test_momentum_rises_to_one() -> None:
    assert cosine_momentum(0.9, 0.0) == pytest.approx(0.9)
    assert cosine_momentum(0.9, 1.0) == pytest.approx(1.0)


def test_contrast_is_that_of_lightly_when_all_clusters_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 16, 8, generator=generator)
    ours = 0.5 * (
        info_nce(first, second, torch.arange(16), 0.3, same=True)
        + info_nce(second, first, torch.arange(16), 0.3, same=True)
    )
    torch.testing.assert_close(ours, NTXentLoss(temperature=0.3)(first, second))


@pytest.mark.parametrize("same", [False, True])
def test_snapshots_of_one_cluster_are_no_negatives(same: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, 8, generator=generator)
    clusters = torch.tensor([0, 0, 1, 2, 3, 4])

    first.requires_grad_()
    keys = second.clone().requires_grad_()
    info_nce(first, keys, torch.zeros(6), 0.2, same=same).backward()
    # all one cluster: only the own key is left, the loss is zero whatever the vectors
    torch.testing.assert_close(keys.grad, torch.zeros_like(keys))
    assert float(info_nce(first.detach(), second, clusters, 0.2, same=same)) > 0.0


def test_the_queue_forgets_and_knows_clusters() -> None:
    method = MoCoV2(tiny(), MoCoV2Config(queue=40))
    views, clusters = batch()
    assert float(
        method.loss(views, clusters, torch.empty(24, 0)).detach()
    ) == pytest.approx(0.0)  # no negatives yet
    assert (method.queue_clusters >= 0).sum() == 24
    method.loss(views, clusters + 100, torch.empty(24, 0))
    assert set(method.queue_clusters[:24].tolist()) == set((clusters + 100).tolist())
    method.queue_clusters.fill_(7)
    seven = torch.full((24,), 7)
    assert float(
        method.loss(views, seven, torch.empty(24, 0)).detach()
    ) == pytest.approx(0.0)


def test_supervised_ignores_what_is_not_known() -> None:
    method = Supervised(tiny(), SupervisedConfig(), 2).eval()
    views, clusters = batch()
    labels = torch.zeros(24, 2)
    labels[::2] = torch.nan
    loss = method.loss(views[:1], clusters, labels)
    loss.backward()
    assert all(
        torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None
    )
    torch.testing.assert_close(
        loss, method.loss([views[0][1::2]], clusters[1::2], labels[1::2])
    )


def test_the_joint_loss_is_that_of_the_density() -> None:
    flow = glow(2, 3 + 4, blocks=1, hidden=4)
    method = Joint(tiny(), density=flow, num_targets=2, outputs=4, seed=0).eval()
    views, clusters = batch()
    labels = torch.randn(24, 5)
    told = method.head(method.backbone(views[0]))
    expected = -flow.log_prob(
        labels[None, :, :2], torch.cat([labels[:, 2:], told], 1)[None]
    ).mean()
    torch.testing.assert_close(method.loss(views[:1], clusters, labels), expected)


def test_backbones() -> None:
    small = make_backbone(SMALL, 0).eval()
    assert small(torch.rand(2, 1, 64, 64)).shape == (2, small.num_features) == (2, 512)
    resnet = make_backbone("resnet18", 0).eval()
    assert (
        resnet(torch.rand(2, 1, 64, 64)).shape == (2, resnet.num_features) == (2, 512)
    )
    with pytest.raises(ConfigError, match="another model of timm"):
        make_backbone("resnet19", 0)


def test_weights_are_seeded_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (make_backbone(SMALL, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one["backbone.0.weight"], two["backbone.0.weight"])
    assert not torch.equal(one["backbone.0.weight"], other["backbone.0.weight"])
    with seeded(3, "a"):
        drawn = torch.rand(1)
    with seeded(3, "a"):
        assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("embed.method=moco", "embed.method"),
        ("simclr.warmth=1", "simclr.warmth"),
        ("simclr.temperature=-1", "greater than 0"),
        ("byol.views.zoom=2", "byol.views.zoom"),
        ("views.blur_share=2", "views.blur_share"),
        ("embed.colour=1", "known"),
        ("embed.devices=3", "multiple of 3"),
    ],
)
def test_settings_are_checked(change: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_embed_config(changes=[change])
