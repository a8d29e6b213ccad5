"""Phase and truth of registered predictions."""

import logging
from pathlib import Path

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.evaluation.registered import as_predicted
from image_translation.metrics.rows import read_csv
from image_translation.omezarr.registered import Registration, displace
from image_translation.omezarr.store import open_store

FRAMES = 4
SHIFTS = ((1.5, -0.5), (0.0, 0.0), (-1.0, 2.0), (0.25, 0.75))
NAMES = ("Phase3D", "Nuclei", "Membrane")


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    data = np.concatenate([phase(FRAMES, (48, 48), seed=i) for i in range(3)], axis=1)
    return write_image(tmp_path / "in.zarr", data, channels=NAMES)


@pytest.fixture
def predicted(tmp_path: Path, movie: Path) -> Path:
    """A prediction that equals the truth: the nuclei registered, the membranes as they are."""
    truth = open_store(movie).position("fov")
    data = np.stack([[truth.read(t, c, 0) for c in (1, 2)] for t in range(FRAMES)])
    for number, shift in enumerate(SHIFTS):
        data[number, 0] = displace(data[number, 0], shift)
    registration = Registration("by hand", 0, NAMES[:2], SHIFTS, 1.0, 0.1)
    source = {"movie": str(movie), "positions": {"fov": {"frames": [0, FRAMES]}}}
    attributes = {"image_translation": {"request": {"input": source}, "registration": registration.to_json()}}
    return write_image(
        tmp_path / "out" / "raw.ome.zarr", data[:, :, np.newaxis], channels=NAMES[1:], attributes=attributes
    )


def test_the_movie_is_displaced_and_other_stores_are_not(movie: Path, predicted: Path, tmp_path: Path) -> None:
    prediction = open_store(predicted).position("fov")
    source, other = open_store(movie), open_store(write_image(tmp_path / "other.zarr", phase(FRAMES, (48, 48))))
    found = as_predicted(source.position("fov"), source, prediction)
    np.testing.assert_array_equal(found.read(2, 0, 0), displace(source.position("fov").read(2, 0, 0), SHIFTS[2]))
    np.testing.assert_array_equal(found.read(1, 0, 0), source.position("fov").read(1, 0, 0))
    assert as_predicted(other.position("fov"), other, prediction) == other.position("fov")


def test_images_are_scored_against_the_registered_truth(movie: Path, predicted: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(predicted), "--truth", str(movie), "-o", str(tmp_path / "scores")]) == 0
    found = {
        row.channel: row.value
        for row in read_csv(tmp_path / "scores" / "scores.csv")
        if row.metric == "pearson" and row.method == "raw"
    }
    assert found == pytest.approx({"Nuclei": 1.0, "Membrane": 1.0}, abs=1e-5)


def test_a_phase_of_another_store_is_taken_as_it_is(
    predicted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_image(tmp_path / "other.zarr", phase(FRAMES, (48, 48)))
    assert main(["evaluate", str(predicted), "--phase", str(other)]) == 0
    (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert str(other) in warning
    assert "registered" in warning
