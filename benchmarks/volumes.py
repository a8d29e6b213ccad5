"""``python -m benchmarks.volumes``: time of a volume, against VisCy's ``predict_sliding_windows`` of the same weights.

Times are medians of interleaved turns in one process. The network has the shape of VSCyto3D and random weights.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from iohub.ngff import open_ome_zarr
from numpy.typing import NDArray

from benchmarks.arguments import integer
from benchmarks.run_cost import peak_memory
from benchmarks.table import Measurement, format_table
from image_translation.cli.program import Parser
from image_translation.network.architecture import Architecture
from image_translation.network.fcmae import FCMAE
from image_translation.network.predictor import Predictor
from image_translation.network.sliding_window import StackPrediction, StackWindow
from image_translation.staining import task
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import make_plan
from image_translation.staining.run import smooth_movie

DEPTH = 15
VSCYTO3D = Architecture(
    in_channels=1, out_channels=2, encoder_blocks=(3, 3, 9, 3), dims=(96, 192, 384, 768), decoder_conv_blocks=2,
    stem_kernel_size=(5, 4, 4), in_stack_depth=DEPTH,
)  # fmt: skip

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = Parser(prog="python -m benchmarks.volumes", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--side", type=integer(256), default=512, help="in pixels; 512, a multiple of 256, if not given"
    )
    parser.add_argument("--planes", type=integer(DEPTH), default=17, help="of a volume; 17 if not given")
    parser.add_argument("--frames", type=integer(2), default=6, help="volumes of the movie; 6 if not given")
    parser.add_argument("--turns", type=integer(1), default=3, help="of the two that are compared; 3 if not given")
    parser.add_argument("--device", default="cpu")
    print(format_table(list(measure(parser.parse_args(argv)))))
    return 0


def measure(arguments: argparse.Namespace) -> Iterator[Measurement]:
    """Predict a volume by both, in turn, and then a movie of volumes from disk to disk."""
    torch.manual_seed(0)
    network, side = FCMAE(VSCYTO3D).eval(), arguments.side
    volume = _noise(1, arguments.planes, side)[0]
    both = _ours(network, arguments.device), _viscys(network, arguments.device)
    alone, theirs = _compare(*both, volume, arguments.turns)
    shape = f"{arguments.planes} x {side} x {side}"
    yield Measurement(f"volume of {shape}, against VisCy's", alone, theirs, "s", 1.05, "at most")
    with tempfile.TemporaryDirectory() as directory:
        spent = _movie(network, Path(directory), arguments) / arguments.frames
    yield Measurement("volume of a movie, from disk to disk, against the network", spent, alone, "s", 1.15, "at most")
    yield Measurement("peak memory, with VisCy and both networks", peak_memory(), None, "MiB", None, "at most")


def _noise(frames: int, planes: int, side: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(frames, 1, planes, side, side)).astype(np.float32)


def _ours(network: torch.nn.Module, device: str) -> Predict:
    predictor, window = Predictor(network, VSCYTO3D.stride, device=device), StackWindow(DEPTH, DEPTH)

    def predict(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        stack = StackPrediction(predictor, window, predictor.batch_size((1, DEPTH, *volume.shape[2:])))
        complete = [one for z in range(volume.shape[1]) for one in stack.push(volume[:, z])]
        return np.stack([wait() for wait in complete + stack.finish() if wait], 1)

    return predict


def _viscys(network: torch.nn.Module, device: str) -> Predict:
    from viscy.translation.engine import AugmentedPredictionVSUNet
    from viscy.unet.networks.fcmae import FullyConvolutionalMAE

    original = FullyConvolutionalMAE(**asdict(VSCYTO3D), pretraining=False)
    original.load_state_dict(network.state_dict())
    module = AugmentedPredictionVSUNet(original).eval().to(device)
    module.on_predict_start()

    def predict(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            predicted = module.predict_sliding_windows(torch.from_numpy(volume)[None].to(device))[0]
        return np.asarray(predicted.cpu().numpy())

    return predict


def _compare(ours: Predict, theirs: Predict, volume: NDArray[np.float32], turns: int) -> tuple[float, float]:
    """Return the median times of both, after a turn to warm up in which their results are compared."""
    np.testing.assert_allclose(ours(volume), theirs(volume), atol=1e-3)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for predict, found in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            predict(volume)
            found.append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


def _movie(network: torch.nn.Module, directory: Path, arguments: argparse.Namespace) -> float:
    """Return the time of the prediction of a movie from disk to disk, without filters and scores."""
    weights = {f"model.{name}": weight for name, weight in network.state_dict().items()}
    torch.save(
        {"state_dict": weights, "image_translation": {"format": 1, "normalization": "mean_std"}}, directory / "c"
    )
    shape = (arguments.frames, arguments.planes, arguments.side)
    with open_ome_zarr(directory / "movie.ome.zarr", layout="fov", mode="w", channel_names=["Phase3D"]) as store:
        store.create_image("0", _noise(*shape), chunks=(1, 1, 1, arguments.side, arguments.side))
    spent: list[float] = []
    predict_stacks = task.predict_stacks

    def timed(*positional: Any, predictor: Callable[[], Predictor], **options: Any) -> None:
        predictor()  # loads the network
        start = time.perf_counter()
        predict_stacks(*positional, predictor=predictor, **options)
        spent.append(time.perf_counter() - start)

    task.predict_stacks = timed
    try:
        options = SmoothOptions(
            str(directory / "c"), str(directory / "movie.ome.zarr"), directory / "out", methods=("raw",),
            device=arguments.device,
        )  # fmt: skip
        options.check()
        smooth_movie(make_plan(options))
    finally:
        task.predict_stacks = predict_stacks
    return spent[0]


if __name__ == "__main__":
    raise SystemExit(main())
