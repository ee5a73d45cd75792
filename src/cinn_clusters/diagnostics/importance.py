"""Importance of observables: how much worse a prediction gets when they are shuffled.

A model enters only by the loss that it makes of observables: ``loss(x)`` is (N, D), one value for
each row and target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import comb

import numpy as np

RowLoss = Callable[[np.ndarray], np.ndarray]
Groups = Sequence[Sequence[int]]
"""Columns of x that are shuffled together."""
Coalition = frozenset[int]
"""Groups that a prediction may use."""
MAX_GROUPS = 12


def permutation_importance(
    loss: RowLoss,
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
        loss: Loss of each row and target given observables, (N, L) to (N, D).
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
        >>> loss = lambda x: np.abs(x[:, :1] - [[1.0], [2.0], [3.0]])
        >>> increase = permutation_importance(loss, x, [[0], [1]])
        >>> bool(increase[0].mean() > 0.5), float(increase[1].mean())
        (True, 0.0)
    """
    orders = _orders(len(x), num_repeats, seed)
    losses = [_shuffled_loss(loss, x, group, orders) for group in groups]
    shuffled = np.stack(losses)  # (G, N, D)
    intact = loss(x)  # (N, D)
    increase: np.ndarray = shuffled - intact
    return increase


def sage_values(
    loss: RowLoss,
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
        loss: Loss of each row and target given observables, (N, L) to (N, D).
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
    losses = {}
    for coalition in _coalitions(num_groups):
        absent = [k for k in range(num_groups) if k not in coalition]
        columns = [column for k in absent for column in groups[k]]
        losses[coalition] = _shuffled_loss(loss, x, columns, orders)

    values = [_shapley_value(losses, k, num_groups) for k in range(num_groups)]
    return np.stack(values)  # (G, N, D)


def _coalitions(num_groups: int) -> Iterator[Coalition]:
    """All 2^G subsets of the groups, the smallest first."""
    numbers = range(num_groups)
    for size in range(num_groups + 1):
        members = combinations(numbers, size)
        yield from map(frozenset, members)


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


def _shuffled_loss(
    loss: RowLoss, x: np.ndarray, columns: Sequence[int], orders: list[np.ndarray]
) -> np.ndarray:
    """Loss (N, D) with columns shuffled, averaged over permutations."""
    if not columns:
        return loss(x)

    losses = []
    for order in orders:
        shuffled = x.copy()
        shuffled[:, columns] = x[order][:, columns]
        losses.append(loss(shuffled))

    mean_loss: np.ndarray = np.mean(losses, axis=0)
    return mean_loss
