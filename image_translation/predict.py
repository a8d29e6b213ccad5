"""Run a network on normalised images: pad, batch, device, precision, test-time augmentation, crop.

The network always sees the whole frame: its global response normalisation (Woo et al., "ConvNeXt V2", CVPR 2023) takes
a norm over the image, so that black borders and tile edges would reach every pixel. Frames are padded by reflection.
"""

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Crop = tuple[slice, slice]

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pad(image: NDArray[np.float32], stride: int) -> tuple[NDArray[np.float32], Crop]:
    """Pad an image by reflection, evenly on both sides, to a multiple of the stride.

    Parameters
    ----------
    image
        Shape (..., Y, X). Axes shorter than the padding are reflected again and again; an axis of one pixel repeats it.
    stride
        In pixels.

    Returns
    -------
    padded : ndarray
        Shape (..., Y', X'); the image itself where nothing is to be added.
    crop : tuple of slice
        ``padded[..., *crop]`` is the image.
    """
    height, width = image.shape[-2:]
    margins = [(-size % stride // 2, -size % stride - -size % stride // 2) for size in (height, width)]
    crop = (slice(margins[0][0], margins[0][0] + height), slice(margins[1][0], margins[1][0] + width))
    if not any(map(any, margins)):
        return image, crop
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + margins, mode="reflect"), crop


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


class Predictor:
    """A network on a device, from normalised images to predicted ones.

    Parameters
    ----------
    model
        (B, C_in, 1, Y, X) -> (B, C_out, 1, Y, X); it is moved to the device.
    stride
        Number of pixels of which the network needs height and width to be a multiple.
    device
        See `resolve_device`.
    precision
        See `resolve_precision`.
    batch_size
        Images that the caller should give at once; by default 1 on the CPU and 8 on an accelerator.
    tta
        Average over the eight rotations and flips of the image (test-time augmentation): eight times the work.

    Attributes
    ----------
    device : torch.device
        Where the network is.
    batch_size : int
        See above.

    Raises
    ------
    UsageError
        A device that is not there, a precision it cannot do, or a batch size below 1.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        stride: int,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        batch_size: int | None = None,
        tta: bool = False,
    ) -> None:
        self.device = resolve_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self._autocast = resolve_precision(precision, self.device)
        if batch_size is not None and batch_size < 1:
            msg = f"--batch-size {batch_size}: must be 1 or more"
            raise UsageError(msg)
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else 8)
        self._model = model.to(self.device).eval()
        self._stride = stride
        self._forward = self._augmented if tta else self._plain

    def predict(self, images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Predict a batch of images.

        Each prediction depends on its own image only, but for rounding.

        Parameters
        ----------
        images
            At least one, all of the same shape (C_in, Y, X), float32, normalised and finite.

        Returns
        -------
        list of ndarray
            For each image one of shape (C_out, Y, X), float32.

        Raises
        ------
        UsageError
            The batch does not fit into the memory of the device.
        DataError
            The network returns images of another size than it was given.
        """
        batch, crop = pad(np.stack(images), self._stride)
        try:
            output = self._run(torch.from_numpy(batch))
        except torch.OutOfMemoryError as error:
            msg = (
                f"--batch-size {self.batch_size}: {len(images)} images of {batch.shape[-2]} x {batch.shape[-1]} pixels "
                f"do not fit into the memory of {self.device}; use a smaller one, --precision bf16 or --device cpu"
            )
            raise UsageError(msg) from error
        if output.shape[-2:] != batch.shape[-2:]:
            msg = f"the network returns images of shape {output.shape[-2:]} for {batch.shape[-2:]}: it is no 2D stain"
            raise DataError(msg)
        return [np.ascontiguousarray(image[..., *crop]) for image in output]

    def _run(self, batch: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode(), self._precision():
            if self.device.type == "cuda":
                batch = batch.pin_memory()
            output = self._forward(batch.to(self.device, non_blocking=True))
            return output.float().cpu().numpy()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self._autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._autocast)

    def _plain(self, batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self._model(batch.unsqueeze(2))
        return output.squeeze(2)

    def _augmented(self, batch: torch.Tensor) -> torch.Tensor:
        axes = (-2, -1)
        total = torch.zeros((), device=batch.device)
        for turns in range(4):
            for flipped in ((), (-1,)):
                output = self._plain(batch.rot90(turns, axes).flip(flipped)).float()
                total = total + output.flip(flipped).rot90(-turns, axes)
        return total / 8


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
