"""One seed, many independent named streams: nothing in the package draws from a global
generator.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, *name: str | int) -> int:
    """Return a 63-bit seed for the stream ``name`` of ``seed``.

    Streams of different names are independent; adding a stream never shifts another one.

    Args:
        seed: The run's seed.
        name: What the stream is for, e.g. ``("epoch", 3)``.

    Returns:
        An integer in [0, 2**63).

    Examples:
        >>> stream_seed(1, "epoch", 3) == stream_seed(1, "epoch", 3)
        True
        >>> stream_seed(1, "epoch", 3) == stream_seed(1, "epoch", 4)
        False
    """
    return number_of(repr((int(seed), *name)).encode())


def number_of(content: bytes) -> int:
    """Return a number in [0, 2**63) that stands for some bytes."""
    digest = hashlib.sha256(content).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """Return a numpy generator for the stream ``name`` of ``seed``."""
    return np.random.default_rng(stream_seed(seed, *name))


def torch_stream(seed: int, *name: str | int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator for the stream ``name`` of ``seed``."""
    import torch

    return torch.Generator(device=device).manual_seed(stream_seed(seed, *name))
