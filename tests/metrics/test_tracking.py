"""Scores of tracks with known errors."""

from collections.abc import Iterable, Mapping
from math import isnan

import numpy as np
import pytest
from support.discs import discs

from image_translation.metrics.rows import TRACK_METRICS
from image_translation.metrics.tracking import Match, Movie, Tracks, link_nuclei, match_nuclei, score_tracks

SHAPE, RADIUS = (80, 80), 5.0
STARTS = np.array([(20, 20), (20, 60), (60, 20), (60, 60)])
PERFECT = {
    "tracking_tra": 1, "tracking_seg": 1, "complete_tracks": 1,
    "identity_switches": 0, "missed_links": 0, "false_links": 0,
}  # fmt: skip


def label_image(nuclei: Mapping[int, tuple[int, int]]) -> np.ndarray:
    """Draw nuclei, by label."""
    image = np.zeros(SHAPE, np.int32)
    for label, centre in nuclei.items():
        image[discs(SHAPE, [centre], RADIUS) > 0] = label
    return image


def moving(frames: int = 6) -> list[dict[int, tuple[int, int]]]:
    """Return four nuclei, labelled from 1, that move by a pixel per frame."""
    return [{n + 1: (int(y), int(x) + t) for n, (y, x) in enumerate(STARTS)} for t in range(frames)]


def tracked(images: Iterable[np.ndarray], parents: Mapping[int, int] | None = None) -> Tracks:
    movie = Movie()
    for frame, image in enumerate(images):
        movie.add(frame, image)
    return movie.tracks(parents or {})


def linked(images: Mapping[int, np.ndarray]) -> Tracks:
    movie = Movie()
    for frame, image in images.items():
        movie.add(frame, image)
    return link_nuclei(movie, 2 * RADIUS)


def score_images(
    true: list[np.ndarray], found: Mapping[int, np.ndarray], tracks: Tracks, parents: Mapping[int, int] | None = None
) -> dict[str, float]:
    matches = {frame: match_nuclei(true[frame], image) for frame, image in found.items()}
    return score_tracks(tracked(true, parents), tracks, matches)


def score_linked(
    true: list[np.ndarray], found: Mapping[int, np.ndarray], parents: Mapping[int, int] | None = None
) -> dict[str, float]:
    return score_images(true, found, linked(found), parents)


def test_perfect_tracks_have_no_error() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    shuffled = {t: np.where(image > 0, (image + t) % 4 + 1, 0) for t, image in enumerate(images)}
    assert score_linked(images, shuffled) == PERFECT


def test_nuclei_that_swap_labels_switch_once_each() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    swap = np.array([0, 2, 1, 3, 4])
    found = {t: swap[image] if t >= 3 else image for t, image in enumerate(images)}
    scores = score_images(images, found, tracked(found.values()))
    assert scores["identity_switches"] == 2
    assert scores["complete_tracks"] == 0.5
    assert (scores["missed_links"], scores["false_links"]) == (2, 2)
    assert scores["tracking_seg"] == 1
    # Four false nuclei and links of weight 1 and 1.5 against 24 nuclei of weight 10 and 20 links of weight 1.5.
    assert scores["tracking_tra"] == pytest.approx(1 - (2 * 1.5 + 2) / (24 * 10 + 20 * 1.5))


def test_a_nucleus_that_vanishes_for_a_frame_breaks_its_track_but_keeps_its_identity() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    found = {t: np.where(image == 2, 0, image) if t == 3 else image for t, image in enumerate(images)}
    tracks = linked(found)
    assert len(tracks.parents) == 1
    scores = score_images(images, found, tracks)
    assert scores["complete_tracks"] == 0.75
    assert scores["identity_switches"] == 0
    assert scores["missed_links"] == 2  # to the frame and from it
    assert scores["false_links"] == 1  # across it
    assert scores["tracking_seg"] == pytest.approx(23 / 24)


def test_a_nucleus_that_vanishes_for_long_comes_back_as_another_one() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    found = {t: np.where(image == 2, 0, image) if t in {2, 3} else image for t, image in enumerate(images)}
    scores = score_linked(images, found)
    assert scores["identity_switches"] == 1
    assert scores["missed_links"] == 3


def divided(frames: int = 6) -> list[np.ndarray]:
    """Return images in which nucleus 1 divides into 5 and 6 in frame 3."""
    nuclei = moving(frames)
    for t in range(3, frames):
        y, x = nuclei[t].pop(1)
        nuclei[t] |= {5: (y, x - 6), 6: (y, x + 6)}
    return [label_image(of) for of in nuclei]


def test_a_division_is_no_switch() -> None:
    images = divided()
    found = dict(enumerate(images))
    assert sorted(linked(found).parents.values()) == [1, 1]
    assert score_linked(images, found, {5: 1, 6: 1}) == PERFECT


def test_an_unknown_or_missing_division_costs_tra_but_no_switch() -> None:
    images = divided()
    scores = score_images(images, dict(enumerate(images)), tracked(images), {5: 1, 6: 1})
    assert scores["missed_links"] == 2
    assert (scores["identity_switches"], scores["complete_tracks"]) == (0, 1)
    assert scores["tracking_tra"] < 1


def test_a_false_division_is_no_switch_but_a_false_nucleus() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    halves = [image.copy() for image in images]
    for t in (3, 4, 5):
        halves[t][:20][halves[t][:20] == 1] = 5  # more than half of the nucleus remains
    scores = score_images(images, dict(enumerate(halves)), tracked(halves, {5: 1}))
    assert (scores["identity_switches"], scores["complete_tracks"]) == (0, 1)
    assert scores["tracking_tra"] == pytest.approx(1 - 3 / (24 * 10 + 20 * 1.5))


def test_merged_nuclei_are_followed_by_none() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    found = {t: np.where(image == 2, 1, image) if t == 3 else image for t, image in enumerate(images)}
    scores = score_images(images, found, tracked(found.values()))
    assert scores["identity_switches"] == 0
    assert scores["complete_tracks"] == 0.5


def test_a_flickering_segmentation_scores_worse() -> None:
    rng = np.random.default_rng(0)
    images = [label_image(nuclei) for nuclei in moving(12)]
    found = {t: np.where(np.isin(image, rng.permutation(4)[:1] + 1), 0, image) for t, image in enumerate(images)}
    steady, flickering = (score_linked(images, movie) for movie in (dict(enumerate(images)), found))
    assert flickering["tracking_tra"] < steady["tracking_tra"] - 0.1
    assert flickering["tracking_seg"] == pytest.approx(0.75)
    assert flickering["complete_tracks"] < 0.5
    assert flickering["missed_links"] > 12


def test_missing_frames_are_skipped_in_both() -> None:
    images = [label_image(nuclei) for nuclei in moving()]
    assert score_linked(images, {t: images[t] for t in (0, 1, 3, 5)}) == PERFECT


def test_matches_cover_more_than_half_of_the_reference() -> None:
    true = np.zeros((4, 10), np.int32)
    true[:, :4], true[:, 6:] = 3, 70_000
    found = np.zeros_like(true)
    found[:, 1:5], found[:2, 6:] = 9, 4
    match = match_nuclei(true, found)
    assert (match.reference.tolist(), match.found.tolist()) == ([3], [9])
    np.testing.assert_allclose(match.iou, 12 / 20)


def test_centres_are_those_of_the_pixels() -> None:
    movie = Movie()
    movie.add(7, label_image({4: (20, 30), 2: (50, 60)}))
    assert movie.nuclei[7].tolist() == [2, 4]
    np.testing.assert_allclose(movie.centres[7], [(50, 60), (20, 30)])


def test_without_nuclei_or_frames_there_is_no_score() -> None:
    images = [label_image(nuclei) for nuclei in moving(3)]
    empty = [np.zeros_like(image) for image in images]
    lost = score_linked(images, dict(enumerate(empty)))
    assert lost == dict(zip(TRACK_METRICS, (0, 0, 0, 0, 8, 0), strict=True))
    assert all(map(isnan, score_linked(empty, dict(enumerate(images))).values()))
    assert all(map(isnan, score_linked(images[:1], {0: images[0]}).values()))


def test_a_reference_without_links_is_scored() -> None:
    true = [label_image({1: (20, 20)}), label_image({2: (60, 60)})]
    scores = score_linked(true, dict(enumerate(true)))
    assert (scores["tracking_tra"], scores["missed_links"]) == (1, 0)
    assert isnan(scores["complete_tracks"])


def test_tracks_do_not_depend_on_the_order_of_labels() -> None:
    match = Match(np.array([8]), np.array([3]), np.array([1.0]))
    reference = Tracks({0: np.array([5, 8])}, {0: np.array([2, 1])}, {})
    assert reference.of(0, match.reference).tolist() == [1]
