"""Compute devices: selection, precision, memory, threads, and GPUs of parallel workers."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from image_translation.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name
        "auto" (CUDA if available, else MPS, else the CPU), or the name of a PyTorch device: "cpu", "cuda", "cuda:1",
        "mps".

    Raises
    ------
    UsageError
        If the device is not available.
    """
    available = list(_available_devices())
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        msg = f"--device {name}: not available here; choose auto or one of {', '.join(available)}"
        raise UsageError(msg)
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype of automatic mixed precision.

    Parameters
    ----------
    name
        "fp32", "bf16" or "fp16".
    device
        Device to compute on.

    Returns
    -------
    torch.dtype or None
        None for "fp32", which casts nothing.

    Raises
    ------
    UsageError
        If the name is unknown, or "fp16" is requested on the CPU.
    """
    if name not in get_args(Precision):
        msg = f"--precision {name}: must be one of {', '.join(get_args(Precision))}"
        raise UsageError(msg)
    if name == "fp16" and device.type == "cpu":
        msg = "--precision fp16: not supported on the CPU; use fp32 or bf16, or choose an accelerator with --device"
        raise UsageError(msg)
    return _AUTOCAST.get(name)


def empty_cache() -> None:
    """Release cached memory of accelerators that no tensor uses."""
    torch.cuda.empty_cache()  # no effect if CUDA is not in use
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def free_memory(device: torch.device) -> int:
    """Return the free memory of a CUDA device in bytes, including what PyTorch has cached for reuse."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation instead of returning it to the system.

    The features of a network are large arrays that live for one layer. By default each one is mapped anew and its pages
    are zeroed at first touch, which takes a third to a half of the time of a frame of 1000 x 1100 pixels in a small
    network. The setting applies to the whole process. It has no effect without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        # One arena: otherwise each thread keeps freed memory of its own, which grows over time.
        mallopt(_M_ARENA_MAX, 1)


def limit_threads(count: int) -> None:
    """Limit the number of CPU threads that PyTorch and OpenCV use in this process."""
    import cv2

    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def spread_over_gpus(name: str, worker: object) -> str:
    """Assign a GPU to a worker process, so that the workers of one machine share its GPUs evenly.

    Parameters
    ----------
    name
        Requested device, as for `resolve_device`.
    worker
        Number of the worker. Anything else is a worker of a cluster that shows each worker its own GPU.

    Returns
    -------
    str
        ``cuda:N`` if "auto" or "cuda" was requested and there are several GPUs; else `name`.
    """
    count = torch.cuda.device_count() if name in {"auto", "cuda"} and torch.cuda.is_available() else 0
    return f"cuda:{worker % count}" if count > 1 and isinstance(worker, int) else name


def _available_devices() -> Iterator[str]:
    """Yield the names of the available devices, the preferred one first."""
    if torch.cuda.is_available():
        yield "cuda"
        yield from (f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"
