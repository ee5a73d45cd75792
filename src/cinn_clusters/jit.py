"""numba's compiler with the options of the house.

Kernels release the lock of the interpreter, may fuse a product and a sum into one operation, and
are cached, so that a machine compiles them once. Modules of kernels are imported when they are
first used: importing numba takes longer than a small answer.

numba keeps code by the bytes of one function and the date of its file. A kernel here is made of
functions of several files, whose content its code is kept by, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

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
    compiled = njit(function, **_OPTIONS)
    with suppress(RuntimeError):
        compiled._cache = _KernelCache(function)
    return cast(Kernel, compiled)


class _KernelCache(FunctionCache):
    """Compiled code of a kernel and of the functions that are copied into it."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        of_function = super()._index_key(sig, codegen)
        return *of_function, _digest(self._py_func)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code, if there is room for it."""
        with suppress(OSError):
            super().save_overload(sig, data)


def _digest(function: Callable[..., Any]) -> str:
    """Of all modules beside that of a kernel and one folder above."""
    folder = Path(function.__code__.co_filename).parent
    digest = hashlib.sha256()
    for place in (folder, folder.parent):
        for path in sorted(place.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def inlined(function: Kernel) -> Kernel:
    """Compile a small function once, and copy it to wherever kernels call it."""
    return cast(Kernel, njit(function, forceinline=True, **_INNER))


def part(function: Kernel) -> Kernel:
    """Take a function as lines of the one that calls it.

    A large function that is compiled alone is optimised again in every one around it: parts, each
    called in one place, bring the time of compilation down to a half.
    """
    return cast(Kernel, njit(function, inline="always", **_INNER))
