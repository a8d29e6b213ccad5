"""Normalisation statistics of single frames, from metadata and from pixels, and their medians over time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.stores import phase, write_image, write_plate

from image_translation import normalize
from image_translation.errors import DataError, UsageError
from image_translation.metrics.flicker import change
from image_translation.normalize import Statistics
from image_translation.omezarr.frame_statistics import (
    FrameStatistics,
    by_frame,
    stored_timepoint_statistics,
    timepoint_statistics,
)
from image_translation.omezarr.store import open_store
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec

GAINS = np.float32([1.0, 1.3, 0.8, 1.1, 0.7, 1.2, 0.9, 1.25])


def single(centers: list[float | None]) -> list[Statistics | None]:
    return [None if center is None else Statistics(center, 2 * center + 20, "estimated") for center in centers]


def centers(found: FrameStatistics) -> list[float | None]:
    return [each and each.center for each in found.frames]


def test_a_window_of_one_frame_is_the_frame() -> None:
    found = by_frame(single([3, 1, 7]), range(3))
    assert centers(found) == [3, 1, 7]
    assert found.of(1) == Statistics(1, 22, "estimated")
    assert found.overall == Statistics(3, 26, "estimated")


def test_medians_over_time_follow_a_ramp_without_lag_and_ignore_an_outlier() -> None:
    ramp: list[float | None] = [float(t) for t in range(9)]
    found = by_frame(single(ramp), range(9), window=5)
    assert centers(found)[2:7] == [2, 3, 4, 5, 6]
    assert centers(found)[0] == 1  # of the three frames that there are
    ramp[4] = 100.0
    assert centers(by_frame(single(ramp), range(9), window=5)) == [1, 1.5, 2, 3, 5, 6, 7, 6.5, 7]
    assert found.of(4).scale == 28


def test_blank_frames_take_no_part() -> None:
    found = by_frame(single([1, None, 5, 9]), range(1, 4), window=3)
    assert centers(found) == [None, 7, 7]
    assert found.start == 1
    with pytest.raises(DataError, match="frame 1 was blank when its statistics were estimated"):
        found.of(1)
    assert by_frame([None, None], range(2)) == FrameStatistics(Statistics(0.0, 1.0, "none"))


def test_statistics_survive_json() -> None:
    found = by_frame(single([1 / 3, None, 0.1]), range(3))
    again = FrameStatistics.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert FrameStatistics.from_json(FrameStatistics(found.overall).to_json()) == FrameStatistics(found.overall)
    # What versions without statistics of frames read.
    assert Statistics(**{key: value for key, value in found.to_json().items() if key != "frames"}) == found.overall


def test_frames_share_statistics_that_are_equal() -> None:
    first, second = by_frame(single([1, 2, None]), range(3)), by_frame(single([1, 3, None, 4]), range(4))
    assert [first.shares(second, t) for t in range(4)] == [True, False, True, False]


@pytest.mark.parametrize("method", ["median_iqr", "mean_std", "percentiles"])
def test_a_gain_of_single_frames_is_removed(tmp_path: Path, method: normalize.Method) -> None:
    clean = np.repeat(phase(1, (64, 64)), len(GAINS), axis=0)
    data = clean * GAINS[:, None, None, None, None] + 50 * GAINS[:, None, None, None, None]
    position = open_store(write_image(tmp_path / "a.zarr", data)).position("fov")
    found = timepoint_statistics(position, 0, method, frames=range(len(GAINS)))
    normal = [normalize.apply(data[t, 0, 0], found.of(t)) for t in range(len(GAINS))]
    np.testing.assert_allclose(normal, np.broadcast_to(normal[0], np.shape(normal)), atol=1e-3)
    assert np.std(normal[0]) > 0.1


def test_statistics_are_of_all_planes_and_of_frames_that_are_not_selected(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(5, 1, 3, 48, 48)).astype(np.float32)
    data += np.float32([0, 1, 2, 3, 4])[:, None, None, None, None]
    data[3, 0, 1] = 0  # one of the planes was dropped
    position = open_store(write_image(tmp_path / "a.zarr", data)).position("fov")
    numbers: list[int] = []
    found = timepoint_statistics(position, 0, "mean_std", frames=range(1, 4), on_frames=numbers.append)
    assert centers(found) == pytest.approx([data[1].mean(), data[2].mean(), data[3, 0, ::2].mean()], abs=1e-5)
    assert sum(numbers) == 3
    wide = timepoint_statistics(position, 0, "mean_std", frames=range(1, 4), window=3)
    whole = timepoint_statistics(position, 0, "mean_std", frames=range(5), window=3)
    assert wide.frames == whole.frames[1:4]
    (position.path / "0/2/0/1/0/0").write_bytes(b"x")  # reported when the frame is stained
    (position.path / "0/0/0/1/0/0").write_bytes(b"x")
    again = timepoint_statistics(position, 0, "mean_std", frames=range(1, 4))
    assert again.of(2).center == pytest.approx(data[2, 0, ::2].mean(), abs=1e-5)


def write_statistics(path: Path, of_frames: dict[str, Any]) -> None:
    zarr.open_group(path, mode="r+").attrs["normalization"] = {"Phase3D": {"timepoint_statistics": of_frames}}


def blocks(data: np.ndarray, offset: float = 0.0) -> dict[str, Any]:
    return {str(t): {"mean": float(frame.mean()) + offset, "std": float(frame.std())} for t, frame in enumerate(data)}


def test_stored_statistics_are_used_for_all_frames_or_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = phase(5, (64, 64)) + 10
    data[2] = 0
    path = write_image(tmp_path / "a.zarr", data)
    stored = blocks(data, offset=0.01)
    write_statistics(path, stored)
    position = open_store(path).position("fov")
    found = timepoint_statistics(position, 0, "mean_std", frames=range(5))
    assert found.overall.source == "metadata"
    assert found.of(3).center == data[3].mean() + 0.01
    assert found.frames[2] is None
    assert found == stored_timepoint_statistics(position, 0, "mean_std", frames=range(5))
    estimated = timepoint_statistics(position, 0, "mean_std", "estimated", frames=range(5))
    assert estimated.of(3).center == pytest.approx(data[3].mean(), abs=1e-5)
    assert not caplog.text
    write_statistics(path, stored | {"4": {"mean": 0.0, "std": 1.0}})
    position = open_store(path).position("fov")
    assert timepoint_statistics(position, 0, "mean_std", frames=range(5)) == estimated
    assert "0 of 5 frames have none, and those of 1 disagree with the pixels" in caplog.text
    assert timepoint_statistics(position, 0, "mean_std", "stored", frames=range(5)).of(4).center == 0
    write_statistics(path, {key: block for key, block in stored.items() if key in "0123"})
    position = open_store(path).position("fov")
    assert timepoint_statistics(position, 0, "mean_std", frames=range(5)) == estimated
    assert "1 of 5 frames have none, and those of 0 disagree" in caplog.text
    with pytest.raises(UsageError, match="for mean_std of the channel Phase3D for the frames 4;"):
        timepoint_statistics(position, 0, "mean_std", "stored", frames=range(5))
    assert len(timepoint_statistics(position, 0, "mean_std", "stored", frames=range(4)).frames) == 4


def test_statistics_that_plates_pool_over_positions_are_used_only_where_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As VisCy writes them: in the root, and up to version 0.4 copied to the positions."""
    wells = {"A/1/0": phase(3, (64, 64)), "A/2/0": phase(3, (64, 64), seed=1) + 8}
    path = write_plate(tmp_path / "a.zarr", wells)
    pooled, own = blocks(np.concatenate(list(wells.values()), axis=1)), blocks(wells["A/1/0"])
    write_statistics(path, pooled)
    root = dict(zarr.open_group(path).attrs)

    def find(source: normalize.Source) -> FrameStatistics:
        position = open_store(path).position("A/1/0")
        return timepoint_statistics(position, 0, "mean_std", source, frames=range(3), root=root)

    assert find("stored").of(0).center == pooled["0"]["mean"]
    assert find("auto").overall.source == "estimated"
    write_statistics(path / "A/1/0", pooled)
    assert find("stored").of(0).center == pooled["0"]["mean"]
    assert find("auto").overall.source == "estimated"
    assert find("auto").of(0).center == pytest.approx(own["0"]["mean"], abs=1e-5)
    write_statistics(path / "A/1/0", own)
    for source in normalize.SOURCES[:2]:
        assert find(source).of(0) == Statistics(own["0"]["mean"], own["0"]["std"], "metadata")
    assert not caplog.text


def flicker(images: list[np.ndarray], movie: Movie, statistics: FrameStatistics) -> float:
    """Return the change along the true motion, in standard deviations of a frame, after normalising."""
    normal = [normalize.apply(image, statistics.of(t))[np.newaxis] for t, image in enumerate(images)]
    steps = range(len(images) - 1)
    changes = [change(normal[t], normal[t + 1], *movie.displacement(t, t + 1))[0] / normal[t].std() for t in steps]
    return float(np.mean(changes))


def statistics_of(images: list[np.ndarray]) -> list[FrameStatistics]:
    """Return the statistics over the field of view, over single frames, and those in a window of 5."""
    each = [normalize.estimate([image.ravel().astype(float)], "median_iqr") for image in images]
    fov = FrameStatistics(normalize.estimate([image.ravel().astype(float) for image in images], "median_iqr"))
    frames = range(len(images))
    return [fov, by_frame(each, frames), by_frame(each, frames, window=5)]


def test_statistics_of_single_frames_flicker_and_their_medians_less() -> None:
    """Of cells that round up and divide, while nothing changes but the cells."""
    ratios = []
    for seed in (1, 2, 3):
        spec = MovieSpec(
            shape=(128, 128), frames=12, seed=seed, density=0.4, cell_radius=16.0, divisions=10.0, rounded=0.3,
            noise=0.02,
        )  # fmt: skip
        movie = Movie(spec)
        images = [movie.phase(t) for t in range(spec.frames)]
        fov, alone, windowed = (flicker(images, movie, each) for each in statistics_of(images))
        ratios.append((alone / fov, windowed / fov))
    alone, windowed = np.mean(ratios, axis=0)
    assert alone > 1.1
    assert 1 < windowed < 1 + 0.8 * (alone - 1)


def test_a_gain_jitter_flickers_unless_each_frame_has_its_statistics() -> None:
    spec = MovieSpec(shape=(128, 128), frames=len(GAINS), seed=3, density=0.6, noise=0.02)
    movie = Movie(spec)
    clean = [movie.phase(t) for t in range(spec.frames)]
    jittered = [image * gain for image, gain in zip(clean, GAINS, strict=True)]
    before = [flicker(clean, movie, each) for each in statistics_of(clean)]
    after = [flicker(jittered, movie, each) for each in statistics_of(jittered)]
    fov, alone, windowed = np.divide(after, before)
    assert fov > 1.5
    assert alone == pytest.approx(1, abs=1e-4)
    assert windowed > 1.3  # a window keeps what changes from frame to frame
