"""Networks that take several channels, and the names of channels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import SMALL_ARCHITECTURE, save_network
from support.runs import pixels
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.network.loading import build_network, read_spec
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store

CHANNELS = ("Nuclei", "Phase3D", "Membrane")


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random network: nuclei and membrane -> phase."""
    path = tmp_path_factory.mktemp("checkpoints") / "two.ckpt"
    names = {"input_channels": ["Nuclei", "Membrane"], "output_channels": ["Phase3D"], "normalization": "mean_std"}
    return save_network(path, SMALL_ARCHITECTURE, in_channels=2, out_channels=1, metadata=names)


@pytest.fixture
def stain(two_channels: Path, tmp_path: Path) -> Callable[..., int]:
    """Run the command on a movie; return its exit code."""

    def stain(movie: Path, *options: object, output: str = "out") -> int:
        arguments = ["smooth", "-c", two_channels, "-m", movie, "-o", tmp_path / output, "--device", "cpu"]
        return main([str(argument) for argument in [*arguments, "--methods", "raw", "window", *options]])

    return stain


def movie_of(path: Path, frames: int = 4) -> Path:
    data = np.concatenate([phase(5, seed=seed)[:frames] * (1 + seed) + 10 * seed for seed in range(3)], axis=1)
    return write_image(path, data, channels=CHANNELS)


def test_each_channel_is_normalised_by_its_own_statistics(stain: Any, tmp_path: Path, two_channels: Path) -> None:
    movie = movie_of(tmp_path / "in.zarr")
    assert stain(movie) == 0  # those that the network was trained with
    position = open_store(movie).position("fov")
    inputs = np.stack([[position.read(t, c, 0) for c in (0, 2)] for t in range(4)]).astype(np.float64)
    normal = (inputs - inputs.mean((0, 2, 3), keepdims=True)) / inputs.std((0, 2, 3), keepdims=True)
    spec, state = read_spec(two_channels)
    predictor = Predictor(build_network(spec, state), spec.stride, device="cpu")
    expected = np.stack(predictor.predict(list(normal.astype(np.float32))))
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw")[:, :, 0], expected, atol=0.05 * expected.std())
    stored = open_store(tmp_path / "out" / "raw.ome.zarr").position("fov")
    assert stored.channels == ("Phase3D",)
    provenance = stored.attributes["image_translation"]
    assert provenance["request"]["input"]["channel"] == "Nuclei"
    assert provenance["request"]["input"]["more_channels"] == ["Membrane"]
    assert [one["center"] for one in provenance["further_normalization"]] == [pytest.approx(20, abs=2)]
    truth = [row for row in read_csv(tmp_path / "out" / "metrics.csv") if row.metric == "pearson_truth"]
    assert {row.channel for row in truth} == {"Phase3D"}


def test_the_order_of_the_given_channels_is_that_of_the_inputs(stain: Any, tmp_path: Path) -> None:
    movie = movie_of(tmp_path / "in.zarr")
    for name, channels in {"same": CHANNELS[::2], "swapped": CHANNELS[::-2]}.items():
        assert stain(movie, "--channel", *channels, output=name) == 0
    assert stain(movie, output="default") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "same", "raw"), pixels(tmp_path / "default", "raw"))
    assert np.abs(pixels(tmp_path / "swapped", "raw") - pixels(tmp_path / "default", "raw")).max() > 0.01


def test_a_frame_with_an_invalid_channel_is_invalid(stain: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(4, seed=seed) for seed in range(3)], axis=1)
    data[2, 2] = 0
    assert stain(write_image(tmp_path / "in.zarr", data, channels=CHANNELS)) == 0
    assert np.isnan(pixels(tmp_path / "out", "raw")).all((1, 2, 3, 4)).tolist() == [False, False, True, False]


def test_a_movie_that_has_grown_is_predicted_anew(stain: Any, tmp_path: Path) -> None:
    assert stain(movie_of(tmp_path / "in.zarr", 4)) == 0
    movie = movie_of(tmp_path / "in.zarr", 5)
    assert stain(movie) == 0
    assert stain(movie, output="whole") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "whole", "raw"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--channel", "Phase3D"],
            "the network takes 2 channels (Nuclei, Membrane), not Phase3D; choose among those of",
        ),
        (["--channel", "Nuclei", "DAPI"], "--channel DAPI is not in"),
        (["--statistics-over", "timepoint"], "the network takes 2 channels, and only fov is supported with several"),
        (["--output-channels", "A", "B"], "predicts 1 channels (Phase3D); give 1 different, printable names"),
        (["--output-channels", " "], "give 1 different, printable names"),
    ],
)
def test_channels_that_do_not_fit_are_refused(
    stain: Any, tmp_path: Path, options: list[str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert stain(movie_of(tmp_path / "in.zarr"), *options) == 2
    assert message in caplog.text


def test_predicted_channels_are_named(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "raw", "--output-channels", "Membrane", "Nuclei") == 0
    assert open_store(tmp_path / "out" / "raw.ome.zarr").position("fov").channels == ("Membrane", "Nuclei")
    assert run(movie, "--methods", "raw") == 2  # other options than those of the results
    assert {row.channel for row in read_csv(tmp_path / "out" / "metrics.csv") if row.method == "raw"} == {
        "Membrane", "Nuclei",
    }  # fmt: skip


def test_a_network_prefers_the_channel_that_it_was_trained_with(tmp_path: Path) -> None:
    path = save_network(tmp_path / "one.ckpt", SMALL_ARCHITECTURE, metadata={"input_channels": ["Brightfield"]})
    data = np.concatenate([phase(3, seed=seed) for seed in range(2)], axis=1)
    movie = write_image(tmp_path / "in.zarr", data, channels=("Phase3D", "Brightfield"))
    assert main(["smooth", "-c", str(path), "-m", str(movie), "-o", str(tmp_path / "out"), "--methods", "raw"]) == 0
    stored = open_store(tmp_path / "out" / "raw.ome.zarr").position("fov").attributes["image_translation"]
    assert stored["request"]["input"]["channel"] == "Brightfield"
    assert torch.load(path, weights_only=True)["image_translation"]["input_channels"] == ["Brightfield"]
