"""The pipelines that are compared: the package, the baseline script, and the networks alone. Run in fresh processes."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from iohub.ngff import open_ome_zarr
from numpy.typing import NDArray
from viscy.unet.networks.fcmae import FullyConvolutionalMAE

from benchmarks import baseline
from benchmarks.job import Job, Pipeline
from image_translation import data
from image_translation.network import loading
from image_translation.network.predictor import Predictor
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import make_plan
from image_translation.staining.run import smooth_movie

Run = Callable[[Path], object]
"""What is measured; its argument is the directory for the results."""

FIXED_SIDE = 2048  # pixels
METHODS = ("raw", "window", "savgol")  # as in the baseline script


@cache
def prepare(pipeline: Pipeline, job: Job) -> Run:
    """Build the network and run it once; return the function to measure."""
    spec, weights = loading.read_spec(data.resolve(job.checkpoint))
    multiple = FIXED_SIDE if pipeline == "baseline_2048" else spec.stride
    if pipeline in ("ours", "network_only"):
        network = loading.build_network(spec, weights)
        Predictor(network, spec.stride, device=job.device)  # configures malloc to keep freed memory
    else:
        network = FullyConvolutionalMAE(**asdict(spec.architecture), pretraining=False).eval()
        network.load_state_dict({key: weight.float() for key, weight in weights.items()})
    network = SkippingNetwork(network, job.every, len(spec.output_channels)).to(job.device)
    predict = _eager(network, job)
    predict(torch.zeros(1, *baseline.zero_pad(_phase(job.movie, 1)[0], multiple).shape))
    if pipeline == "ours":
        return _ours(network, job)
    if pipeline in ("baseline_2048", "baseline_stride"):

        def forward(image: NDArray[np.float32]) -> NDArray[np.float32]:
            return predict(torch.from_numpy(image)).float().cpu().numpy()

        return lambda output: baseline.stain_and_smooth(job.movie, output, forward, multiple)
    frames = [torch.from_numpy(baseline.zero_pad(image, multiple)[np.newaxis]) for image in _phase(job.movie)]
    frames = [frame.to(job.device) for frame in frames]
    return lambda _: [predict(frame) for frame in frames][-1].sum().item()


class SkippingNetwork(torch.nn.Module):
    """Network that runs on every n-th image only, and returns copies of the input for the others."""

    def __init__(self, network: torch.nn.Module, every: int, n_outputs: int) -> None:
        super().__init__()
        self.network, self._every, self._n_outputs = network, every, n_outputs
        self._calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._calls += 1
        if self._calls % self._every == 0:
            return self.network(x)
        return x.repeat(1, self._n_outputs, 1, 1, 1)


def _eager(network: torch.nn.Module, job: Job) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the bare forward pass (1, Y, X) -> (C, Y, X) on the device."""
    autocast = torch.autocast(
        torch.device(job.device).type,
        {"bf16": torch.bfloat16, "fp16": torch.float16}.get(job.precision),
        enabled=job.precision != "fp32",
    )

    def predict(image: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast:
            return network(image.to(job.device)[np.newaxis, :, np.newaxis])[0, :, 0]

    return predict


def _ours(network: torch.nn.Module, job: Job) -> Run:
    options = SmoothOptions(
        job.checkpoint, str(job.movie), Path(), methods=METHODS, device=job.device, precision=job.precision,
        normalization="median_iqr",
    )  # fmt: skip
    plan = make_plan(options)

    def run(output: Path) -> object:
        with (
            patch("image_translation.network.loading.build_network", return_value=network),
            patch("image_translation.staining.run.write_figures"),
        ):
            return smooth_movie(replace(plan, options=replace(options, output=output)))

    return run


def _phase(movie: Path, frames: int | None = None) -> NDArray[np.float32]:
    with open_ome_zarr(movie) as position:
        statistics = position.zattrs["normalization"]["Phase3D"]["fov_statistics"]
        return (np.asarray(position["0"][:frames, 0, 0]) - statistics["median"]) / statistics["iqr"]
