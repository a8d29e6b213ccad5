"""What stays loaded while controls move, and what a network is shown first."""

import gc
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import DataError, UsageError
from image_translation.explorer import session as module
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.session import Explorer, likely_channels
from image_translation.frame import Crop
from image_translation.network.loading import ModelSpec
from image_translation.omezarr.store import Position, open_store


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Position:
    path = write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(3, (40, 52)))
    return open_store(path).position("fov")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what goes through a network."""
    found: list[str] = []
    see = Inspector.see

    def counted(self: Inspector, shown: Any) -> Any:
        found.append(self.spec.sha256)
        return see(self, shown)

    monkeypatch.setattr(Inspector, "see", counted)
    return found


def test_a_network_is_loaded_once_and_let_go_when_another_takes_its_place(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    explorer = Explorer("cpu")
    network = explorer.network("first", str(tiny_checkpoint))
    assert network.stages == {"stem": 8, "encoder 1": 8, "encoder 2": 16, "decoder 1": 8, "head": 2}
    assert explorer.network("first", str(tiny_checkpoint)) is network
    assert explorer.network("second", str(tiny_checkpoint)) is network
    other = shutil.copy(tiny_checkpoint, tmp_path / "other.ckpt")
    gone = weakref.ref(network._extractor._predictor._model)
    explorer.network("first", str(other))
    assert gone() is not None  # the second slot holds it
    del network
    explorer.release("second")
    gc.collect()
    assert gone() is None
    explorer.release("second")


def test_a_checkpoint_that_was_written_anew_is_loaded_anew(tiny_checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_checkpoint, tmp_path / "copy.ckpt"))
    explorer = Explorer("cpu")
    network = explorer.network("first", str(copy))
    (tmp_path / "copy.ckpt.json").write_text("{}")
    again = explorer.network("first", str(copy))
    assert again is not network
    (tmp_path / "copy.ckpt").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"copy\.ckpt: not a PyTorch checkpoint"):
        explorer.network("first", str(copy))


def test_what_cannot_be_loaded_leaves_the_network_that_was_there(tiny_checkpoint: Path) -> None:
    explorer = Explorer("cpu")
    network = explorer.network("first", str(tiny_checkpoint))
    with pytest.raises(UsageError, match="no such file"):
        explorer.network("first", "nowhere.ckpt")
    assert explorer.network("first", str(tiny_checkpoint)) is network
    with pytest.raises(UsageError, match="abacus"):
        Explorer("abacus").network("first", str(tiny_checkpoint))


def test_an_image_goes_through_the_network_once(tiny_checkpoint: Path, position: Position, passes: list[str]) -> None:
    explorer = Explorer("cpu")
    network = explorer.network("first", str(tiny_checkpoint))
    first = explorer.see(network, network.read(position, 0, 0))
    other = explorer.see(network, network.read(position, 1, 0))
    again = explorer.see(network, network.read(position, 0, 0))
    assert len(passes) == 2
    for stage, features in first.features.items():
        assert again.features[stage] is features
        assert not np.array_equal(other.features[stage], features)
    explorer.see(network, network.read(position, 0, 0, normalization="none"))
    explorer.see(network, network.read(position, 0, 0, disturb=lambda field: field + 1))
    assert len(passes) == 4


def test_memory_is_bounded(tiny_checkpoint: Path, position: Position, passes: list[str]) -> None:
    explorer = Explorer("cpu", memory=0)
    network = explorer.network("first", str(tiny_checkpoint))
    for t in (0, 0, 1, 0):
        explorer.see(network, network.read(position, t, 0))
    assert len(passes) == 3  # the last one is kept
    size = module._size(next(iter(explorer._seen.values())))
    explorer = Explorer("cpu", memory=2 * size)
    for t in (0, 1, 0, 2, 0, 1):  # 1 is the one that was not looked at for longest
        explorer.see(network, network.read(position, t, 0))
    assert len(passes) == 3 + 4


def test_a_disturbance_sees_the_whole_field_before_it_is_cropped(tiny_checkpoint: Path, position: Position) -> None:
    network = Explorer("cpu").network("first", str(tiny_checkpoint))
    shapes = []

    def shift(field: np.ndarray) -> np.ndarray:
        shapes.append(field.shape)
        return np.roll(field, 5, axis=-1)

    whole = network.read(position, 0, 0).image
    part = network.read(position, 0, 0, crop=Crop(0, 5, 20, 20), disturb=shift)
    assert shapes == [(1, 40, 52)]
    np.testing.assert_array_equal(part.image, whole[:, :20, :20])


@pytest.mark.parametrize(
    ("trained", "names", "expected"),
    [
        (["Phase3D"], ("Nuclei", "Phase3D"), ("Phase3D",)),
        (["Nuclei", "Membrane"], ("Membrane", "Phase3D", "Nuclei"), ("Nuclei", "Membrane")),
        (["Other"], ("DAPI", "Phase3D", "phase 2"), ("Phase3D",)),
        (["Other"], ("DAPI", "BF"), ("BF",)),
        ([None], ("DAPI", "MAP2"), ("DAPI",)),
        (["Nuclei", "Membrane"], ("Phase", "DAPI", "MAP2", "NFH"), ("DAPI", "MAP2")),
        (["Nuclei", "Membrane"], ("Phase",), ("Phase",)),
    ],
)
def test_likely_channels(
    tiny_model: tuple[ModelSpec, Any],
    tmp_path: Path,
    trained: list[str | None],
    names: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    architecture = replace(tiny_model[0].architecture, in_channels=len(trained))
    spec = replace(tiny_model[0], input_channels=tuple(filter(None, trained)), architecture=architecture)
    data = np.repeat(phase(1), len(names), axis=1)
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=names)).position("fov")
    assert likely_channels(spec, position) == expected
