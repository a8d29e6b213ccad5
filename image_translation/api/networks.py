"""Checkpoints, loaded once for many movies."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import data
from image_translation.api.parameter_names import parameter_names
from image_translation.errors import UsageError
from image_translation.network.checkpoint import StateDict
from image_translation.network.loading import ModelSpec, build_network, read_spec
from image_translation.network.predictor import Predictor
from image_translation.staining.options import Inference


class Network:
    """A network that has been loaded; it is moved to a device when it is first used.

    Attributes
    ----------
    spec
        Description of the checkpoint.
    weights
        Weights of the checkpoint.
    inference
        How the network is run.
    """

    def __init__(self, spec: ModelSpec, weights: StateDict, inference: Inference) -> None:
        self.spec = spec
        self.weights = weights
        self.inference = inference
        self._predictor: Predictor | None = None

    @property
    def input_channels(self) -> tuple[str, ...]:
        """Names of the channels that it was trained on; empty if unknown."""
        return self.spec.input_channels

    @property
    def output_channels(self) -> tuple[str, ...]:
        """Names of the channels that it predicts."""
        return self.spec.output_channels

    @property
    def normalization(self) -> str | None:
        """How its input is to be normalised; None if unknown."""
        return self.spec.normalization

    @property
    def device(self) -> str:
        """Device that it runs on, as PyTorch names it."""
        return str(self.predictor().device)

    def predictor(self) -> Predictor:
        """Return the network on its device, ready to predict; built by the first call."""
        if self._predictor is None:
            module = build_network(self.spec, self.weights)
            self._predictor = Predictor(module, self.spec.stride, **asdict(self.inference))
        return self._predictor

    def predict(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Predict images that are normalised already.

        Parameters
        ----------
        images
            Shape (B, C, Y, X), or (B, C, Z, Y, X) for a network that takes stacks of Z planes, finite.

        Returns
        -------
        ndarray
            Shape (B, C', Y, X) or (B, C', Z', Y, X), float32.

        Raises
        ------
        UsageError
            If the shape does not fit the network, or a pixel is not finite.
        """
        batch, architecture = np.asarray(images, np.float32), self.spec.architecture
        planes = (architecture.in_stack_depth,) if architecture.in_stack_depth > 1 else ()
        wanted = (architecture.in_channels, *planes)
        if batch.ndim != len(wanted) + 3 or batch.shape[1:-2] != wanted or not batch.size:
            axes = ", ".join(map(str, wanted))
            raise UsageError(f"images of shape {batch.shape}: the network takes (B, {axes}, Y, X)")
        if not np.isfinite(batch).all():
            raise UsageError("images have pixels that are not finite; leave such frames out")
        size = self.predictor().batch_size(batch.shape[1:])
        parts = (self.predictor().predict(list(batch[start : start + size])) for start in range(0, len(batch), size))
        return np.stack([image for part in parts for image in part])


@parameter_names()
def load_network(
    checkpoint: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    tta: bool = False,
    backend: str = "eager",
    head_pool: bool | None = None,
) -> Network:
    """Load a checkpoint, to be used for many movies.

    Parameters
    ----------
    checkpoint
        Path, or name of the registry such as ``demo_ckpt``.
    device
        ``auto`` (CUDA or an Apple GPU if there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    batch_size
        Frames per batch; None is 1 on a CPU and what fits into the memory of a GPU.
    tta
        Test-time augmentation: the mean over 8 rotations and flips.
    backend
        ``eager``, or ``compile`` for PyTorch's compiler.
    head_pool
        Whether the network's head pools, where the checkpoint does not say it.

    Raises
    ------
    UsageError
        If there is no such checkpoint or device, or the network needs libraries that are not installed.
    DataError
        If the file is no checkpoint of a network that is known.
    """
    options: Mapping[str, Any] = {
        "device": device, "precision": precision, "batch_size": batch_size, "tta": tta, "backend": backend,
    }  # fmt: skip
    spec, weights = read_spec(data.resolve_checkpoint(os.fspath(checkpoint)), head_pool=head_pool)
    spec.require_libraries()
    return Network(spec, weights, Inference(**options))


def as_network(network: Network | str | Path | os.PathLike[str], **options: Any) -> Network:
    """Return a network as it is, or load a checkpoint with the options of `load_network`."""
    return network if isinstance(network, Network) else load_network(network, **options)
