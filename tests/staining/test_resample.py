"""Movies whose pixels are not those that the network was trained with: told, and resampled on request."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from support.runs import killed_at_batch, pixels
from support.stores import write_image, write_plate

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.network.resampling import resize
from image_translation.network.sliding_window import StackPrediction
from image_translation.omezarr.store import open_store

UNITS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
SIZE = 0.25  # um; of the network, in y and x
PLANES = 0.4  # um; in z
OPTIONS = "--methods", "raw", "--normalization", "none"


@pytest.fixture
def stain(tiny_checkpoint: Path, stack_checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    """Run the command on a movie with a network for planes or for stacks, whose sidecar states a size of pixels."""

    def stain(
        movie: Path,
        *options: object,
        stacks: bool = False,
        size: Any = (PLANES, SIZE, SIZE),
        output: str = "out",
    ) -> int:
        checkpoint = tmp_path / f"{'stacks' if stacks else 'planes'}.ckpt"
        shutil.copy(stack_checkpoint if stacks else tiny_checkpoint, checkpoint)
        sidecar = Path(f"{checkpoint}.json")
        sidecar.write_text(json.dumps({"pixel_size": size} if size else {}))
        arguments = ("smooth", "-c", checkpoint, "-m", movie, "-o", tmp_path / output, "--device", "cpu")
        return main([str(argument) for argument in (*arguments, *OPTIONS, *options)])

    return stain


def smooth_movie(frames: int = 2, planes: int = 1, size: tuple[int, int] = (96, 112), seed: int = 0) -> np.ndarray:
    """Return a random movie (T, 1, Z, Y, X) without detail finer than a few pixels and planes."""
    noise = np.random.default_rng(seed).normal(size=(frames, 1, planes, *size))
    movie = ndimage.gaussian_filter(noise, (0, 0, 5 if planes > 1 else 0, 4, 4))
    return (movie / movie.std()).astype(np.float32)


def coarse(movie: np.ndarray, planes: int = 1) -> np.ndarray:
    """Return a movie as seen by pixels of twice the size, and in every so many of its planes."""
    *axes, height, width = movie[:, :, ::planes].shape
    means: np.ndarray = movie[:, :, ::planes].reshape(*axes, height // 2, 2, width // 2, 2).mean((-1, -3))
    return means


def write(path: Path, movie: np.ndarray, size: float = SIZE, planes: float = PLANES, **options: Any) -> Path:
    return write_image(path, movie, scale=(30, 1, planes, size, size), units=UNITS, **options)


def resized(stain: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a stain on another grid; when it shrinks, without the noise of single pixels of a random network."""
    return resize(stain.reshape(-1, *stain.shape[-2:]), (height, width)).reshape(*stain.shape[:-2], height, width)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the root mean square of a difference, relative to the standard deviation of what is expected."""
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


def test_a_coarse_movie_gets_the_stain_of_the_fine_one(stain: Any, tmp_path: Path, caplog: Any) -> None:
    movie = smooth_movie()
    fine = write(tmp_path / "fine.zarr", movie)
    seen = write(tmp_path / "coarse.zarr", coarse(movie), 2 * SIZE)
    assert stain(fine, output="fine") == 0
    assert "trained with pixels" not in caplog.text
    assert stain(seen, "--resample", output="resampled") == 0
    assert "trained with pixels" not in caplog.text
    assert stain(seen, output="plain") == 0
    (line,) = [record.message for record in caplog.records if "trained with pixels" in record.message]
    assert "of 0.25 x 0.25 um (y, x), and those of the movie are 0.5 x 0.5 um (y, x): cells of another size" in line
    assert "smooth --resample brings" in line
    expected = resized(pixels(tmp_path / "fine", "raw"), 48, 56)
    resampled, plain = (pixels(tmp_path / name, "raw") for name in ("resampled", "plain"))
    assert resampled.shape == expected.shape
    assert error(resampled, expected) < 0.05
    assert error(plain, expected) > 10 * error(resampled, expected)
    position = open_store(tmp_path / "resampled" / "raw.ome.zarr").position("fov")
    assert position.voxel_size == (PLANES, 2 * SIZE, 2 * SIZE)
    # Metrics and figures see the phase as it is: its correlation over time is that of the other run.
    phase = [
        [row.value for row in read_csv(tmp_path / name / "metrics.csv") if row.method == "phase"]
        for name in ("resampled", "plain")
    ]
    assert phase[0]
    assert phase[0] == phase[1]


def test_a_fine_movie_is_shrunk(stain: Any, tmp_path: Path) -> None:
    movie = smooth_movie()
    assert stain(write(tmp_path / "fine.zarr", movie), "--resample", size=(1, 2 * SIZE, 2 * SIZE), output="fine") == 0
    assert stain(write(tmp_path / "coarse.zarr", coarse(movie), 2 * SIZE), output="coarse") == 0
    expected = resized(pixels(tmp_path / "coarse", "raw"), 96, 112)
    assert error(pixels(tmp_path / "fine", "raw"), expected) < 0.05


def test_coarse_stacks_get_the_stain_of_fine_ones(stain: Any, tmp_path: Path, caplog: Any) -> None:
    movie = smooth_movie(planes=15)
    fine = write(tmp_path / "fine.zarr", movie)
    seen = write(tmp_path / "coarse.zarr", coarse(movie, 2), 2 * SIZE, 2 * PLANES)
    assert stain(fine, stacks=True, output="fine") == 0
    assert "trained with pixels" not in caplog.text
    assert stain(seen, "--resample", stacks=True, output="resampled") == 0
    assert stain(seen, stacks=True, output="plain") == 0
    assert "of 0.4 x 0.25 x 0.25 um (z, y, x), and those of the movie are 0.8 x 0.5 x 0.5 um (z, y, x)" in caplog.text
    expected = resized(pixels(tmp_path / "fine", "raw")[:, :, ::2], 48, 56)
    resampled, plain = (pixels(tmp_path / name, "raw") for name in ("resampled", "plain"))
    assert resampled.shape == expected.shape == (2, 2, 8, 48, 56)
    assert error(resampled, expected) < 0.1
    assert error(plain, expected) > 10 * error(resampled, expected)
    # Selected planes are those of the whole stack, in whichever order the network sees them.
    assert stain(seen, "--resample", "--z", "3:5", stacks=True, output="some") == 0
    np.testing.assert_allclose(pixels(tmp_path / "some", "raw"), resampled[:, :, 3:5], atol=1e-5)
    flipped = write(tmp_path / "flipped.zarr", coarse(movie, 2)[:, :, ::-1], 2 * SIZE, 2 * PLANES)
    assert stain(flipped, "--resample", "--z-reversed", stacks=True, output="flipped") == 0
    np.testing.assert_allclose(pixels(tmp_path / "flipped", "raw"), resampled[:, :, ::-1], atol=1e-5)


def test_stacks_that_are_too_fine_for_the_network(stain: Any, tmp_path: Path, caplog: Any) -> None:
    movie = smooth_movie(planes=8, size=(24, 32))
    seen = write(tmp_path / "in.zarr", movie, SIZE, PLANES / 2)
    assert stain(seen, "--resample", stacks=True) == 0  # 3.5 steps of the network are enclosed by 5 planes
    assert np.isfinite(pixels(tmp_path / "out", "raw")).all()
    finer = write(tmp_path / "finer.zarr", movie, SIZE, PLANES / 4)
    assert stain(finer, "--resample", stacks=True, output="finer") == 2
    assert "has 8 planes, 3 of the network's spacing, and the network takes stacks of 5; --z-pad extends" in caplog.text
    assert stain(finer, "--resample", "--z-pad", stacks=True, output="finer") == 0
    assert pixels(tmp_path / "finer", "raw").shape[2] == 8


def test_invalid_planes_of_resampled_stacks(stain: Any, tmp_path: Path, monkeypatch: Any) -> None:
    movie = smooth_movie(planes=12, size=(24, 32))
    movie[1, 0, 2, 5, 5] = np.nan
    pushed: list[bool] = []
    push = StackPrediction.push
    monkeypatch.setattr(
        StackPrediction, "push", lambda self, plane: (pushed.append(plane is not None), push(self, plane))[1]
    )
    assert stain(write(tmp_path / "in.zarr", movie, SIZE, 1.5 * PLANES), "--resample", stacks=True) == 0
    finite = np.isfinite(pixels(tmp_path / "out", "raw")).all((1, 3, 4))
    assert finite[0].all()
    # Planes of the network are 2/3 of those of the movie apart, so that two or three of them are made of plane 2.
    assert pushed.count(False) in (2, 3)
    assert not finite[1, :4].any()
    assert finite[1, 5:].all()


def test_dry_run_and_request(stain: Any, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    movie = smooth_movie(size=(24, 36))
    seen = write(tmp_path / "in.zarr", movie, 0.32)
    assert stain(seen, "--resample", "--dry-run", size=(None, 0.108, 0.108)) == 0
    out = capsys.readouterr().out
    assert "brought from pixels of 0.32 x 0.32 um (y, x) to 0.108 x 0.108 um (y, x), 24 x 36 to 71 x 107 pixels" in out
    assert stain(seen) == 0
    assert stain(seen, "--resample") == 2
    assert "prediction.resample" in caplog.text
    stored = open_store(tmp_path / "out" / "raw.ome.zarr").position("fov").attributes["image_translation"]["request"]
    assert "resample" not in stored["prediction"]
    assert stored["input"]["positions"]["fov"].keys() == {"shape", "frames", "pixels"}
    assert stain(seen, "--resample", "--overwrite") == 0
    before = pixels(tmp_path / "out", "raw")
    assert stain(seen, "--resample") == 0
    # What the movie says of its pixels decides the result, too.
    write(tmp_path / "in.zarr", movie, 0.4)
    assert stain(seen, "--resample") == 2
    assert stain(seen, "--resample", "--overwrite") == 0
    assert np.abs(pixels(tmp_path / "out", "raw") - before).max() > 1e-3
    assert stain(seen, "--resample", size=(PLANES, 0.3, 0.3)) == 2


def test_a_killed_run_continues(stain: Any, tmp_path: Path) -> None:
    seen = write(tmp_path / "in.zarr", smooth_movie(5, size=(24, 36)), 2 * SIZE)
    assert stain(seen, "--resample", output="whole") == 0
    with killed_at_batch(3):
        stain(seen, "--resample")
    assert stain(seen, "--resample") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "whole", "raw"))


def test_invalid_frames_stay_invalid(stain: Any, tmp_path: Path) -> None:
    movie = smooth_movie(3, size=(24, 36))
    movie[1] = 0
    assert stain(write(tmp_path / "in.zarr", movie, 2 * SIZE), "--resample", "--batch-size", "2") == 0
    assert np.isfinite(pixels(tmp_path / "out", "raw")).all((1, 2, 3, 4)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("options", "movie", "message"),
    [
        (
            {"size": None},
            0.5,
            "planes.ckpt was trained with is not known; state it in planes.ckpt.json beside it, as {",
        ),
        ({}, 1.0, "in.zarr along y, x is not known; state it in the metadata of the movie, as the scale"),
        (
            {},
            8.5 * SIZE,
            "the pixels of the movie are 2.125 um and those of the network 0.25 um; at most a factor of 8",
        ),
        (
            {"stacks": True, "size": (None, SIZE, SIZE)},
            0.5,
            "is not known, only ? x 0.25 x 0.25 um (z, y, x); state it in stacks.ckpt.json",
        ),
    ],
)
def test_what_cannot_be_resampled_is_an_error(
    stain: Any, tmp_path: Path, caplog: Any, *, options: Any, movie: float, message: str
) -> None:
    seen = write(tmp_path / "in.zarr", smooth_movie(planes=8, size=(24, 36)), movie)
    assert stain(seen, "--resample", **options) == 2
    assert message in caplog.text


@pytest.mark.parametrize(("size", "movie"), [(None, 0.5), ((None, SIZE, SIZE), 1.0)])
def test_nothing_is_said_of_unknown_sizes(stain: Any, tmp_path: Path, caplog: Any, size: Any, movie: float) -> None:
    assert stain(write(tmp_path / "in.zarr", smooth_movie(size=(24, 36)), movie), size=size) == 0
    assert "trained with pixels" not in caplog.text


def test_unknown_distance_of_planes(stain: Any, tmp_path: Path, caplog: Any) -> None:
    in_plane = {axis: UNITS[axis] for axis in "yx"}
    volumes = smooth_movie(planes=8, size=(24, 36))
    seen = write_image(tmp_path / "in.zarr", volumes, scale=(30, 1, 1, SIZE, SIZE), units=in_plane)
    assert stain(seen, "--resample", stacks=True) == 2
    assert "in.zarr along z is not known" in caplog.text
    caplog.clear()
    assert stain(seen, stacks=True) == 0
    assert "trained with pixels" not in caplog.text
    single = write(tmp_path / "single.zarr", smooth_movie(size=(24, 36)), SIZE, 1.0)
    assert stain(single, "--resample", stacks=True) == 2
    assert "has a single plane" in caplog.text


def test_one_warning_for_a_plate(stain: Any, tmp_path: Path, caplog: Any) -> None:
    movies = {name: smooth_movie(size=(24, 36), seed=seed) for seed, name in enumerate(("A/1/0", "A/2/0"))}
    plate = write_plate(tmp_path / "in.zarr", movies, scale=(30, 1, 1, 0.5, 0.5), units=UNITS)
    assert stain(plate) == 0
    assert len([record for record in caplog.records if "trained with pixels" in record.message]) == 1
    assert stain(plate, "--resample", "--scheduler", "local:1", output="cluster") == 0
    assert stain(plate, "--resample", output="here") == 0
    for name in movies:
        np.testing.assert_allclose(
            pixels(tmp_path / "cluster", "raw", name), pixels(tmp_path / "here", "raw", name), atol=1e-5
        )
