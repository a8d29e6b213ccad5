"""Threads for independent parts of the computation of one frame.

NumPy computes an operation on one thread, but lets others run meanwhile. The number of threads is OpenCV's, which is
set together with that of the network, and there are none where it is 1.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import cv2

_R = TypeVar("_R")


def parallel(function: Callable[..., _R], *arguments: Iterable[Any]) -> list[_R]:
    """Apply a function to corresponding arguments like `map`, in threads; return the results in order.

    The function must not call `parallel` itself: its threads could wait for each other forever.
    """
    threads = cv2.getNumThreads()
    return list(map(function, *arguments)) if threads <= 1 else list(_pool(threads).map(function, *arguments))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="temporal")
