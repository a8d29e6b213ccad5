"""Prediction of stacks by a window that is slid along z."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from image_translation.network.architecture import Architecture
from image_translation.network.fcmae import FCMAE
from image_translation.network.predictor import Predictor
from image_translation.network.sliding_window import StackPrediction, StackWindow


class Middle(torch.nn.Module):
    """Returns the middle planes of its input, and twice them."""

    def __init__(self, out_depth: int) -> None:
        super().__init__()
        self._out_depth = out_depth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = (x.shape[2] - self._out_depth) // 2
        middle = x[:, :1, start : start + self._out_depth]
        return torch.cat([middle, 2 * middle], 1)


def numbered(depth: int, shape: tuple[int, int] = (7, 9)) -> NDArray[np.float32]:
    """Return a stack whose planes hold their numbers, (C, Z, Y, X)."""
    return np.broadcast_to(np.arange(depth, dtype=np.float32)[None, :, None, None], (1, depth, *shape))


def predict(
    network: torch.nn.Module, window: StackWindow, stack: NDArray[Any], *, planes: range | None = None,
    invalid: tuple[int, ...] = (), stride: int = 4, batch_size: int = 2, **options: Any,
) -> dict[int, NDArray[np.float32] | None]:  # fmt: skip
    """Predict planes of a stack (C, Z, Y, X), as the staining of a movie does; None for invalid ones."""
    depth = stack.shape[1]
    planes = window.predictable(depth) if planes is None else planes
    prediction = StackPrediction(Predictor(network, stride, device="cpu", **options), window, batch_size)
    found = []
    for z in window.sources(planes, depth):
        found += prediction.push(None if z in invalid else np.ascontiguousarray(stack[:, z]))
    found += prediction.finish()
    return {z: None if (wait := found[k]) is None else wait() for k, z in window.wanted(planes, depth).items()}


@pytest.mark.parametrize("batch_size", [1, 3, 50])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("depths", "pad"), [((5, 5), False), ((5, 3), False), ((5, 1), False), ((4, 1), True), ((15, 15), True)]
)
def test_every_plane_is_predicted_from_the_windows_around_it(
    depths: tuple[int, int], pad: bool, reverse: bool, batch_size: int
) -> None:
    window = StackWindow(*depths, pad=pad, reverse=reverse)
    found = predict(Middle(depths[1]), window, numbered(9), batch_size=batch_size)
    assert sorted(found) == list(window.predictable(9))
    for z, image in found.items():
        assert image is not None
        np.testing.assert_allclose(image, np.stack([np.full((7, 9), z), np.full((7, 9), 2 * z)]), rtol=1e-6)


def test_predictable_planes() -> None:
    assert StackWindow(5, 5).predictable(9) == range(9)
    assert not StackWindow(5, 5).predictable(4)
    assert StackWindow(5, 1).predictable(9) == range(2, 7)
    assert StackWindow(4, 1).predictable(9) == range(1, 7)
    assert StackWindow(4, 1, reverse=True).predictable(9) == range(2, 8)
    assert StackWindow(15, 15, pad=True).predictable(2) == range(2)


def test_only_the_windows_of_the_wanted_planes_are_read() -> None:
    assert StackWindow(5, 5).sources(range(10, 12), 30) == list(range(6, 16))
    assert StackWindow(5, 1).sources([10], 30) == [8, 9, 10, 11, 12]
    assert StackWindow(5, 5).sources([0], 30) == [0, 1, 2, 3, 4]
    assert StackWindow(5, 1, pad=True).sources([0], 30) == [2, 1, 0, 1, 2]
    assert StackWindow(5, 1, reverse=True).sources([3], 30) == [5, 4, 3, 2, 1]
    assert StackWindow(5, 5, pad=True).sources([0, 1, 2], 3) == [1, 0, 1, 2, 1]


def test_a_selected_plane_is_predicted_as_in_the_whole_stack() -> None:
    network, window = small_network(5), StackWindow(5, 5)
    stack = noise(9)
    whole = predict(network, window, stack)
    part = predict(network, window, stack, planes=range(3, 5))
    assert list(part) == [3, 4]
    for z, image in part.items():
        np.testing.assert_allclose(image, whole[z], rtol=1e-5, atol=1e-6)


def test_windows_with_an_invalid_plane_are_left_out() -> None:
    stack = numbered(9).copy()
    stack[:, 2] = np.nan
    found = predict(Middle(3), StackWindow(3, 3), stack, invalid=(2,), batch_size=4)
    # Window 3 to 5 is the first whole one: the others around plane 2 hold it.
    assert [z for z, image in found.items() if image is None] == [0, 1, 2]
    for z in range(3, 9):
        np.testing.assert_allclose(found[z], np.stack([np.full((7, 9), z), np.full((7, 9), 2 * z)]))
    assert set(predict(Middle(3), StackWindow(3, 3), stack, invalid=(2, 5, 8)).values()) == {None}


def small_network(depth: int) -> FCMAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FCMAE(
            Architecture(
                in_channels=1, out_channels=2, encoder_blocks=(1, 1), dims=(8, 16), decoder_conv_blocks=1,
                stem_kernel_size=(depth, 4, 4), in_stack_depth=depth,
            )
        )  # fmt: skip
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    return network.eval()


def noise(depth: int, shape: tuple[int, int] = (32, 40)) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(1, depth, *shape)).astype(np.float32)


@pytest.fixture
def tracked_metadata() -> Iterator[None]:
    """Let MONAI remember how it padded, which trainings turn off for the whole process and VisCy relies on."""
    from monai.data import get_track_meta, set_track_meta

    earlier = get_track_meta()
    set_track_meta(True)
    yield
    set_track_meta(earlier)


@pytest.mark.usefixtures("tracked_metadata")
@pytest.mark.parametrize("tta", [False, True])
def test_prediction_is_that_of_viscy(network_class: Any, tta: bool) -> None:
    from viscy.translation.engine import AugmentedPredictionVSUNet

    own = small_network(5)
    original = network_class(
        in_channels=1, out_channels=2, encoder_blocks=[1, 1], dims=[8, 16], decoder_conv_blocks=1,
        stem_kernel_size=[5, 4, 4], in_stack_depth=5, pretraining=False,
    )  # fmt: skip
    original.load_state_dict(own.state_dict())
    transforms: dict[str, Any] = {}
    if tta:
        turns = [(turn, flip) for turn in range(4) for flip in ((), (-1,))]
        transforms = {
            "forward_transforms": [lambda x, k=k, f=f: x.rot90(k, (-2, -1)).flip(f) for k, f in turns],
            "inverse_transforms": [lambda x, k=k, f=f: x.flip(f).rot90(-k, (-2, -1)) for k, f in turns],
        }
    module = AugmentedPredictionVSUNet(original.eval(), **transforms).eval()
    stack = noise(11, (256, 256))
    module.on_predict_start()
    with torch.inference_mode():
        expected = module.predict_sliding_windows(torch.from_numpy(stack)[None])[0].numpy()
    found = predict(own, StackWindow(5, 5), stack, stride=8, batch_size=3, tta=tta)
    assert len(found) == 11
    for z, image in found.items():
        np.testing.assert_allclose(image, expected[:, z], atol=1e-5 * float(expected.std()), rtol=1e-5)
