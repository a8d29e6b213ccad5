"""Networks whose checkpoint does not say whether the head pools: asked for, and part of what a result was made with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import SMALL_ARCHITECTURE
from support.runs import pixels
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.network.fcmae import FCMAE


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A random network whose head has convolutions, without hyper-parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FCMAE(replace(SMALL_ARCHITECTURE, head_conv=True, stem_kernel_size=(1, 4, 4)))
    torch.save(network.state_dict(), tmp_path / "pools.pt")
    return tmp_path / "pools.pt"


def test_the_pooling_of_the_head_is_asked_for_and_belongs_to_the_result(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())

    def run(*options: object, output: str = "out") -> int:
        arguments = ("smooth", "-c", checkpoint, "-m", movie, "-o", tmp_path / output, "--device", "cpu")
        return main([str(one) for one in (*arguments, "--methods", "raw", "--normalization", "none", *options)])

    assert run() == 2
    assert "give --head-pool yes or --head-pool no" in caplog.text
    assert run("--head-pool", "yes") == 0
    assert run("--head-pool", "yes", "--dry-run") == 0
    assert run("--head-pool", "no") == 2
    assert "raw.ome.zarr exists with other options (prediction.network" in caplog.text
    assert run("--head-pool", "no", output="other") == 0
    assert not np.allclose(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "other", "raw"), atol=1e-3)

    checkpoint.with_name("pools.pt.json").write_text('{"head_pool": true}', encoding="utf-8")
    caplog.clear()
    assert run() == 0  # the same run: the sidecar says what the option said
    assert run(output="other") == 2
    checkpoint.with_name("pools.pt.json").unlink()


def test_results_of_other_networks_do_not_depend_on_it(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "raw") == 0
    assert run(movie, "--methods", "raw", "--head-pool", "no") == 0


def test_workers_are_told(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    movie = write_image(tmp_path / "in.zarr", phase())
    arguments = ("smooth", "-c", checkpoint, "-m", movie, "-o", tmp_path / "out", "--device", "cpu", "--methods", "raw")
    options = ("--normalization", "none", "--head-pool", "no", "--scheduler", "local:1")
    assert main([str(one) for one in (*arguments, *options)]) == 0
