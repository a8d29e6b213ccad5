"""Fresh processes, so that the memory and thread settings of one measurement do not affect another."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment in which numerical libraries use one thread."""


class FreshProcess:
    """A spawned process that runs calls one after the other; as a context manager, it ends at the exit.

    Parameters
    ----------
    environment
        Variables that are set before anything but this module and the main program is imported, because libraries read
        some of them at import.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        variables = {"TQDM_DISABLE": "1", **(environment or {})}
        self._pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_set_environment, initargs=(variables,)
        )

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run a module-level function in the process, and return its result."""
        return self._pool.submit(function, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)
