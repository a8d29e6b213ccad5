"""Run a network on normalised images: pad, batch, precision, test-time augmentation, crop.

The network always sees the whole frame: its global response normalisation (Woo et al., "ConvNeXt V2", CVPR 2023) takes
a norm over the image, so that black borders and tile edges would reach every pixel. Frames are padded by reflection.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError
from image_translation.network.compilation import Backend, Compiled
from image_translation.network.devices import (
    Precision,
    empty_cache,
    free_memory,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
)

Crop = tuple[slice, slice]

MOST_AT_ONCE = 32  # images: more make no card faster, and would wait for each other
_SHARE = 0.8  # of the free memory that a batch may take
_TRIAL = 256  # pixels: side of the image that tells how much memory a pixel takes
_USUAL = 8  # images at once where the memory of an accelerator cannot be asked for

_log = logging.getLogger(__name__)


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
        Images at once; by default 1 on the CPU, and on an accelerator as many as fit into its memory. A batch that
        does not fit after all is halved.
    tta
        Average over the eight rotations and flips of the image (test-time augmentation): eight times the work.
    backend
        "eager", or "compile" with PyTorch's compiler; see `compilation.Compiled`.
    cache
        Whether what was compiled is kept for the next process.

    Attributes
    ----------
    device : torch.device
        Where the network is.
    ahead : int
        Batches that should be started before the result of one is asked for, so that the device is never idle.

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
        self.ahead = 0 if self.device.type == "cpu" else 1
        self._asked = batch_size
        self._most = MOST_AT_ONCE if batch_size is None else batch_size
        model = model.to(self.device).eval()
        self._model = Compiled(model, cache=cache) if backend == "compile" else model
        self._measured: dict[int, float] = {}
        self._stride = stride
        self._forward = self._augmented if tta else self._plain

    def batch_size(self, shape: tuple[int, int, int]) -> int:
        """Tell how many images of shape (C_in, Y, X) the caller should give at once."""
        if self._asked is not None:
            return self._asked
        if self.device.type != "cuda":
            return 1 if self.device.type == "cpu" else _USUAL
        channels, *size = shape
        pixels = np.prod([-(-side // self._stride) * self._stride for side in size], dtype=float)
        fitting = _SHARE * free_memory(self.device) / (self._bytes_per_pixel(channels) * pixels)
        return max(1, min(MOST_AT_ONCE, int(fitting)))

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
            Not even one image fits into the memory of the device.
        DataError
            The network returns images of another size than it was given.
        """
        return self.start(images)()

    def start(self, images: Sequence[NDArray[np.float32]]) -> Callable[[], list[NDArray[np.float32]]]:
        """Do what `predict` does, without waiting for an accelerator: call what is returned for the predictions."""
        batch, crop = pad(np.stack(images), self._stride)
        parts: list[Callable[[], NDArray[np.float32]]] = []
        begun = 0
        while begun < len(batch):
            part = self._attempt(batch[begun : begun + self._most])
            if part is not None:
                parts.append(part)
                begun += self._most
                continue
            size = min(self._most, len(batch) - begun)
            if size == 1:
                msg = (
                    f"an image of {batch.shape[-2]} x {batch.shape[-1]} pixels does not fit into the memory of "
                    f"{self.device}, not even alone; use --precision bf16 or --device cpu"
                )
                raise UsageError(msg)
            self._most = size // 2
            _log.warning(
                "%d images at once do not fit into the memory of %s: %d are tried", size, self.device, self._most
            )
            empty_cache()

        def finish() -> list[NDArray[np.float32]]:
            return [np.ascontiguousarray(image[..., *crop]) for part in parts for image in part()]

        return finish

    def _attempt(self, batch: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]] | None:
        """Start a batch; None if it does not fit into memory."""
        try:
            return self._run(torch.from_numpy(batch))
        except torch.OutOfMemoryError:
            return None  # and not within this block, where the traceback keeps what was allocated

    def _run(self, batch: torch.Tensor) -> Callable[[], NDArray[np.float32]]:
        """Queue a batch: to the device, through the network, and back."""
        with torch.inference_mode(), self._precision():
            output = self._forward(self._send(batch)).float()
            if output.shape[-2:] != batch.shape[-2:]:
                wrong, given = tuple(output.shape[-2:]), tuple(batch.shape[-2:])
                msg = f"the network returns images of shape {wrong} for {given}: it is no 2D stain"
                raise DataError(msg)
            return self._fetch(output)

    def _send(self, batch: torch.Tensor) -> torch.Tensor:
        if self.device.type != "cuda":
            return batch.to(self.device)
        upload, _ = self._streams
        with torch.cuda.stream(upload):
            sent = batch.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(upload)
        sent.record_stream(computing)  # else its memory could be used again while it is read
        return sent

    def _fetch(self, output: torch.Tensor) -> Callable[[], NDArray[np.float32]]:
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
        """To the card and back, beside the one that computes."""
        upload, download = torch.cuda.Stream(self.device), torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return upload, download

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

    def _bytes_per_pixel(self, channels: int) -> float:
        """Measure how much memory the network takes for each pixel of an image."""
        if channels not in self._measured:
            side = -(-_TRIAL // self._stride) * self._stride
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._run(torch.zeros(1, channels, side, side))()
            peak = torch.cuda.max_memory_allocated(self.device)
            self._measured[channels] = max(1.0, (peak - before) / side**2)
        return self._measured[channels]
