"""Where a network runs: which devices there are, what they can do, and their memory."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from image_translation.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """Choose the device to compute on.

    Parameters
    ----------
    name
        "auto" (CUDA if there is one, else MPS, else the CPU), or a device as PyTorch names it: "cpu", "cuda",
        "cuda:1", "mps".

    Raises
    ------
    UsageError
        There is no such device.
    """
    there = list(_devices())
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        msg = f"--device {name}: there is no such device here; there is {', '.join(there)} (or auto)"
        raise UsageError(msg)
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Choose the dtype of automatic mixed precision.

    Parameters
    ----------
    name
        "fp32", "bf16" or "fp16".
    device
        Where it is to be computed.

    Returns
    -------
    torch.dtype or None
        None for "fp32": nothing is to be cast.

    Raises
    ------
    UsageError
        An unknown name, or "fp16" on the CPU.
    """
    if name not in PRECISIONS:
        msg = f"--precision {name}: must be one of {', '.join(PRECISIONS)}"
        raise UsageError(msg)
    if name == "fp16" and device.type == "cpu":
        msg = "--precision fp16: not on the CPU; use fp32 or bf16, or --device with an accelerator"
        raise UsageError(msg)
    return _AUTOCAST.get(name)


def empty_cache() -> None:
    """Give memory of accelerators that no tensor needs any more back to the system."""
    torch.cuda.empty_cache()  # does nothing where CUDA is not in use
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def free_memory(device: torch.device) -> int:
    """Tell how many bytes of an accelerator's memory can be had, those included that PyTorch keeps for reuse."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next allocation, instead of handing it back to the system.

    The features of a network are large arrays that live for one layer. By default each one is mapped anew and its pages
    are zeroed at first touch, which takes a third to a half of the time of a frame of 1000 x 1100 pixels in a small
    network. It holds for the whole process and for its main thread; there is no such call outside glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        # Else each thread that reads, filters or writes keeps freed memory of its own, more and more of it over time.
        mallopt(_M_ARENA_MAX, 1)


def _devices() -> Iterator[str]:
    """Yield the names of the devices there are, the best first."""
    if torch.cuda.is_available():
        yield "cuda"
        yield from (f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"
