"""`stain_live`: frames as they arrive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_translation import DataError, UsageError, load_network, smooth, stain, stain_live
from image_translation.api.networks import Network


def collected(frames: Any, method: str) -> np.ndarray:
    return np.stack([frame.data for frame in frames if frame.method == method])


def test_frames_are_those_of_a_whole_movie_normalised_alike(movie: Any, network: Network) -> None:
    phase = movie[:, 0, 0]
    whole = stain(phase, network, smooth="causal")
    statistics = whole.statistics
    live = list(stain_live(iter(phase), network, statistics=statistics))
    np.testing.assert_array_equal(collected(live, "raw"), whole.raw)
    np.testing.assert_array_equal(collected(live, "causal"), whole["causal"])


def test_a_frame_is_read_when_the_one_before_has_been_taken(movie: Any, network: Network) -> None:
    read = []

    def acquired() -> Iterator[np.ndarray]:
        for t, frame in enumerate(movie[:, 0, 0]):
            read.append(t)
            yield frame

    frames = stain_live(acquired(), network, first_frames=2)
    assert read == []
    assert next(frames).index == 0
    assert read == [0, 1]
    assert [(frame.method, frame.index) for frame in (next(frames), next(frames))] == [("raw", 1), ("causal", 0)]
    assert read == [0, 1]
    assert next(frames).index == 2
    assert read == [0, 1, 2]


def test_statistics_are_of_the_first_valid_frames(movie: Any, network: Network) -> None:
    phase = movie[[4, 0, 1, 2], 0, 0]  # the first one is blank
    first, *others = (frame for frame in stain_live(phase, network, smooth=None, first_frames=2))
    assert not first.valid
    values = phase[1:3].astype(np.float64)
    normal = (phase[1:] - values.mean()) / values.std()
    expected = network.predict(normal[:, np.newaxis])
    np.testing.assert_allclose(np.stack([frame.data for frame in others]), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ([np.ones((4, 4)), np.ones((4, 5))], {"statistics": (0, 1)}, r"frame 1 has shape \(4, 5\)"),
        ([np.ones((2, 4, 4))], {"statistics": (0, 1)}, r"frame 0 has shape \(2, 4, 4\)"),
        ([], {"smooth": "blur"}, "no method 'blur'"),
        ([], {"first_frames": 0}, "first_frames 0"),
    ],
)
def test_what_does_not_fit_is_refused(frames: Any, options: Any, message: str, *, network: Network) -> None:
    with pytest.raises(UsageError, match=message):
        list(stain_live(frames, network, **options))


def test_blank_frames_alone_are_an_error(network: Network) -> None:
    with pytest.raises(DataError, match="none of 3 frames is valid"):
        list(stain_live(np.zeros((3, 8, 8)), network))
    assert list(stain_live([], network)) == []


def test_networks_for_stacks_are_refused(stack_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="takes stacks of 5 planes"):
        stain_live([], load_network(stack_checkpoint, device="cpu"))


def test_smooth_equals_live(movie: Any, network: Network) -> None:
    frames = list(stain_live(movie[:, 0, 0], network, statistics=(0.0, 1.0), smooth="window"))
    np.testing.assert_array_equal(smooth(collected(frames, "raw"), method="window"), collected(frames, "window"))
