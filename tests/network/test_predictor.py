"""Prediction: padding, batches, test-time augmentation, precision, and what happens when memory runs out."""

from typing import Any

import numpy as np
import pytest
import torch
from support.networks import Doubling, images

from image_translation.errors import DataError, UsageError
from image_translation.network.predictor import MAX_BATCH_SIZE, Predictor, pad


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 33), (615, 615), (16, 32), (3, 2)])
@pytest.mark.parametrize("stride", [1, 16, 64])
def test_crop_of_pad_is_the_image(shape: tuple[int, int], stride: int) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    padded, crop = pad(image, stride)
    assert [size % stride for size in padded.shape[-2:]] == [0, 0]
    assert all(0 <= new - old < stride for new, old in zip(padded.shape, image.shape, strict=True) if new != old)
    np.testing.assert_array_equal(padded[..., *crop], image)
    assert np.isin(padded, image).all()


def test_padding_is_a_reflection_on_both_sides() -> None:
    padded, _ = pad(np.array([[0.0, 1.0, 2.0]], np.float32), 8)
    np.testing.assert_array_equal(padded, np.tile(np.float32([2, 1, 0, 1, 2, 1, 0, 1]), (8, 1)))


def test_image_is_not_copied_if_no_padding_is_needed() -> None:
    image = np.ones((1, 8, 16), np.float32)
    assert pad(image, 8)[0] is image


@pytest.mark.parametrize("shape", [(1, 1), (17, 33), (32, 32)])
@pytest.mark.parametrize("tta", [False, True])
def test_prediction_of_a_known_network(shape: tuple[int, int], tta: bool) -> None:
    batch = images(3, shape)
    outputs = Predictor(Doubling(), 4, device="cpu", tta=tta).predict(batch)
    for image, output in zip(batch, outputs, strict=True):
        assert output.shape == (2, *shape)
        assert output.dtype == np.float32
        assert output.flags.c_contiguous
        np.testing.assert_allclose(output[0], 2 * image[0], rtol=1e-6)


def test_augmentation_averages_over_the_eight_symmetries() -> None:
    output = Predictor(Doubling(), 1, device="cpu", tta=True).predict([np.zeros((1, 6, 10), np.float32)])[0]
    # Each of the four sides is the first row twice: the mean row number is half of (height - 1 + width - 1) / 2.
    np.testing.assert_allclose(output[1], np.full((6, 10), (5 + 9) / 4), rtol=1e-6)


def test_augmented_prediction_rotates_with_the_image(tiny_model: Any) -> None:
    spec, network = tiny_model
    predictor = Predictor(network, spec.stride, device="cpu", tta=True)
    image = images(1, (24, 24))[0]
    turned = predictor.predict([np.rot90(image, axes=(1, 2))])[0]
    np.testing.assert_allclose(turned, np.rot90(predictor.predict([image])[0], axes=(1, 2)), atol=1e-5)


def test_prediction_depends_only_on_its_own_image(tiny_model: Any) -> None:
    spec, network = tiny_model
    predictor = Predictor(network, spec.stride, device="cpu", batch_size=4)
    batch = images(4, (33, 47))
    batch[2] *= 100
    together = predictor.predict(batch)
    for image, output in zip(batch, together, strict=True):
        alone = predictor.predict([image])[0]
        np.testing.assert_allclose(output, alone, rtol=1e-4, atol=1e-5 * alone.std())
    assert not np.allclose(together[0], together[1])


def test_frame_of_suitable_size_is_not_padded(tiny_model: Any) -> None:
    spec, network = tiny_model
    image = images(1, (32, 32))[0]
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)[None, :, None])[0, :, 0].numpy()
    np.testing.assert_array_equal(Predictor(network, spec.stride, device="cpu").predict([image])[0], expected)


def test_bfloat16_is_close_to_float32(tiny_model: Any) -> None:
    spec, network = tiny_model
    image = images(1, (32, 48))
    exact = Predictor(network, spec.stride, device="cpu").predict(image)[0]
    rough = Predictor(network, spec.stride, device="cpu", precision="bf16").predict(image)[0]
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_inputs_are_not_modified(tiny_model: Any) -> None:
    spec, network = tiny_model
    image = images(1, (32, 32))[0]
    image.flags.writeable = False
    before = image.copy()
    Predictor(network, spec.stride, device="cpu", tta=True).predict([image])
    np.testing.assert_array_equal(image, before)


def test_network_that_changes_the_image_size_is_refused() -> None:
    halving = torch.nn.AvgPool3d((1, 2, 2))
    with pytest.raises(DataError, match="they must be equal"):
        Predictor(halving, 4, device="cpu").predict(images(1, (8, 8)))


class Greedy(torch.nn.Module):
    """Twice the input, with memory for a limited number of images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, list[int]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError
        return 2 * x


def test_batch_that_does_not_fit_into_memory_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    network = Greedy(2)
    predictor = Predictor(network, 4, device="cpu", batch_size=7)
    batch = images(7, (8, 7))
    for image, output in zip(batch, predictor.predict(batch), strict=True):
        np.testing.assert_array_equal(output, 2 * image)
    assert network.seen == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert "a batch of 7 images does not fit into the memory of cpu; trying 3" in caplog.text
    network.seen.clear()
    predictor.predict(batch[:2])  # the smaller batch size is kept
    assert network.seen == [1, 1]


def test_single_image_that_does_not_fit_into_memory_is_an_error() -> None:
    with pytest.raises(
        UsageError, match="an image of 8 x 8 pixels does not fit into the memory of cpu, even as a batch of one"
    ):
        Predictor(Greedy(0), 4, device="cpu", batch_size=2).predict(images(2, (8, 7)))


def test_started_predictions_can_be_collected_in_any_order(tiny_model: Any) -> None:
    spec, network = tiny_model
    predictor = Predictor(network, spec.stride, device="cpu", batch_size=2)
    one, two = images(2, (24, 33)), images(2, (24, 33), seed=1)
    first, second = predictor.start(one), predictor.start(two)
    for started, batch in ((second, two), (first, one)):
        for output, expected in zip(started(), predictor.predict(batch), strict=True):
            np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(("free", "size"), [(0, 1), (1e6, 1), (40e6, 7), (1e12, MAX_BATCH_SIZE)])
def test_batch_size_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch, free: float, size: int) -> None:
    predictor = Predictor(Doubling(), 16, device="cpu")
    predictor.device = torch.device("cuda")
    monkeypatch.setattr("image_translation.network.predictor.free_memory", lambda device: free)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5e6)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5e6 + 100 * 256**2)  # 100 bytes per pixel
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(Predictor, "run", lambda self, batch, take: [batch.numpy])
    assert predictor.batch_size((1, 200, 193)) == size  # padded to 208 x 208
    assert Predictor(Doubling(), 4, device="cpu", batch_size=3).batch_size((1, 200, 193)) == 3


def test_invalid_precision_and_batch_size_are_refused() -> None:
    with pytest.raises(UsageError, match="--precision fp16: not supported on the CPU; use fp32 or bf16"):
        Predictor(Doubling(), 4, device="cpu", precision="fp16")
    with pytest.raises(UsageError, match="--batch-size 0: must be 1 or more"):
        Predictor(Doubling(), 4, device="cpu", batch_size=0)
    assert Predictor(Doubling(), 4, device="cpu").batch_size((1, 8, 8)) == 1
    assert Predictor(Doubling(), 4, device="cpu", batch_size=3).batch_size((1, 8, 8)) == 3
