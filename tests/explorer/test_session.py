"""Networks and activations that are kept while the controls change."""

import gc
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import SMALL_ARCHITECTURE
from support.stores import phase, write_image

from image_translation.errors import DataError, UsageError
from image_translation.explorer import session as module
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.session import Session
from image_translation.frame import Crop
from image_translation.network.fcmae import FCMAE
from image_translation.omezarr.store import Position, open_store


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Position:
    path = write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(3, (40, 52)))
    return open_store(path).position("fov")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the runs of networks."""
    found: list[str] = []
    run = Inspector.run

    def counted(self: Inspector, network_input: Any) -> Any:
        found.append(self.spec.sha256)
        return run(self, network_input)

    monkeypatch.setattr(Inspector, "run", counted)
    return found


def test_a_network_is_loaded_once_and_freed_when_another_takes_its_slot(tiny_checkpoint: Path, tmp_path: Path) -> None:
    session = Session("cpu")
    network = session.network("first", str(tiny_checkpoint))
    assert network.stages == {"stem": 8, "encoder 1": 8, "encoder 2": 16, "decoder 1": 8, "head": 2}
    assert session.network("first", str(tiny_checkpoint)) is network
    assert session.network("second", str(tiny_checkpoint)) is network
    other = shutil.copy(tiny_checkpoint, tmp_path / "other.ckpt")
    gone = weakref.ref(network._extractor._predictor._model)
    session.network("first", str(other))
    assert gone() is not None  # the second slot holds it
    del network
    session.release("second")
    gc.collect()
    assert gone() is None
    session.release("second")


def test_a_checkpoint_that_was_replaced_is_loaded_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_checkpoint, tmp_path / "copy.ckpt"))
    session = Session("cpu")
    network = session.network("first", str(copy))
    (tmp_path / "copy.ckpt.json").write_text("{}")
    again = session.network("first", str(copy))
    assert again is not network
    (tmp_path / "copy.ckpt").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"copy\.ckpt: not a PyTorch checkpoint"):
        session.network("first", str(copy))


def test_networks_with_and_without_pooling_are_kept_apart(tmp_path: Path, position: Position) -> None:
    architecture = replace(SMALL_ARCHITECTURE, head_conv=True, stem_kernel_size=(1, 4, 4))
    torch.save(FCMAE(architecture).state_dict(), tmp_path / "pools.pt")
    session, path = Session("cpu"), str(tmp_path / "pools.pt")
    with pytest.raises(UsageError, match="--head-pool yes or --head-pool no"):
        session.network("first", path)
    pooled = session.network("first", path, head_pool=True)
    assert session.network("second", path, head_pool=True) is pooled
    other = session.network("second", path, head_pool=False)
    image = pooled.read(position, 0, 0, normalization="none")
    predictions = [session.run(network, image).prediction for network in (pooled, other)]
    assert not np.allclose(*predictions, atol=1e-3)


def test_a_failed_load_keeps_the_network_of_the_slot(tiny_checkpoint: Path) -> None:
    session = Session("cpu")
    network = session.network("first", str(tiny_checkpoint))
    with pytest.raises(UsageError, match="no such file"):
        session.network("first", "nowhere.ckpt")
    assert session.network("first", str(tiny_checkpoint)) is network
    with pytest.raises(UsageError, match="abacus"):
        Session("abacus").network("first", str(tiny_checkpoint))


def test_the_network_is_run_once_for_an_image(tiny_checkpoint: Path, position: Position, runs: list[str]) -> None:
    session = Session("cpu")
    network = session.network("first", str(tiny_checkpoint))
    first = session.run(network, network.read(position, 0, 0))
    other = session.run(network, network.read(position, 1, 0))
    again = session.run(network, network.read(position, 0, 0))
    assert len(runs) == 2
    for stage, features in first.features.items():
        assert again.features[stage] is features
        assert not np.array_equal(other.features[stage], features)
    session.run(network, network.read(position, 0, 0, normalization="none"))
    session.run(network, network.read(position, 0, 0, perturb=lambda field: field + 1))
    assert len(runs) == 4


def test_the_cache_is_bounded(tiny_checkpoint: Path, position: Position, runs: list[str]) -> None:
    session = Session("cpu", cache_bytes=0)
    network = session.network("first", str(tiny_checkpoint))
    for t in (0, 0, 1, 0):
        session.run(network, network.read(position, t, 0))
    assert len(runs) == 3  # the last one is kept
    size = module._size(next(iter(session._cache.values())))
    session = Session("cpu", cache_bytes=2 * size)
    for t in (0, 1, 0, 2, 0, 1):  # frame 1 is the least recently used
        session.run(network, network.read(position, t, 0))
    assert len(runs) == 3 + 4


def test_the_full_field_is_perturbed_before_it_is_cropped(tiny_checkpoint: Path, position: Position) -> None:
    network = Session("cpu").network("first", str(tiny_checkpoint))
    shapes = []

    def shift(field: np.ndarray) -> np.ndarray:
        shapes.append(field.shape)
        return np.roll(field, 5, axis=-1)

    whole = network.read(position, 0, 0).image
    part = network.read(position, 0, 0, crop=Crop(0, 5, 20, 20), perturb=shift)
    assert shapes == [(1, 40, 52)]
    np.testing.assert_array_equal(part.image, whole[:, :20, :20])
