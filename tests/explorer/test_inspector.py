"""Input, prediction and feature maps of a network for one image."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import DataError, UsageError
from image_translation.explorer.inspector import Inspector
from image_translation.frame import Crop
from image_translation.network.predictor import Predictor
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import Position, open_store

STAGES = ["stem", "encoder 1", "encoder 2", "decoder 1", "head"]


def test_input_and_prediction_equal_those_of_the_command(inspector: Inspector, movie: Path, tiny_model: Any) -> None:
    position = open_store(movie).position("fov")
    activations = inspector.inspect(position, 2, 0)
    image = position.read(2, 0, 0).astype(np.float64)
    whole = np.stack([position.read(t, 0, 0) for t in range(6)]).astype(np.float64)
    np.testing.assert_allclose(activations.image[0], (image - whole.mean()) / whole.std(), rtol=0.05, atol=0.05)
    spec, network = tiny_model
    np.testing.assert_array_equal(
        activations.prediction, Predictor(network, spec.stride, device="cpu").predict([activations.image])[0]
    )
    assert list(activations.features) == STAGES
    assert activations.image_channels == ("Phase3D",)
    assert activations.truth is None


def test_an_image_is_normalised_by_the_statistics_that_the_checkpoint_names(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(3, (40, 52)) * np.float32([1, 2, 5])[:, None, None, None, None]
    stored = {"normalization": {"Phase3D": {"dataset_statistics": {"mean": 3.0, "std": 2.0}}}}
    with_them = open_store(write_image(tmp_path / "a.zarr", data, attributes=stored)).position("fov")
    without = open_store(write_image(tmp_path / "b.zarr", data)).position("fov")
    checkpoint = Path(shutil.copy(tiny_checkpoint, tmp_path / "net.ckpt"))
    sidecar = tmp_path / "net.ckpt.json"

    def read(over: str, position: Position, t: int) -> np.ndarray:
        sidecar.write_text(json.dumps({"statistics_over": over}))
        return Inspector(str(checkpoint), device="cpu").read(position, t, 0).image

    for t in range(3):
        assert read("timepoint", without, t).std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(read("dataset", with_them, 1), (data[1, :, 0] - 3) / 2, rtol=1e-5)
    assert not caplog.text
    np.testing.assert_array_equal(read("dataset", without, 1), read("fov", without, 1))
    assert "statistics of all positions, which this one does not hold: its own are used" in caplog.text


def test_a_crop_is_normalised_as_part_of_the_field(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    whole, part = inspector.inspect(position, 2, 0), inspector.inspect(position, 2, 0, crop=Crop(4, 8, 24, 20))
    np.testing.assert_array_equal(part.image, whole.image[:, 4:28, 8:28])
    assert part.prediction.shape == (2, 24, 20)


def test_invalid_arguments_are_reported(inspector: Inspector, movie: Path, tmp_path: Path) -> None:
    position = open_store(movie).position("fov")
    for arguments, message in (
        ({"t": 6, "z": 0}, r"frame 6 is not in .*; choose 0 to 5"),
        ({"t": 0, "z": 1}, r"plane 1 is not in .*; choose 0 to 0"),
        ({"t": 0, "z": 0, "crop": Crop(20, 0, 24, 20)}, r"the crop \(20, 0, 24, 20\) .* is not in .*, 40 x 52"),
        ({"t": 0, "z": 0, "channels": ["Nuclei"]}, "--channel Nuclei is not in"),
        ({"t": 0, "z": 0, "channels": ["Phase3D", "Phase3D"]}, "takes one channel"),
    ):
        with pytest.raises(UsageError, match=message):
            inspector.inspect(position, **arguments)  # type: ignore[arg-type]
    frames = phase(3, (40, 52))
    frames[1] = 0
    blank = open_store(write_image(tmp_path / "blank.zarr", frames)).position("fov")
    with pytest.raises(DataError, match=r"frame 1 .* is blank"):
        inspector.inspect(blank, 1, 0)


def test_an_unreadable_frame_does_not_affect_others(inspector: Inspector, tmp_path: Path) -> None:
    frames = phase(3, (40, 52))
    path = write_image(tmp_path / "broken.zarr", frames)
    for t in range(3):
        chunk = next(one for one in (path / "0" / str(t)).rglob("0") if one.is_file())
        chunk.write_bytes(chunk.read_bytes()[:50])
        position = open_store(path).position("fov")
        with pytest.raises(DataError, match=f"cannot read frame {t}"):
            inspector.read(position, t, 0)
        if t < 2:
            assert inspector.read(position, 2, 0).image.std() == pytest.approx(1, abs=0.3)
    with pytest.raises(DataError, match="cannot read frame 0"):
        field_statistics(position, 0, "mean_std")


def test_a_network_for_stacks_sees_the_planes_around_the_chosen_one(stack_checkpoint: Path, tmp_path: Path) -> None:
    inspector = Inspector(str(stack_checkpoint), normalization="none", device="cpu")
    data = np.concatenate([phase(2, (40, 52), seed) for seed in range(7)], axis=2)
    position = open_store(write_image(tmp_path / "in.zarr", data)).position("fov")
    assert inspector.stages == {"stem": 8, "encoder 1": 8, "encoder 2": 16, "decoder 1": 40, "head": 2}
    for z, planes in {3: [1, 2, 3, 4, 5], 0: [2, 1, 0, 1, 2], 6: [4, 5, 6, 5, 4]}.items():
        activations = inspector.inspect(position, 1, z)
        np.testing.assert_array_equal(activations.image, data[1, :, z])
        (expected,) = inspector._extractor._predictor.predict([data[1][:, planes]])
        np.testing.assert_array_equal(activations.prediction, expected[:, 2])
        np.testing.assert_array_equal(activations.features["head"], expected[:, 2])
        assert activations.features["decoder 1"].shape == (40, 20, 26)
    brighter = inspector.read(position, 1, 3, perturb=lambda field: field + np.float32(1), crop=Crop(4, 8, 24, 20))
    assert brighter.stack is not None
    np.testing.assert_allclose(brighter.stack, data[1, :, 1:6, 4:28, 8:28] + 1)
    np.testing.assert_array_equal(brighter.image, brighter.stack[:, 2])


def test_a_network_for_stacks_needs_more_than_one_plane(stack_checkpoint: Path, movie: Path, tmp_path: Path) -> None:
    inspector = Inspector(str(stack_checkpoint), device="cpu")
    with pytest.raises(UsageError, match="has a single plane, and the network takes stacks of 5"):
        inspector.read(open_store(movie).position("fov"), 0, 0)
    data = np.concatenate([phase(2, (40, 52), seed) for seed in range(7)], axis=2)
    data[0, 0, 4] = 0
    position = open_store(write_image(tmp_path / "in.zarr", data)).position("fov")
    with pytest.raises(DataError, match=r"frame 0 \(channel Phase3D, plane 4\) is blank"):
        inspector.read(position, 0, 3)
