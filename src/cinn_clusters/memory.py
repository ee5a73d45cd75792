"""Room in memory, asked for before it is taken: a size that a file states may be anything."""

from __future__ import annotations

import os
import resource

from cinn_clusters.errors import DataError

_GIBIBYTE = 2**30


def demand_room(num_bytes: float, subject: object, hint: str = "") -> None:
    """Refuse what does not fit in the memory of this machine, or of this process.

    Args:
        num_bytes: That will be taken.
        subject: What would take it.
        hint: What to do instead.

    Raises:
        DataError: If there is not so much.

    Examples:
        >>> demand_room(1e18, "100 maps")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        cinn_clusters.errors.DataError: 100 maps: expected at most 24 GiB of memory; got ...
    """
    room = _room()
    if num_bytes > room:
        expected = f"at most {room / _GIBIBYTE:.2g} GiB of memory"
        got = f"{num_bytes / _GIBIBYTE:.3g} GiB"
        raise DataError(str(subject), expected, got, "", hint)


def _room() -> int:
    """Bytes of the machine, or that the limits of this process leave."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return physical
    return min(physical, max(limit - _size(), 0))


def _size() -> int:
    """Bytes of addresses that this process holds, where the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
