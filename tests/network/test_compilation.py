"""Compiled networks: the same predictions, kept for later processes, and a fallback to eager mode."""

from typing import Any

import numpy as np
import pytest
import torch
from support.networks import Doubling, images

from image_translation.network.compilation import CompiledNetwork
from image_translation.network.predictor import Predictor


def test_network_that_cannot_be_compiled_runs_in_eager_mode(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        def fail(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("\n\nno working C++ compiler\nmore")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    predictor = Predictor(Doubling(), 4, device="cpu", backend="compile")
    batch = images(1, (8, 8))
    for _ in range(2):
        np.testing.assert_allclose(predictor.predict(batch)[0][0], 2 * batch[0][0])
    assert caplog.text.count("the network cannot be compiled here and runs in eager mode: no working C++ compiler") == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compiled_network_agrees_with_eager_mode_and_is_cached(
    tiny_model: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    spec, network = tiny_model
    predictor = Predictor(network, spec.stride, device="cpu", backend="compile")
    image = images(1, (32, 48))
    (compiled,) = predictor.predict(image)
    (expected,) = Predictor(network, spec.stride, device="cpu").predict(image)
    np.testing.assert_allclose(compiled, expected, atol=1e-4 * expected.std())
    assert isinstance(predictor._model, CompiledNetwork)
    assert predictor._model._works
    assert any((tmp_path / "compiled").rglob("*"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
