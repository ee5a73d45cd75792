"""Vectors of maps: the mean over the orientations of a square, from a network whose
normalisations are folded."""

from __future__ import annotations

import numpy as np
import torch

from cinn_clusters.embed.backbones import Sharpened, SmallNetwork, make_backbone
from cinn_clusters.embed.encode import encode, orientations

MAPS = torch.rand(10, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def trained_looking() -> Sharpened:
    """Normalisations that have seen something, as after training."""
    encoder = make_backbone("small", 1)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(2))  # type: ignore[union-attr]
            module.running_var.uniform_(
                0.5, 2.0, generator=torch.Generator().manual_seed(3)
            )  # type: ignore[union-attr]
    return encoder.eval()


def test_folded_normalisations_change_nothing() -> None:
    network = trained_looking().backbone
    assert isinstance(network, SmallNetwork)
    with torch.inference_mode():
        torch.testing.assert_close(network.fused()(MAPS), network(MAPS))
    assert any(
        isinstance(module, torch.nn.BatchNorm2d) for module in network
    )  # the trained one is left as it was


def test_vectors_are_means_over_orientations_and_do_not_feel_them() -> None:
    encoder = trained_looking()
    vectors = encode(encoder, MAPS, batch=4)
    with torch.inference_mode():
        expected = torch.stack([encoder(turned) for turned in orientations(MAPS)]).mean(
            0
        )
        alone = encoder(MAPS) - encoder(torch.rot90(MAPS, 1, (2, 3)))
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    assert alone.abs().max() > 1e-2
    for turned in orientations(MAPS):
        np.testing.assert_allclose(encode(encoder, turned), vectors, atol=1e-5)


def test_orientations_are_the_eight_of_a_square() -> None:
    seen = {turned.numpy().tobytes() for turned in orientations(MAPS[:1])}
    assert len(seen) == 8
