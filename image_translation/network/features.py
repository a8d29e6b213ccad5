"""Feature maps of every stage of a network, recorded by forward hooks during a prediction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.network.predictor import Crop, Predictor, pad

HEAD = "head"


class Placement(NamedTuple):
    """Position of the pixel grid of a stage, in pixels of the image.

    Attributes
    ----------
    step
        Size of a pixel of the stage.
    top, left
        Offset of the first pixel: 0, or negative if the image was padded.
    """

    step: int
    top: int = 0
    left: int = 0


class FeatureExtractor:
    """A predictor that also returns the output of every stage of the network.

    Parameters
    ----------
    model
        Network from `loading.build_network`. Hooks are registered only during a forward pass.
    stride
        Height and width of the network's input must be multiples of this number of pixels.
    device
        See `devices.resolve_device`.

    Attributes
    ----------
    stages : tuple of str
        Names in the order of computation: "stem", "encoder 1" ..., "decoder 1" ..., "head". A U-Net has no stem, and
        has "bottom" between encoder and decoder.
    """

    def __init__(self, model: torch.nn.Module, stride: int, *, device: str = "auto") -> None:
        self._modules = dict(_stages(model))
        self._stride = stride
        self._predictor = Predictor(model, stride, device=device)
        self.stages = tuple(self._modules)

    def extract(
        self, image: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, Placement]]:
        """Predict an image and record the output of each stage.

        Parameters
        ----------
        image
            Shape (C_in, Y, X) for a network that takes single planes, or a stack (C_in, Z_in, Y, X); float32,
            normalised and finite.

        Returns
        -------
        prediction : ndarray
            Shape (C_out, Y, X) or (C_out, Z_out, Y, X), float32, equal to the result of `Predictor.predict`.
        features : dict
            Array of shape (C, H, W), float32, of each stage, without pixels that lie entirely in the padding. Where the
            output of a stage has planes, this is the one in the middle, ``Z // 2``; so the head's is the middle plane
            of the prediction.
        placements : dict
            `Placement` of each stage in the image.

        Raises
        ------
        UsageError, DataError
            As `Predictor.predict`.
        """
        padded, crop = pad(image, self._stride)
        with _recorded_outputs(self._modules) as outputs:
            (predicted,) = self._predictor.predict([image])
        placements = {name: _placement(outputs[name], padded.shape[-1], crop) for name in self.stages}
        features = {name: _crop_padding(outputs[name], placements[name], crop) for name in self.stages}
        return predicted, features, placements


def _stages(model: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    if hasattr(model, "bottom_transition_block"):  # VisCy's U-Nets
        yield from ((f"encoder {number}", stage) for number, stage in enumerate(model.down_conv_blocks, 1))
        yield "bottom", model.bottom_transition_block
        yield from ((f"decoder {number}", stage) for number, stage in enumerate(model.up_conv_blocks, 1))
        yield HEAD, model.terminal_block
        return
    if hasattr(model, "encoder_stages"):  # UNeXt2
        encoder = [stage for name, stage in model.encoder_stages.named_children() if name.startswith("stages")]
        yield "stem", model.stem
    else:
        encoder = model.encoder.stages
        yield "stem", model.encoder.stem
    yield from ((f"encoder {number}", stage) for number, stage in enumerate(encoder, 1))
    yield from ((f"decoder {number}", stage) for number, stage in enumerate(model.decoder.decoder_stages, 1))
    yield HEAD, model.head


@contextmanager
def _recorded_outputs(modules: dict[str, torch.nn.Module]) -> Iterator[dict[str, torch.Tensor]]:
    outputs: dict[str, torch.Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple | list) else output
            outputs[name] = tensor.detach().float().cpu()

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in modules.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _placement(output: torch.Tensor, padded_width: int, crop: Crop) -> Placement:
    step = padded_width // output.shape[-1]
    return Placement(step, *(-(one.start % step) for one in crop))


def _crop_padding(output: torch.Tensor, placement: Placement, crop: Crop) -> NDArray[np.float32]:
    """Select the middle plane, and remove pixels that lie entirely in the padding."""
    features: NDArray[np.float32] = (output[:, :, output.shape[2] // 2] if output.ndim == 5 else output)[0].numpy()
    rows, columns = (slice(one.start // placement.step, -(-one.stop // placement.step)) for one in crop)
    return np.ascontiguousarray(features[:, rows, columns])
