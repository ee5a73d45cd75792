"""Importance of observables: how much worse a prediction gets when they are shuffled.

A model enters only by the loss that it makes of observables: ``loss(x)`` is (C, N, D), one value for
each row and target of C copies of the rows, whose columns are shuffled in different ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from math import comb

import numpy as np

CopiesLoss = Callable[[np.ndarray], np.ndarray]
Groups = Sequence[Sequence[int]]
"""Columns of x that are shuffled together."""
Coalition = frozenset[int]
"""Groups that a prediction may use."""
MAX_GROUPS = 12
ROWS_A_BATCH = 16_384
"""Rows of all copies that a loss is asked for at once: it bounds memory."""


def permutation_importance(
    loss: CopiesLoss,
    x: np.ndarray,
    groups: Groups,
    *,
    num_repeats: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """Increase of the loss when columns are shuffled between rows.

    Information that two columns share is not missed when one of them is shuffled: shuffle them as
    a group.

    Args:
        loss: Loss of each row and target of copies of the observables, (C, N, L) to (C, N, D).
        x: Observables of the test rows, (N, L).
        groups: G groups of columns; those of one group move together.
        num_repeats: Number of permutations to average over, the same for every group.
        seed: Seed of the permutations.

    Returns:
        Mean increase of each row, (G, N, D); its mean over rows is the permutation importance.

    References:
        Breiman (2001), Random forests, section 10; Fisher+19, arXiv:1801.01489.

    Examples:
        >>> x = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
        >>> loss = lambda x: np.abs(x[..., :1] - [[1.0], [2.0], [3.0]])
        >>> increase = permutation_importance(loss, x, [[0], [1]])
        >>> bool(increase[0].mean() > 0.5), float(increase[1].mean())
        (True, 0.0)
    """
    orders = _orders(len(x), num_repeats, seed)
    intact, *shuffled = _losses(loss, x, [[], *groups], orders)
    increase: np.ndarray = np.stack(shuffled) - intact
    return increase


def sage_values(
    loss: CopiesLoss,
    x: np.ndarray,
    groups: Groups,
    *,
    num_repeats: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Shapley share of each group in the loss that all observables save together (SAGE).

    The value of a coalition of groups is the loss with all other columns shuffled together; all
    2^G coalitions are evaluated, so that information which groups share is divided exactly.

    Args:
        loss: Loss of each row and target of copies of the observables, (C, N, L) to (C, N, D).
        x: Observables of the test rows, (N, L).
        groups: G groups of columns, at most 12.
        num_repeats: Number of permutations to average over.
        seed: Seed of the permutations.

    Returns:
        Mean saving of each row, (G, N, D); its sum over groups is the loss with all of them
        shuffled minus that with none.

    Raises:
        ValueError: If there are more than 12 groups.

    References:
        Shapley (1953); Covert, Lundberg & Lee (2020), arXiv:2004.00668, eq. (5) for the loss.
    """
    num_groups = len(groups)
    if num_groups > MAX_GROUPS:
        number = f"{num_groups}, which makes 2^{num_groups} coalitions"
        raise ValueError(
            f"sage_values: expected at most {MAX_GROUPS} groups; got {number}"
        )

    # the value v(C) of every coalition C: the loss with all other columns shuffled
    orders = _orders(len(x), num_repeats, seed)  # the same for all
    coalitions = list(_coalitions(num_groups))
    absent = [_columns_without(groups, coalition) for coalition in coalitions]
    of_coalitions = _losses(loss, x, absent, orders)
    losses = dict(zip(coalitions, of_coalitions, strict=True))

    values = [_shapley_value(losses, k, num_groups) for k in range(num_groups)]
    return np.stack(values)  # (G, N, D)


def _coalitions(num_groups: int) -> Iterator[Coalition]:
    """All 2^G subsets of the groups, the smallest first."""
    numbers = range(num_groups)
    for size in range(num_groups + 1):
        members = combinations(numbers, size)
        yield from map(frozenset, members)


def _columns_without(groups: Groups, coalition: Coalition) -> list[int]:
    """Columns of the groups that a coalition leaves out."""
    absent = [groups[k] for k in range(len(groups)) if k not in coalition]
    return [column for group in absent for column in group]


def _shapley_value(
    losses: dict[Coalition, np.ndarray], group: int, num_groups: int
) -> np.ndarray:
    """Weighted mean over coalitions of what a group saves when it joins, (N, D).

    phi_k = sum over C without k of (v(C) - v(C + k)) / (G binom(G - 1, |C|)).
    """
    savings = []
    for coalition, loss_without in losses.items():
        if group in coalition:
            continue

        joined = coalition | {group}
        saving = loss_without - losses[joined]

        num_alike = comb(num_groups - 1, len(coalition))
        weight = 1.0 / (num_groups * num_alike)
        savings.append(weight * saving)

    value: np.ndarray = np.sum(savings, axis=0)
    return value


def _orders(num_rows: int, num_repeats: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(num_rows) for _ in range(num_repeats)]


def _losses(
    loss: CopiesLoss, x: np.ndarray, subsets: Groups, orders: list[np.ndarray]
) -> list[np.ndarray]:
    """Loss (N, D) with each subset of columns shuffled, averaged over permutations."""
    copies_of_subset = [len(orders) if subset else 1 for subset in subsets]
    losses = np.concatenate(list(_batches(loss, x, subsets, orders)))  # (C, N, D)
    ends = np.cumsum(copies_of_subset)
    return [copies.mean(axis=0) for copies in np.split(losses, ends[:-1])]


def _batches(
    loss: CopiesLoss, x: np.ndarray, subsets: Groups, orders: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Losses of copies of the rows, as many copies at once as memory allows."""
    num_copies = max(1, ROWS_A_BATCH // len(x))
    copies = _copies(x, subsets, orders)
    while batch := list(islice(copies, num_copies)):
        yield loss(np.stack(batch))


def _copies(
    x: np.ndarray, subsets: Groups, orders: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Copies of the rows with a subset of columns in each order; one where nothing is shuffled."""
    for columns in subsets:
        if not columns:
            yield x
            continue
        for order in orders:
            shuffled = x.copy()
            shuffled[:, columns] = x[order][:, columns]
            yield shuffled
