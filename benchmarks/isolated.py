"""Fresh processes, so that what one contestant does to memory and threads is not felt by another."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class FreshProcess:
    """A process that runs one call after the other; a context manager that ends it.

    Parameters
    ----------
    environment
        Variables that are set before anything but this module and the program is imported; libraries read some then.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        variables = {"TQDM_DISABLE": "1", **(environment or {})}
        self._pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_set_environment, initargs=(variables,)
        )

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run a function of a module there, and return its result."""
        return self._pool.submit(function, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)
