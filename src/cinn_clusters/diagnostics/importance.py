"""Which observable a prediction leans on: take columns away, see how much worse it gets.

All functions know a model only by the loss it makes of observables: ``loss(x)`` is (N, D), one
value a row and target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import numpy as np

Loss = Callable[[np.ndarray], np.ndarray]
Groups = Sequence[Sequence[int]]
"""Columns that are taken away together."""


def shuffle_increase(
    loss: Loss, x: np.ndarray, groups: Groups, *, num_repeats: int = 20, seed: int = 0
) -> np.ndarray:
    """Increase of the loss when columns are shuffled between rows, what they tell of a row destroyed.

    What two columns share is not missed when one of them is shuffled: shuffle them as a group.

    Args:
        loss: See above.
        x: Observables of the test rows, (N, L).
        groups: G groups of columns; those of one group move together.
        num_repeats: Permutations to average over, the same for every group.
        seed: Their seed.

    Returns:
        Mean increase of each row, (G, N, D); its mean over rows is the permutation importance.

    References:
        Breiman (2001), Random forests, section 10; Fisher, Rudin & Dominici (2019),
        arXiv:1801.01489.

    Examples:
        >>> x = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
        >>> increase = shuffle_increase(lambda x: np.abs(x[:, :1] - [[1.0], [2.0], [3.0]]), x, [[0], [1]])
        >>> bool(increase[0].mean() > 0.5), float(increase[1].mean())
        (True, 0.0)
    """
    untouched = loss(x)
    orders = _orders(len(x), num_repeats, seed)
    return np.stack(
        [np.mean([loss(_shuffled(x, g, o)) for o in orders], axis=0) - untouched for g in groups]
    )


def shapley_saving(
    loss: Loss, x: np.ndarray, groups: Groups, *, num_repeats: int = 10, seed: int = 0
) -> np.ndarray:
    """Share of each group in the loss that the observables save together, exactly over all coalitions of groups.

    Columns outside a coalition are shuffled together; what two groups both tell is divided between
    them.

    Args:
        loss: See above.
        x: Observables of the test rows, (N, L).
        groups: G groups of columns; 2^G coalitions are tried, so that G is to be small.
        num_repeats: Permutations to average over.
        seed: Their seed.

    Returns:
        Mean saving of each row, (G, N, D); it sums over groups to the loss with all of them
        shuffled minus that with none.

    Raises:
        ValueError: If there are more than 12 groups.

    References:
        Shapley (1953); Covert, Lundberg & Lee (2020), arXiv:2004.00668, eq. (5) for the loss.
    """
    num_groups = len(groups)
    if num_groups > 12:
        raise ValueError(
            f"shapley_saving: expected at most 12 groups; got {num_groups}, which makes 2^{num_groups} coalitions"
        )
    orders = _orders(len(x), num_repeats, seed)
    everyone = range(num_groups)
    of: dict[tuple[int, ...], np.ndarray] = {}
    for size in range(num_groups + 1):
        for known in combinations(everyone, size):
            away = [column for group in everyone if group not in known for column in groups[group]]
            of[known] = (
                np.mean([loss(_shuffled(x, away, o)) for o in orders], axis=0) if away else loss(x)
            )
    savings = []
    for group in everyone:
        total = np.zeros_like(of[()])
        for known in (coalition for coalition in of if group not in coalition):
            share = 1.0 / (num_groups * comb(num_groups - 1, len(known)))
            total += share * (of[known] - of[tuple(sorted((*known, group)))])
        savings.append(total)
    return np.stack(savings)


def _orders(num_rows: int, num_repeats: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(num_rows) for _ in range(num_repeats)]


def _shuffled(x: np.ndarray, columns: Sequence[int], order: np.ndarray) -> np.ndarray:
    moved = x.copy()
    moved[:, list(columns)] = x[order][:, list(columns)]
    return moved
