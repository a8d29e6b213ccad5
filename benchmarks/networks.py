"""One network in the forms that it can be run in. Nothing heavy is imported before it is called.

A process of its own for each form: what is set for one would be felt by the others.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.isolated import FreshProcess

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Form = Literal["viscy", "viscy_kept", "ours", "ours_bf16", "inductor", "openvino"]
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
class Subject:
    """A network and the size of the frames that it is shown.

    Attributes
    ----------
    what
        In a few words.
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
    """Write a network of random weights in the architecture of VSCyto2D, by a process of its own."""
    with FreshProcess() as process:
        process.call(write_checkpoint, path, FULL)
    return path


def write_checkpoint(path: Path, architecture: dict[str, Any]) -> None:
    """Write a network of random weights."""
    import torch

    from image_translation.network.architecture import Architecture
    from image_translation.network.fcmae import Network

    torch.manual_seed(0)
    torch.save({"state_dict": Network(Architecture(**architecture)).state_dict()}, path)


def first_seconds(form: Form, subject: Subject) -> float:
    """Return the seconds that the first frame takes, with what has to be compiled for it."""
    return _ready(form, subject)[1]


def seconds(form: Form, subject: Subject) -> float:
    """Return the seconds that a further frame takes."""
    predict, _ = _ready(form, subject)
    image = cells(subject.size)
    start = time.perf_counter()
    predict(image)
    return time.perf_counter() - start


def prediction(form: Form, subject: Subject) -> "NDArray[np.float32]":
    """Return what becomes of an image of cells, shape (C, Y, X)."""
    return _ready(form, subject)[0](cells(subject.size))


@cache
def cells(size: tuple[int, int]) -> "NDArray[np.float32]":
    """Return a standardised image of simulated cells, shape (1, Y, X), float32."""
    from benchmarks.movies import phase_tiles, tile

    (phase,) = phase_tiles(1, size)
    return tile((phase - phase.mean()) / phase.std(), size)[None]


def viscys(checkpoint: str) -> "torch.nn.Module":
    """Build VisCy's network, with the weights of a checkpoint."""
    from dataclasses import asdict

    from viscy.unet.networks.fcmae import FullyConvolutionalMAE

    from image_translation import data
    from image_translation.network import loading

    spec, weights = loading.read_spec(data.resolve(checkpoint))
    network: torch.nn.Module = FullyConvolutionalMAE(**asdict(spec.architecture), pretraining=False)
    network.load_state_dict({key: weight.float() for key, weight in weights.items()})
    return network.requires_grad_(requires_grad=False).eval()


def ours(checkpoint: str) -> "torch.nn.Module":
    """Build the package's network of a checkpoint."""
    from image_translation import data
    from image_translation.network import loading

    return loading.build(*loading.read_spec(data.resolve(checkpoint)))


def stride(checkpoint: str) -> int:
    """Return what height and width must be a multiple of."""
    from image_translation import data
    from image_translation.network import loading

    return loading.read_spec(data.resolve(checkpoint))[0].stride


@cache
def _ready(form: Form, subject: Subject) -> tuple[Predict, float]:
    predict, image = _make(form, subject), cells(subject.size)
    start = time.perf_counter()
    predict(image)
    return predict, time.perf_counter() - start


def _make(form: Form, subject: Subject) -> Predict:
    checkpoint = subject.checkpoint
    if form in ("viscy", "viscy_kept"):
        return _eager(viscys(checkpoint), stride(checkpoint), keeps=form == "viscy_kept")
    if form == "openvino":
        return _by_openvino(ours(checkpoint), stride(checkpoint))
    import torch

    from image_translation.network.predictor import Predictor

    network = ours(checkpoint)
    if form == "inductor":
        network = torch.compile(network)
    precision: Any = "bf16" if form == "ours_bf16" else "fp32"
    predictor = Predictor(network, stride(checkpoint), device="cpu", precision=precision)
    return lambda image: predictor.predict([image])[0]


def _eager(network: "torch.nn.Module", multiple: int, *, keeps: bool) -> Predict:
    """Run a network as it is; unless memory is kept, in a process that is set as Python starts it."""
    import torch

    from image_translation.network.devices import keep_freed_memory
    from image_translation.network.predictor import pad

    if keeps:
        keep_freed_memory()

    def predict(image: "NDArray[np.float32]") -> "NDArray[np.float32]":
        padded, crop = pad(image, multiple)
        with torch.inference_mode():
            output = network(torch.from_numpy(padded)[None, :, None])[0, :, 0].numpy()
        return output[..., *crop]

    return predict


def _by_openvino(network: "torch.nn.Module", multiple: int) -> Predict:
    """Convert a network at the first frame, for frames of that size, as `torch.compile` does."""
    import openvino
    import torch

    from image_translation.network.predictor import pad

    compiled: list[Any] = []

    def predict(image: "NDArray[np.float32]") -> "NDArray[np.float32]":
        padded, crop = pad(image, multiple)
        batch = padded[None, :, None]
        if not compiled:
            exported = torch.export.export(network, (torch.from_numpy(batch),))
            precision = {"INFERENCE_PRECISION_HINT": "f32"}  # else it takes bfloat16 where the processor can
            compiled.append(openvino.compile_model(openvino.convert_model(exported), "CPU", precision))
        return compiled[0](batch)[0][0, :, 0][..., *crop]

    return predict
