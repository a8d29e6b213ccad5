"""Labels and lineage of simulated cells agree with each other, with the motion, and with the conventions for tracks."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from image_translation.simulation.movie import Movie
from image_translation.simulation.population import Population
from image_translation.simulation.spec import CELLS, MovieSpec
from image_translation.simulation.tracks import Track, find_tracks

SPEC = MovieSpec(
    shape=(144, 128), frames=40, seed=5, density=0.6, cell_radius=12.0, speed=2.5, divisions=3.0, detaching=0.5
)


@pytest.fixture(scope="module", params=CELLS)
def movie(request: pytest.FixtureRequest) -> Movie:
    return Movie(dataclasses.replace(SPEC, cells=request.param))


@pytest.fixture(scope="module")
def labels(movie: Movie) -> NDArray[np.int32]:
    """Nuclei and cells of all frames: (T, 2, Y, X)."""
    return np.stack([movie.labels(t) for t in range(SPEC.frames)])


def population(parent: list[int], birth: list[int]) -> Population:
    fields = dict.fromkeys((field.name for field in dataclasses.fields(Population)), np.zeros(0))
    return Population(**fields | {"parent": np.array(parent), "birth": np.array(birth)})


def test_a_label_is_present_in_each_frame_of_its_track_and_in_no_other(movie: Movie, labels: NDArray[np.int32]) -> None:
    tracks = movie.lineage()
    assert len({track.label for track in tracks}) == len(tracks) > 20
    for image in range(2):
        expected = {(track.label, t) for track in tracks for t in range(track.first, track.last + 1)}
        assert {(label, t) for t in range(SPEC.frames) for label in np.unique(labels[t, image]) if label} == expected


def test_daughters_name_a_mother_that_ends_before_them(movie: Movie) -> None:
    tracks = {track.label: track for track in movie.lineage()}
    daughters = [track for track in tracks.values() if track.parent]
    assert len(daughters) >= 6
    for daughter in daughters:
        assert tracks[daughter.parent].last == daughter.first - 1
    times = {t for t, *_ in movie.divisions}
    assert {daughter.first for daughter in daughters} <= times


def test_labels_follow_the_displacement(movie: Movie, labels: NDArray[np.int32]) -> None:
    agree = []
    for t in range(0, 39, 6):
        flow, valid = movie.displacement(t, t + 1)
        target = np.rint(np.indices(valid.shape) + flow).astype(int).clip(0, np.array(valid.shape)[:, None, None] - 1)
        inside = valid & (labels[t, 0] > 0)
        agree.append(labels[t + 1, 0][tuple(target)][inside] == labels[t, 0][inside])
    together = np.concatenate(agree)
    assert together.size > 5000
    assert together.mean() > 0.93  # rounding at the outlines of nuclei
    assert (labels[1:, 0] == labels[:-1, 0])[labels[:-1, 0] > 0].mean() < 0.9


def test_nuclei_are_where_the_stain_is_and_inside_their_cells(movie: Movie, labels: NDArray[np.int32]) -> None:
    for t in (0, 20, 39):
        nuclei, cells = labels[t]
        stain = movie.fluorescence(t)[0]
        assert stain[nuclei > 0].mean() > 10 * stain[nuclei == 0].mean()
        np.testing.assert_array_equal(nuclei[nuclei > 0], cells[nuclei > 0])
        assert (cells > 0).sum() > 2 * (nuclei > 0).sum()


def test_labels_do_not_depend_on_the_order_of_frames_and_move_with_the_stage() -> None:
    spec = dataclasses.replace(SPEC, frames=6, stage_jitter=3.0)
    forward, backward = Movie(spec), Movie(spec)
    assert forward.labels(1).dtype == np.int32
    first = [forward.labels(t) for t in (0, 3)]
    second = [backward.labels(t) for t in (3, 0)][::-1]
    np.testing.assert_array_equal(first, second)
    still = Movie(dataclasses.replace(spec, speed=0.0, deformation=0.0, divisions=0.0, detaching=0.0))
    centres = [np.argwhere(still.labels(t)[0] == label).mean(axis=0) for t in (0, 1) for label in (inner(still),)]
    np.testing.assert_allclose(
        centres[1] - centres[0], np.subtract(still.stage_shift(1), still.stage_shift(0)), atol=0.3
    )


def inner(movie: Movie) -> int:
    """Return the label of a nucleus near the middle of the field."""
    nuclei = movie.labels(0)[0]
    positions = np.argwhere(nuclei > 0)
    return int(nuclei[tuple(positions[np.abs(positions - np.array(nuclei.shape) / 2).sum(axis=1).argmin()])])


def test_a_cell_that_comes_back_is_a_new_track_without_a_parent() -> None:
    visible = np.array([[1, 1], [1, 0], [0, 0], [1, 1], [1, 0], [0, 1]], np.bool_)
    labels, tracks = find_tracks(population([-1, -1], [0, 0]), visible)
    assert tracks == (
        Track(1, 0, 1, 0), Track(2, 0, 0, 0), Track(3, 3, 4, 0), Track(4, 3, 3, 0), Track(5, 5, 5, 0),
    )  # fmt: skip
    np.testing.assert_array_equal(labels, [[1, 2], [1, 0], [0, 0], [3, 4], [3, 0], [0, 5]])


def test_a_daughter_of_an_invisible_mother_has_no_parent() -> None:
    # The mother is cell 0; she divides at frame 2. Cell 1 appears at once, cell 2 a frame later.
    visible = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]], np.bool_)
    cells = population([-1, 0, 0], [0, 2, 2])
    assert find_tracks(cells, visible)[1] == (Track(1, 0, 1, 0), Track(2, 2, 3, 1), Track(3, 3, 3, 0))
    visible[1, 0] = False
    assert find_tracks(cells, visible)[1][1] == Track(2, 2, 3, 0)
