"""Tracks and lineages of nuclei at known places, and their labels in the format of the Cell Tracking Challenge."""

from collections.abc import Sequence

import numpy as np

from image_translation.tracking.ctc import split_at_gaps
from image_translation.tracking.lineage import Lineage, follow_nuclei
from image_translation.tracking.nuclei import Nuclei, NucleiTable

REACH = 8.0


def nuclei(frames: dict[int, Sequence[tuple[float, float]]]) -> Nuclei:
    """Make nuclei at some places (y, x) of each frame."""
    places = [(t, n, *place) for t, inside in frames.items() for n, place in enumerate(inside, 1)]
    frame, label, y, x = (np.array(column) for column in zip(*places, strict=True)) if places else np.zeros((4, 0))
    ones = np.ones(len(places))
    return Nuclei(frame.astype(int), label.astype(int), y, x, ones.astype(int), ones, tuple(frames))


def test_nuclei_keep_their_track_through_a_missing_detection_and_an_invalid_frame() -> None:
    still, moving = (10.0, 50.0), [(float(10 + 2 * t), 10.0) for t in range(8)]
    frames = {t: [moving[t], still] for t in range(8)}
    frames[2] = [moving[2]]  # `still` is missed
    del frames[5]  # invalid
    found = nuclei(frames)
    lineage = follow_nuclei(found, REACH)
    assert lineage.count == 2
    assert lineage.parents == {}
    np.testing.assert_array_equal(lineage.tracks[found.x == 10], 1)
    np.testing.assert_array_equal(lineage.tracks[found.x == 50], 2)
    links = {(int(a), int(b)) for a, b in lineage.edges()}
    assert len(links) == len(found) - 2
    assert all(found.x[a] == found.x[b] and found.frame[a] < found.frame[b] for a, b in links)


def test_in_the_format_of_the_ctc_a_label_ends_at_a_gap() -> None:
    frames = {t: [(10.0, 10.0), (10.0, 50.0)] for t in range(8)}
    frames[2] = [(10.0, 10.0)]
    del frames[5]
    found = nuclei(frames)
    labels, rows = split_at_gaps(found, follow_nuclei(found, REACH))
    assert rows == [(1, 0, 4, 0), (2, 0, 1, 0), (3, 3, 4, 2), (4, 6, 7, 1), (5, 6, 7, 3)]
    for label, first, last, _ in rows:
        np.testing.assert_array_equal(found.frame[labels == label], range(first, last + 1))


def divided() -> tuple[Nuclei, Lineage]:
    """A nucleus that divides between the frames 2 and 3, beside one that does not."""
    frames: dict[int, list[tuple[float, float]]] = {t: [(20.0, 20.0), (20.0, 80.0)] for t in range(3)}
    frames |= {t: [(16.0, 20.0), (24.0, 20.0), (20.0, 80.0)] for t in range(3, 7)}
    found = nuclei(frames)
    return found, follow_nuclei(found, REACH)


def test_a_division_ends_a_track_and_begins_two() -> None:
    found, lineage = divided()
    assert lineage.count == 4
    assert lineage.divisions == 1
    mother = int(lineage.tracks[0])
    daughters = {int(track) for track in lineage.tracks[(found.frame > 2) & (found.x == 20)]}
    assert mother not in daughters
    assert lineage.parents == dict.fromkeys(daughters, mother)
    np.testing.assert_array_equal(np.unique(lineage.tracks[found.x == 80]), [2])
    np.testing.assert_array_equal(lineage.roots()[found.x == 20], mother)
    born = {(int(a), int(b)) for a, b in lineage.edges() if lineage.tracks[a] != lineage.tracks[b]}
    assert born == {(4, 6), (4, 7)}  # rows of the mother in frame 2, and of her daughters in frame 3


def test_daughters_descend_from_the_last_label_of_their_mother() -> None:
    found = nuclei({0: [(20.0, 20.0)], 2: [(20.0, 20.0)], 3: [(16.0, 20.0), (24.0, 20.0)]})
    lineage = Lineage(np.array([1, 1, 2, 3]), {2: 1, 3: 1})
    _, rows = split_at_gaps(found, lineage)
    assert rows == [(1, 0, 0, 0), (2, 3, 3, 4), (3, 3, 3, 4), (4, 2, 2, 1)]


def test_a_still_and_an_empty_movie_have_no_links() -> None:
    still = follow_nuclei(nuclei({0: [(1.0, 1.0), (5.0, 5.0)]}), REACH)
    np.testing.assert_array_equal(still.tracks, [1, 2])
    assert still.edges().shape == (0, 2)
    for empty in (nuclei({}), nuclei({0: [], 1: [], 2: []})):
        lineage = follow_nuclei(empty, REACH)
        assert (lineage.count, lineage.divisions, len(lineage.roots()), len(lineage.edges())) == (0, 0, 0, 0)
        assert split_at_gaps(empty, lineage)[1] == []


def test_nuclei_are_measured() -> None:
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:4] = 1
    labels[4:6, 6] = 2
    image = np.arange(48, dtype=np.float32).reshape(6, 8)
    table = NucleiTable()
    table.add(0, labels, image)
    table.add(2, np.zeros_like(labels), image)
    table.add(3, 2 * (labels == 1), image + 1)
    found = table.finish()
    np.testing.assert_array_equal(found.frame, [0, 0, 3])
    np.testing.assert_array_equal(found.label, [1, 2, 2])
    np.testing.assert_array_equal(found.area, [6, 2, 6])
    np.testing.assert_allclose(found.y, [1.5, 4.5, 1.5])
    np.testing.assert_allclose(found.x, [2, 6, 2])
    np.testing.assert_allclose(found.intensity, [14, 42, 15])
    assert found.frames == (0, 2, 3)
