"""Networks of the shapes of published ones, with random weights, in the commands: from the file to the score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import NO_VISCY, save_network
from support.figure_helpers import draw_no_figures
from support.runs import pixels

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.network.architecture import Architecture

REAL = Path(__file__).parents[2] / "shared" / "data"
VSCYTO3D = Architecture(
    in_channels=1, out_channels=2, encoder_blocks=(3, 3, 9, 3), dims=(96, 192, 384, 768), decoder_conv_blocks=2,
    stem_kernel_size=(5, 4, 4), in_stack_depth=15,
)  # fmt: skip
NEUROMAST = {"stem_kernel_size": (7, 4, 4), "in_stack_depth": 21, "head_conv": True, "head_conv_pool": False}
PLANES = {"vscyto3d": 15, "vsneuromast": 21, "vscyto3d_unext2": 5, "dynacell": 15, "fluor2phase": 1}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated stacks of 22 planes, with their truth."""
    path = tmp_path_factory.mktemp("movie") / "stacks.ome.zarr"
    assert main(["simulate", "--planes", "22", "--size", "64x64", "--frames", "2", "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module", params=PLANES)
def checkpoint(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkpoint of a published shape; deleted after its tests."""
    path = tmp_path_factory.mktemp("checkpoints") / f"{request.param}.ckpt"
    metadata = {"normalization": "median_iqr", "input_channels": ["Phase3D"], "output_channels": ["Nuclei", "Membrane"]}
    if request.param == "vscyto3d_unext2":
        pytest.importorskip("viscy", reason=NO_VISCY)
        from viscy.unet.networks.unext2 import UNeXt2

        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = UNeXt2(in_channels=1, out_channels=2, backbone="convnextv2_tiny", head_pool=True)
        weights = {f"model.{name}": weight for name, weight in network.state_dict().items()}
        torch.save({"state_dict": weights, "image_translation": {"format": 1, "head_pool": True, **metadata}}, path)
    elif request.param == "dynacell":
        one = metadata | {"output_channels": ["Nuclei"], "normalization": "mean_std"}
        save_network(path, VSCYTO3D, out_channels=1, metadata=one)
    elif request.param == "fluor2phase":
        back = {"input_channels": metadata["output_channels"], "output_channels": ["Phase3D"]}
        shape = {"in_channels": 2, "out_channels": 1, "stem_kernel_size": (1, 2, 2), "in_stack_depth": 1}
        save_network(path, VSCYTO3D, metadata=back, **shape)
    else:
        changes = NEUROMAST if request.param == "vsneuromast" else {}
        pooled = {"head_pool": False} if changes else {}
        save_network(path, VSCYTO3D, metadata=metadata | pooled, **changes)
    yield path
    path.unlink()


def test_a_network_of_a_published_shape_runs_from_the_file_to_the_score(
    checkpoint: Path, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_no_figures(monkeypatch)
    output, depth = tmp_path / "out", PLANES[checkpoint.stem]
    arguments = ["-c", str(checkpoint), "-m", str(movie), "--device", "cpu"]
    planes = ["--z", "9:11"] if depth > 1 else ["--z", "9"]  # all of them would take long
    assert main(["smooth", *arguments, "-o", str(output), "--methods", "raw", "window", *planes]) == 0
    raw = pixels(output, "raw")
    assert raw.shape[2:] == (1 + (depth > 1), 64, 64)
    assert np.isfinite(raw).all()
    assert raw.std() > 0
    assert main(["evaluate", str(output), "-o", str(tmp_path / "scores")]) == 0
    rows = read_csv(tmp_path / "scores" / "metrics.csv")
    assert {row.method for row in rows} >= {"raw", "window", "truth"}
    assert main(["inspect", *arguments, "--time", "1", "-o", str(tmp_path / "stages")]) == 0
    assert (tmp_path / "stages" / "overview.png").stat().st_size > 10_000
