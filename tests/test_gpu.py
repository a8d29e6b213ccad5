"""On a GPU: every precision and backend agrees with the CPU in single precision. Run with ``pytest -m gpu``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.data.lookup import resolve_checkpoint
from image_translation.network.loading import build_network, read_spec
from image_translation.network.predictor import Predictor
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.fixture(scope="module")
def cells() -> list[np.ndarray]:
    movie = Movie(MovieSpec(shape=(250, 330), frames=3, seed=5, flicker=1.0))
    frames = [movie.frame(t)[:1] for t in range(3)]
    return [((frame - frame.mean()) / frame.std()).astype(np.float32) for frame in frames]


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({}, 0.9999),
        ({"precision": "bf16"}, 0.999),
        ({"precision": "fp16"}, 0.999),
        ({"backend": "compile"}, 0.9999),
        ({"backend": "compile", "precision": "bf16"}, 0.999),
        ({"tta": True}, 0.9999),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_gpu_agrees_with_cpu(cells: Any, options: dict[str, Any], least: float) -> None:
    spec, state = read_spec(Path(resolve_checkpoint("demo_ckpt")))
    expected = Predictor(build_network(spec, state), spec.stride, device="cpu", tta="tta" in options).predict(cells)
    for size in (1, 3):
        predictor = Predictor(build_network(spec, state), spec.stride, device="cuda", batch_size=size, **options)
        for output, image in zip(predictor.predict(cells), expected, strict=True):
            for channel in range(len(image)):
                assert correlation(output[channel], image[channel]) > least


def test_batch_size_fits_the_free_memory(cells: Any) -> None:
    spec, state = read_spec(Path(resolve_checkpoint("demo_ckpt")))
    predictor = Predictor(build_network(spec, state), spec.stride, device="cuda")
    size = predictor.batch_size(cells[0].shape)
    assert size > 1
    assert len(predictor.predict([cells[0]] * size)) == size


def test_batch_that_does_not_fit_into_memory_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    spec, state = read_spec(Path(resolve_checkpoint("demo_ckpt")))
    predictor = Predictor(build_network(spec, state), spec.stride, device="cuda", batch_size=16)
    batch = [np.random.default_rng(0).normal(size=(1, 1024, 1024)).astype(np.float32)] * 16
    needed = predictor._memory_per_pixel((1,)) * 1024**2
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 5 * needed / total))
    try:
        assert len(predictor.predict(batch)) == 16
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "does not fit into the memory" in caplog.text


def test_complete_run(tmp_path: Path, tiny_checkpoint: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(14, (64, 96)))
    for device in ("cpu", "cuda"):
        arguments = ["smooth", "-c", tiny_checkpoint, "-m", movie, "-o", tmp_path / device, "--device", device]
        assert main([str(one) for one in arguments]) == 0
    for method in ("raw", "savgol", "motion"):
        one, other = (zarr.open_array(tmp_path / name / f"{method}.ome.zarr" / "0")[:] for name in ("cpu", "cuda"))
        assert correlation(one, other) > 0.9999
