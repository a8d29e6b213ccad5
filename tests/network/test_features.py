"""Feature maps of the stages: names, shapes, placement in the image, and no side effects on the network."""

from typing import Any

import numpy as np
import pytest
import torch

from image_translation.network.features import FeatureExtractor, Placement
from image_translation.network.loading import ModelSpec
from image_translation.network.predictor import Predictor

STAGES = ("stem", "encoder 1", "encoder 2", "decoder 1", "head")


@pytest.fixture
def network(tiny_model: tuple[ModelSpec, Any]) -> Any:
    return tiny_model[1]


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(0).normal(size=(1, 30, 45)).astype(np.float32)


def test_stages_are_listed_in_the_order_of_computation(network: Any, image: Any) -> None:
    extractor = FeatureExtractor(network, 4, device="cpu")
    _, features, _ = extractor.extract(image)
    assert tuple(features) == extractor.stages == STAGES
    assert [features[stage].shape[0] for stage in STAGES] == [8, 8, 16, 8, 2]
    assert {array.dtype for array in features.values()} == {np.dtype(np.float32)}


def test_prediction_and_head_are_equal_to_the_result_of_the_predictor(network: Any, image: Any) -> None:
    expected = Predictor(network, 4, device="cpu").predict([image])[0]
    predicted, features, _ = FeatureExtractor(network, 4, device="cpu").extract(image)
    np.testing.assert_array_equal(predicted, expected)
    np.testing.assert_array_equal(features["head"], expected)


def test_only_pixels_that_lie_entirely_in_the_padding_are_removed(network: Any, image: Any) -> None:
    """30 x 45 pixels are padded to 32 x 48: by 1 pixel at the top, bottom and left, and 2 at the right."""
    _, features, placements = FeatureExtractor(network, 4, device="cpu").extract(image)
    assert placements["stem"] == Placement(2, -1, -1)
    assert placements["encoder 2"] == Placement(4, -1, -1)
    assert placements["head"] == Placement(1, 0, 0)
    assert features["stem"].shape[1:] == (16, 23)
    assert features["encoder 2"].shape[1:] == (8, 12)
    assert features["head"].shape[1:] == (30, 45)
    _, padded, _ = FeatureExtractor(network, 4, device="cpu").extract(
        np.pad(image, ((0, 0), (1, 1), (1, 2)), "reflect")
    )
    np.testing.assert_array_equal(features["stem"], padded["stem"][:, :, :23])


def test_hooks_are_removed_and_weights_unchanged(network: Any, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    extractor = FeatureExtractor(network, 4, device="cpu")
    extractor.extract(image)

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(extractor._predictor, "run", fail)
    with pytest.raises(RuntimeError):
        extractor.extract(image)
    assert not any(module._forward_hooks for module in network.modules())
    assert not network.training
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_features_are_not_overwritten_by_the_next_image(network: Any, image: Any) -> None:
    extractor = FeatureExtractor(network, 4, device="cpu")
    _, features, _ = extractor.extract(image)
    kept = {stage: array.copy() for stage, array in features.items()}
    extractor.extract(image[:, ::-1])
    for stage, array in kept.items():
        np.testing.assert_array_equal(features[stage], array)
