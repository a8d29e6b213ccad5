"""Run a network on normalised images: padding, batches, mixed precision, test-time augmentation, cropping.

The network is always applied to the full frame, padded by reflection: its global response normalisation (Woo et al.,
"ConvNeXt V2", CVPR 2023) is a norm over the image, so that black borders or tiles would change every pixel.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError
from image_translation.network.compilation import Backend, CompiledNetwork
from image_translation.network.devices import (
    Precision,
    empty_cache,
    free_memory,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
)

_T = TypeVar("_T")

Crop = tuple[slice, slice]

MAX_BATCH_SIZE = 32  # images; larger batches are not faster on any GPU, and delay the first result
_MEMORY_FRACTION = 0.8  # of the free memory that a batch may take
_PROBE_SIZE = 256  # pixels; side of the image with which the memory per pixel is measured
_DEFAULT_BATCH_SIZE = 8  # images, on accelerators whose free memory is not known

_log = logging.getLogger(__name__)


def pad(image: NDArray[np.float32], stride: int) -> tuple[NDArray[np.float32], Crop]:
    """Pad an image by reflection, evenly on both sides, to a multiple of the stride.

    Parameters
    ----------
    image
        Shape (..., Y, X). Axes shorter than the padding are reflected repeatedly; an axis of one pixel repeats it.
    stride
        In pixels.

    Returns
    -------
    padded : ndarray
        Shape (..., Y', X'); the image itself, not a copy, if no padding is needed.
    crop : tuple of slice
        ``padded[..., *crop]`` is the image.
    """
    height, width = image.shape[-2:]
    margins = [(-size % stride // 2, -size % stride - -size % stride // 2) for size in (height, width)]
    crop = (slice(margins[0][0], margins[0][0] + height), slice(margins[1][0], margins[1][0] + width))
    if not any(map(any, margins)):
        return image, crop
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + margins, mode="reflect"), crop


class Predictor:
    """A network on a device that predicts images from normalised images.

    Parameters
    ----------
    model
        Network (B, C_in, Z_in, Y, X) -> (B, C_out, Z_out, Y, X); it is moved to the device.
    stride
        Height and width of the network's input must be multiples of this number of pixels.
    device
        See `devices.resolve_device`.
    precision
        See `devices.resolve_precision`.
    batch_size
        Images per batch; by default 1 on the CPU, and as many as fit into memory on an accelerator. A batch that does
        not fit is halved.
    tta
        Test-time augmentation: average over the eight rotations and flips of the image, at eight times the cost.
    backend
        "eager", or "compile" for PyTorch's compiler; see `compilation.CompiledNetwork`.
    cache
        Whether to keep compiled code for later processes.

    Attributes
    ----------
    device : torch.device
        Device of the network.
    stride : int
        Height and width of the network's input must be multiples of this number of pixels.
    in_flight : int
        Number of further batches to start before waiting for the result of one, so that the device is never idle.

    Raises
    ------
    UsageError
        If the device is not available, does not support the precision, or the batch size is below 1.
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
        backend: Backend = "eager",
        cache: bool = True,
    ) -> None:
        self.device = resolve_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self._autocast = resolve_precision(precision, self.device)
        if batch_size is not None and batch_size < 1:
            msg = f"--batch-size {batch_size}: must be 1 or more"
            raise UsageError(msg)
        self.in_flight = 0 if self.device.type == "cpu" else 1
        self._requested = batch_size
        self._limit = MAX_BATCH_SIZE if batch_size is None else batch_size
        model = model.to(self.device).eval()
        self._model = CompiledNetwork(model, cache=cache) if backend == "compile" else model
        self._bytes_per_pixel: dict[tuple[int, ...], float] = {}
        self.stride = stride
        self._forward = self._augmented if tta else self._plain

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """Return the number of images of shape (C_in, Y, X) or (C_in, Z_in, Y, X) to pass together."""
        if self._requested is not None:
            return self._requested
        if self.device.type != "cuda":
            return 1 if self.device.type == "cpu" else _DEFAULT_BATCH_SIZE
        pixels = np.prod([-(-side // self.stride) * self.stride for side in shape[-2:]], dtype=float)
        fitting = _MEMORY_FRACTION * free_memory(self.device) / (self._memory_per_pixel(shape[:-2]) * pixels)
        return max(1, min(MAX_BATCH_SIZE, int(fitting)))

    def predict(self, images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Predict a batch of images.

        Each prediction depends only on its own image, up to rounding.

        Parameters
        ----------
        images
            At least one, all of the same shape: (C_in, Y, X) for a network that takes single planes, or stacks (C_in,
            Z_in, Y, X); float32, normalised and finite.

        Returns
        -------
        list of ndarray
            One prediction per image, (C_out, Y, X) or (C_out, Z_out, Y, X), float32.

        Raises
        ------
        UsageError
            If not even one image fits into the memory of the device.
        DataError
            If the network changes the size of the images.
        """
        return self.start(images)()

    def start(self, images: Sequence[NDArray[np.float32]]) -> Callable[[], list[NDArray[np.float32]]]:
        """Start `predict` without waiting for the device; the returned function waits and returns the predictions."""
        batch, crop = pad(np.stack(images), self.stride)
        parts = self.run(torch.from_numpy(batch), self.download)

        def finish() -> list[NDArray[np.float32]]:
            return [np.ascontiguousarray(image[..., *crop]) for part in parts for image in part()]

        return finish

    def run(self, batch: torch.Tensor, take: Callable[[torch.Tensor], _T]) -> list[_T]:
        """Queue the forward pass of a batch, in parts that fit into memory.

        Parameters
        ----------
        batch
            Shape (B, C_in, Y', X') or (B, C_in, Z_in, Y', X'), padded to the stride, float32, on any device.
        take
            Called with the prediction of each part, (B', C_out, [Z_out,] Y', X') float32, on the device; it may use the
            prediction in later work on the device, but not keep it.

        Returns
        -------
        list
            What `take` returned, in the order of the batch.

        Raises
        ------
        UsageError, DataError
            As `predict`.
        """
        results: list[_T] = []
        start = 0
        while start < len(batch):
            result = self._attempt(batch[start : start + self._limit], take)
            if result is not None:
                results.append(result[0])
                start += self._limit
                continue
            size = min(self._limit, len(batch) - start)
            if size == 1:
                what = "an image" if batch.ndim == 4 else f"a stack of {batch.shape[2]} planes"
                msg = (
                    f"{what} of {batch.shape[-2]} x {batch.shape[-1]} pixels does not fit into the memory of "
                    f"{self.device}, even as a batch of one; use --precision bf16 or --device cpu"
                )
                raise UsageError(msg)
            self._limit = size // 2
            _log.warning(
                "a batch of %d images does not fit into the memory of %s; trying %d", size, self.device, self._limit
            )
            empty_cache()
        return results

    def _attempt(self, batch: torch.Tensor, take: Callable[[torch.Tensor], _T]) -> tuple[_T] | None:
        """Start a batch; None if it does not fit into memory."""
        try:
            with torch.inference_mode(), self._precision():
                output = self._forward(self.upload(batch)).float()
                if output.shape[-2:] != batch.shape[-2:]:
                    returned, given = tuple(output.shape[-2:]), tuple(batch.shape[-2:])
                    msg = f"the network returns images of shape {returned} for {given}; they must be equal"
                    raise DataError(msg)
                return (take(output),)
        except torch.OutOfMemoryError:
            return None  # handled by the caller: in this block the traceback keeps the memory allocated

    def upload(self, batch: torch.Tensor) -> torch.Tensor:
        """Start to copy a tensor to the device, beside what it computes."""
        if self.device.type != "cuda" or batch.is_cuda:
            return batch.to(self.device)
        upload, _ = self._streams
        with torch.cuda.stream(upload):
            uploaded = batch.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(upload)
        uploaded.record_stream(computing)  # otherwise its memory could be reused while it is read
        return uploaded

    def download(self, output: torch.Tensor) -> Callable[[], NDArray[np.float32]]:
        """Start to copy a tensor from the device, beside what it computes; the returned function waits for it."""
        if self.device.type != "cuda":
            return output.cpu().numpy
        _, download = self._streams
        download.wait_stream(torch.cuda.current_stream(self.device))
        host = torch.empty(output.shape, pin_memory=True)
        with torch.cuda.stream(download):
            host.copy_(output, non_blocking=True)
        output.record_stream(download)
        done = download.record_event()

        def wait() -> NDArray[np.float32]:
            done.synchronize()
            array: NDArray[np.float32] = host.numpy()
            return array

        return wait

    @cached_property
    def _streams(self) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
        """CUDA streams for uploads and downloads, beside the one that computes."""
        upload, download = torch.cuda.Stream(self.device), torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return upload, download

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self._autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._autocast)

    def _plain(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.ndim == 5:
            stacks: torch.Tensor = self._model(batch)
            return stacks
        images: torch.Tensor = self._model(batch.unsqueeze(2))
        return images.squeeze(2)

    def _augmented(self, batch: torch.Tensor) -> torch.Tensor:
        axes = (-2, -1)
        total = torch.zeros((), device=batch.device)
        for turns in range(4):
            for flipped in ((), (-1,)):
                output = self._plain(batch.rot90(turns, axes).flip(flipped)).float()
                total = total + output.flip(flipped).rot90(-turns, axes)
        return total / 8

    def _memory_per_pixel(self, shape: tuple[int, ...]) -> float:
        """Measure the memory in bytes that the network takes per pixel in y, x of an image with these other axes."""
        if shape not in self._bytes_per_pixel:
            side = -(-_PROBE_SIZE // self.stride) * self.stride
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            for finish in self.run(torch.zeros(1, *shape, side, side), self.download):
                finish()
            peak = torch.cuda.max_memory_allocated(self.device)
            self._bytes_per_pixel[shape] = max(1.0, (peak - before) / side**2)
        return self._bytes_per_pixel[shape]
