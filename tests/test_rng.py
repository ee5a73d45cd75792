"""One seed, many streams: the same name gives the same numbers on every machine, another name
gives others."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.rng import numpy_stream, stream_seed, torch_stream

NAMES = [
    ("epoch", 1),
    ("epoch", 2),
    ("epoch", "1"),
    ("epoch",),
    ("draws", 1),
    ("e", "poch", 1),
    (),
    ("epoch", 1, 1),
]


@given(
    seed=st.integers(0, 2**63 - 1),
    name=st.text(max_size=8),
    number=st.integers(-5, 10**9),
)
def test_seed_is_a_non_negative_63_bit_number(
    seed: int, name: str, number: int
) -> None:
    assert 0 <= stream_seed(seed, name, number) < 2**63
    assert stream_seed(seed, name, number) != stream_seed(seed + 1, name, number)


def test_names_that_look_alike_are_different_streams() -> None:
    for one, other in combinations(NAMES, 2):
        assert stream_seed(7, *one) != stream_seed(7, *other), (one, other)


def test_seeds_never_change_between_versions() -> None:
    """Permutations and draws of old bundles hang on these two numbers."""
    assert stream_seed(42, "weights", 0) == 3599408939942830359
    assert stream_seed(0, "draws", 17) == 9083035918679933341


def test_numpy_integer_seed_is_the_same_seed() -> None:
    assert stream_seed(np.int64(3), "a") == stream_seed(3, "a")


def test_streams_repeat_and_differ() -> None:
    for stream, draw in (
        (numpy_stream, lambda g: g.random(8)),
        (torch_stream, lambda g: torch.rand(8, generator=g)),
    ):
        first, again, other = (
            np.asarray(draw(stream(1, *name)))
            for name in (("a", 0), ("a", 0), ("a", 1))
        )
        np.testing.assert_array_equal(first, again)
        assert not np.isclose(first, other).any()


def test_streams_leave_the_global_generators_alone() -> None:
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    numpy_stream(1, "a").random(5)
    torch.rand(5, generator=torch_stream(1, "a"))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
