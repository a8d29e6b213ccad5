"""`load_network` and `inspect`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_translation import UsageError, inspect, load_network, stain
from image_translation.api.networks import Network


def test_a_network_says_what_it_takes_and_predicts(network: Network) -> None:
    assert network.input_channels == ("Phase3D",)
    assert network.output_channels == ("Nuclei", "Membrane")
    assert network.normalization == "mean_std"
    assert network.device == "cpu"


def test_normalised_images_are_predicted(movie: Any, network: Network) -> None:
    stained = stain(movie[:3, 0, 0], network, smooth=None)
    np.testing.assert_array_equal(network.predict(stained.phase[:, np.newaxis]), stained.raw)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 2, 8, 8)), r"\(1, 2, 8, 8\): the network takes \(B, 1, Y, X\)"),
        (np.zeros((1, 8, 8)), "the network takes"),
        (np.full((1, 1, 8, 8), np.nan), "not finite"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: Any, message: str, network: Network) -> None:
    with pytest.raises(UsageError, match=message):
        network.predict(images)


def test_an_unknown_checkpoint_or_device_is_an_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="no_such_name"):
        load_network("no_such_name")
    with pytest.raises(UsageError, match="abacus"):
        load_network(tiny_checkpoint, device="abacus").predictor()


def test_every_stage_is_seen(movie: Any, network: Network) -> None:
    found = inspect(movie[:, 0, 0], network, time=2, device="cpu")
    np.testing.assert_array_equal(found.prediction, stain(movie[:, 0, 0], network, smooth=None).raw[2])
    assert found.image.shape == (1, 40, 36)
    assert found.stages[0] == "stem"
    for stage, features in found.features.items():
        n = min(3, len(features))
        assert found.components(stage, n).shape == (n, *features.shape[1:])
        assert found.rgb(stage).shape == (*features.shape[1:], 3)
    assert found.figure().axes


def test_components_are_uncorrelated_and_ordered_by_variance(movie: Any, network: Network) -> None:
    found = inspect(movie[:, 0, 0], network, device="cpu")
    scores = found.components("stem", 3).reshape(3, -1)
    correlation = np.corrcoef(scores)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-3)
    assert (np.diff(scores.var(axis=1)) <= 0).all()


def test_what_is_not_there_is_named(movie: Any, network: Network) -> None:
    found = inspect(movie[:, 0, 0], network, crop=(0, 0, 16, 20), device="cpu")
    assert found.image.shape == (1, 16, 20)
    with pytest.raises(UsageError, match="no stage 'stump'; there are stem"):
        found.components("stump")
    with pytest.raises(UsageError, match="99 components of stem: it has 8 channels"):
        found.components("stem", 99)
    with pytest.raises(UsageError, match="frame 99 is not in array"):
        inspect(movie[:, 0, 0], network, time=99)
