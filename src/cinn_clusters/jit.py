"""numba's compiler with the options of the house.

Kernels release the lock of the interpreter, may fuse a product and a sum into one operation, and
are cached, so that a machine compiles them once. Modules of kernels are imported when they are
first used: importing numba takes longer than a small answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS = {
    "error_model": "numpy",
    "fastmath": {"contract"},
    "nogil": True,
    "_nrt": False,  # no reference counts: kernels make no arrays, and threads share some
}
_INNER = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that only kernels call."""


def kernel(function: Kernel) -> Kernel:
    """Compile a function when it is first called; the code is kept where numba finds a place."""
    try:
        compiled = njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # no folder for the cache can be written to
        compiled = njit(function, **_OPTIONS)
    return cast(Kernel, compiled)


def inlined(function: Kernel) -> Kernel:
    """Compile a small function once, and copy it to wherever kernels call it."""
    return cast(Kernel, njit(function, forceinline=True, **_INNER))


def part(function: Kernel) -> Kernel:
    """Take a function as lines of the one that calls it.

    A large function that is compiled alone is optimised again in every one around it: parts, each
    called in one place, bring the time of compilation down to a half.
    """
    return cast(Kernel, njit(function, inline="always", **_INNER))
