"""Variants of running one network: VisCy's implementation, the package's, and compiled ones.

Each variant needs a process of its own, because settings of PyTorch and malloc are global. Heavy modules are imported
inside the functions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.fresh_process import FreshProcess

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Variant = Literal["viscy", "viscy_kept", "ours", "ours_bf16", "inductor", "openvino"]
Predict = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]

FULL: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 2,
    "encoder_blocks": (3, 3, 9, 3),
    "dims": (96, 192, 384, 768),
    "decoder_conv_blocks": 2,
    "stem_kernel_size": (1, 2, 2),
    "in_stack_depth": 1,
}
"""The architecture of VSCyto2D."""


@dataclass(frozen=True)
class Case:
    """A network and the size of its input frames.

    Attributes
    ----------
    what
        Short description.
    checkpoint
        Path or name.
    size
        Height and width of a frame, in pixels.
    """

    what: str
    checkpoint: str
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.what}, {self.size[0]}x{self.size[1]}"


def write_full(path: Path) -> Path:
    """Write a checkpoint of random weights in the architecture of VSCyto2D, in a fresh process."""
    with FreshProcess() as process:
        process.call(write_checkpoint, path, FULL)
    return path


def write_checkpoint(path: Path, architecture: dict[str, Any]) -> None:
    """Write a checkpoint of random weights."""
    import torch

    from image_translation.network.architecture import Architecture
    from image_translation.network.fcmae import FCMAE

    torch.manual_seed(0)
    torch.save({"state_dict": FCMAE(Architecture(**architecture)).state_dict()}, path)


def first_seconds(variant: Variant, case: Case) -> float:
    """Return the time of the first frame in seconds, compilation included."""
    return _ready(variant, case)[1]


def frame_seconds(variant: Variant, case: Case) -> float:
    """Return the time of a further frame in seconds."""
    predict, _ = _ready(variant, case)
    image = cell_image(case.size)
    start = time.perf_counter()
    predict(image)
    return time.perf_counter() - start


def prediction(variant: Variant, case: Case) -> "NDArray[np.float32]":
    """Return the prediction for the test image, shape (C, Y, X)."""
    return _ready(variant, case)[0](cell_image(case.size))


@cache
def cell_image(size: tuple[int, int]) -> "NDArray[np.float32]":
    """Return a standardised phase image of simulated cells, shape (1, Y, X), float32."""
    from benchmarks.movies import phase_tiles, tile

    (phase,) = phase_tiles(1, size)
    return tile((phase - phase.mean()) / phase.std(), size)[None]


def build_viscy(checkpoint: str) -> "torch.nn.Module":
    """Build VisCy's network with the weights of a checkpoint."""
    from dataclasses import asdict

    from viscy.unet.networks.fcmae import FullyConvolutionalMAE

    from image_translation import data
    from image_translation.network import loading

    spec, weights = loading.read_spec(data.resolve(checkpoint))
    network: torch.nn.Module = FullyConvolutionalMAE(**asdict(spec.architecture), pretraining=False)
    network.load_state_dict({key: weight.float() for key, weight in weights.items()})
    return network.requires_grad_(requires_grad=False).eval()


def build_ours(checkpoint: str) -> "torch.nn.Module":
    """Build the package's network with the weights of a checkpoint."""
    from image_translation import data
    from image_translation.network import loading

    return loading.build_network(*loading.read_spec(data.resolve(checkpoint)))


def read_stride(checkpoint: str) -> int:
    """Return the number of pixels of which height and width must be a multiple."""
    from image_translation import data
    from image_translation.network import loading

    return loading.read_spec(data.resolve(checkpoint))[0].stride


@cache
def _ready(variant: Variant, case: Case) -> tuple[Predict, float]:
    predict, image = _make(variant, case), cell_image(case.size)
    start = time.perf_counter()
    predict(image)
    return predict, time.perf_counter() - start


def _make(variant: Variant, case: Case) -> Predict:
    checkpoint = case.checkpoint
    if variant in ("viscy", "viscy_kept"):
        return _eager(build_viscy(checkpoint), read_stride(checkpoint), keep_memory=variant == "viscy_kept")
    if variant == "openvino":
        return _by_openvino(build_ours(checkpoint), read_stride(checkpoint))
    import torch

    from image_translation.network.predictor import Predictor

    network = build_ours(checkpoint)
    if variant == "inductor":
        network = torch.compile(network)
    precision: Any = "bf16" if variant == "ours_bf16" else "fp32"
    predictor = Predictor(network, read_stride(checkpoint), device="cpu", precision=precision)
    return lambda image: predictor.predict([image])[0]


def _eager(network: "torch.nn.Module", multiple: int, *, keep_memory: bool) -> Predict:
    """Return the plain forward pass; optionally with malloc configured to keep freed memory."""
    import torch

    from image_translation.network.devices import keep_freed_memory
    from image_translation.network.predictor import pad

    if keep_memory:
        keep_freed_memory()

    def predict(image: "NDArray[np.float32]") -> "NDArray[np.float32]":
        padded, crop = pad(image, multiple)
        with torch.inference_mode():
            output = network(torch.from_numpy(padded)[None, :, None])[0, :, 0].numpy()
        return output[..., *crop]

    return predict


def _by_openvino(network: "torch.nn.Module", multiple: int) -> Predict:
    """Return the forward pass by OpenVINO, converted at the first frame for its size, as `torch.compile` does."""
    import openvino
    import torch

    from image_translation.network.predictor import pad

    compiled: list[Any] = []

    def predict(image: "NDArray[np.float32]") -> "NDArray[np.float32]":
        padded, crop = pad(image, multiple)
        batch = padded[None, :, None]
        if not compiled:
            exported = torch.export.export(network, (torch.from_numpy(batch),))
            precision = {"INFERENCE_PRECISION_HINT": "f32"}  # the default is bfloat16 where the processor supports it
            compiled.append(openvino.compile_model(openvino.convert_model(exported), "CPU", precision))
        return compiled[0](batch)[0][0, :, 0][..., *crop]

    return predict
