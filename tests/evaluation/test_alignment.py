"""Frames and pixels are paired by the coordinate transformations of the stores."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import edit_json, write_image

from image_translation.cli.commands import main
from image_translation.errors import UsageError
from image_translation.evaluation.alignment import Movie, align, plane_numbers
from image_translation.omezarr.store import open_store

SCALE = (60.0, 1.0, 1.0, 0.5, 0.5)


def scene(frames: int = 12, size: tuple[int, int] = (40, 48)) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(frames, 1, 1, *size)).astype(np.float32)


def place(path: Path, translation: tuple[float, ...]) -> Path:
    def move(content: Any) -> None:
        steps = content["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        steps.append({"type": "translation", "translation": list(translation)})

    edit_json(path / ".zattrs", move)
    return path


def opened(path: Path, what: str) -> Movie:
    return Movie(what, open_store(path).position("fov"), (0,))


def aligned(tmp_path: Path, *, exact: bool = False, by_number: bool = False) -> np.ndarray:
    """Align the truth with the prediction, and read all its frames."""
    raw, truth = opened(tmp_path / "raw", "the raw prediction"), opened(tmp_path / "truth", "the truth")
    frames = range(raw.position.shape[0])
    planes, _ = align(truth, raw, 0, frames, exact=exact, by_number=by_number)
    return np.stack([planes.read(number) for number in frames])[:, :, None]


def test_a_prediction_of_every_other_frame_meets_its_frames(tmp_path: Path) -> None:
    data = scene()
    write_image(tmp_path / "truth", data, scale=SCALE)
    write_image(tmp_path / "raw", data[::2], scale=(120.0, *SCALE[1:]))
    np.testing.assert_array_equal(aligned(tmp_path), data[::2])
    np.testing.assert_array_equal(aligned(tmp_path, by_number=True), data[:6])


def test_by_number_means_the_numbers_that_the_prediction_recorded(tmp_path: Path) -> None:
    data = np.random.default_rng(3).normal(size=(9, 1, 3, 40, 48)).astype(np.float32)
    write_image(tmp_path / "truth", data, scale=SCALE)
    write_image(tmp_path / "raw", np.ascontiguousarray(data[2:6, :, 1:2]), scale=SCALE)
    truth, raw = opened(tmp_path / "truth", "the truth"), opened(tmp_path / "raw", "the raw prediction")
    raw = replace(raw, planes=plane_numbers({"input": {"z": [1]}}))
    planes, _ = align(truth, raw, 0, range(2, 6), exact=False, by_number=True)
    for number in range(2, 6):
        np.testing.assert_array_equal(planes.read(number)[0], data[number, 0, 1])


def test_every_third_frame_from_the_second_one_on(tmp_path: Path) -> None:
    data = scene(14)
    write_image(tmp_path / "truth", data, scale=SCALE)
    place(write_image(tmp_path / "raw", data[1::3], scale=(180.0, *SCALE[1:])), (60.0, 0, 0, 0, 0))
    np.testing.assert_array_equal(aligned(tmp_path), data[1::3])


def test_a_crop_meets_its_pixels(tmp_path: Path) -> None:
    data = scene()
    place(write_image(tmp_path / "truth", data, scale=SCALE), (0, 0, 0, 100.0, -20.0))
    place(
        write_image(tmp_path / "raw", np.ascontiguousarray(data[2:9, ..., 6:30, 10:40]), scale=SCALE),
        (120.0, 0, 0, 103.0, -15.0),
    )
    np.testing.assert_array_equal(aligned(tmp_path), data[2:9, ..., 6:30, 10:40])


@pytest.mark.parametrize(
    ("scale", "translation", "message"),
    [
        ((60.0, 1, 1, 1.0, 0.5), (0.0,) * 5, "are 2 times as large along y as those of the truth"),
        ((90.0, 1, 1, 0.5, 0.5), (0.0,) * 5, "has 1.5 frames from one frame of the raw prediction to the next"),
        ((30.0, 1, 1, 0.5, 0.5), (0.0,) * 5, "has 0.5 frames from one frame of the raw prediction to the next"),
        (SCALE, (0, 0, 0, 0.25, 0), "is displaced against the raw prediction by -0.5 pixels along y"),
        (SCALE, (0, 0, 0, 0, 300.0), "covers the pixels 600 to 647 along x of the truth"),
        (SCALE, (0, 0, 0, -1.0, 0), "covers the pixels -2 to 37 along y of the truth"),
        (SCALE, (-60.0, 0, 0, 0, 0), "has 12 frames from frame 1 on; the 12 frames 0 to 11 are needed"),
        (SCALE, (20.0, 0, 0, 0, 0), "begins -0.333 frames after the raw prediction"),
    ],
)
def test_grids_that_do_not_meet_are_an_error(
    tmp_path: Path, scale: tuple[float, ...], translation: tuple[float, ...], message: str
) -> None:
    write_image(tmp_path / "truth", scene(), scale=SCALE)
    place(write_image(tmp_path / "raw", scene(), scale=scale), translation)
    with pytest.raises(UsageError) as error:
        aligned(tmp_path)
    assert message in str(error.value)
    np.testing.assert_array_equal(aligned(tmp_path, by_number=True), scene())


def test_sizes_that_differ_need_a_translation(tmp_path: Path) -> None:
    write_image(tmp_path / "truth", scene(), scale=SCALE)
    write_image(tmp_path / "raw", np.ascontiguousarray(scene()[..., 6:30, :]), scale=SCALE)
    with pytest.raises(UsageError, match="frames of 40 x 48 and the raw prediction of 24 x 48 pixels, and no trans"):
        aligned(tmp_path)


def test_another_prediction_must_have_the_same_pixels(tmp_path: Path) -> None:
    place(write_image(tmp_path / "truth", scene(), scale=SCALE), (0, 0, 0, 1.0, 0))
    write_image(tmp_path / "raw", scene(), scale=SCALE)
    with pytest.raises(UsageError, match="covers the pixels -2 to 37 along y"):
        aligned(tmp_path, exact=True)


def test_a_store_without_transformations_goes_by_number_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "truth", scene(), scale=SCALE)
    raw = write_image(tmp_path / "raw", scene(), scale=SCALE)
    edit_json(
        raw / ".zattrs", lambda content: content["multiscales"][0]["datasets"][0].pop("coordinateTransformations")
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(aligned(tmp_path), scene())
    assert caplog.text.count("states no coordinate transformations") == 1


def test_the_command_scores_every_other_frame_rightly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = scene()
    write_image(tmp_path / "t.zarr", data, scale=SCALE, channels=("Nuclei",))
    write_image(tmp_path / "p.zarr", data[::2], scale=(120.0, *SCALE[1:]), channels=("Nuclei",))
    command = ["evaluate", str(tmp_path / "p.zarr"), "--truth", str(tmp_path / "t.zarr"), "-o"]
    pearson = {}
    for name, options in {"placed": [], "by_number": ["--by-number"]}.items():
        assert main([*command, str(tmp_path / name), *options]) == 0
        rows = (tmp_path / name / "scores.csv").read_text().splitlines()
        header = rows[0].split(",")
        first = next(row.split(",") for row in rows[1:] if "pearson" in row or "pearson" in rows[0])
        pearson[name] = float(first[header.index("pearson")]) if "pearson" in header else float(first[-1])
    assert pearson["placed"] == pytest.approx(1)
    capsys.readouterr()
