"""Label images, in the version and with the pyramid of their image, as other readers see them."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.stores import phase, write_image

from image_translation.omezarr.labels import LabelImage, list_labels
from image_translation.omezarr.output import ImageSpec
from image_translation.omezarr.store import open_store

FRAMES, SIZE = 5, (23, 36)
UNITS = {"t": "second", "y": "micrometer", "x": "micrometer"}
LABELS = np.random.default_rng(0).integers(0, 2**20, (FRAMES, 1, *SIZE)).astype(np.int32)


def spec(path: Path, version: str) -> ImageSpec:
    data = phase(FRAMES, SIZE)
    write_image(path, data, names=("0", "1"), scale=(60, 1, 1, 0.5, 0.5), units=UNITS, version=version)
    image = open_store(path).position("fov")
    return ImageSpec(image, ("Nuclei",), range(FRAMES), FRAMES, (0,))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_have_version_scales_and_levels_of_their_image(tmp_path: Path, version: str) -> None:
    image = spec(tmp_path / "a.zarr", version)
    writer = LabelImage(tmp_path / "a.zarr" / "labels" / "nuclei", image, attributes={"made": "here"})
    for start in range(0, FRAMES, writer.frames_per_file):
        writer.write(start, LABELS[start : start + writer.frames_per_file])
    list_labels(tmp_path / "a.zarr", "nuclei")
    read = open_store(tmp_path / "a.zarr").position("fov").labels("nuclei")
    assert read is not None
    assert read.zarr_format == image.like.zarr_format
    assert [level.shape for level in read.levels] == [(FRAMES, 1, 1, *SIZE), (FRAMES, 1, 1, 12, 18)]
    assert [level.scale for level in read.levels] == [level.scale for level in image.like.levels]
    assert dict(read.units) == UNITS
    assert read.axes == ("t", "z", "y", "x")
    assert read.attributes["image_translation"] == {"made": "here"}
    np.testing.assert_array_equal(np.stack([read.read(t, 0, 0) for t in range(FRAMES)]), LABELS[:, 0])
    small = zarr.open_array(read.path / "1", mode="r")[:, 0]
    assert set(np.unique(small)) <= set(np.unique(LABELS))
    np.testing.assert_array_equal(small[:, :11], LABELS[:, 0, :22:2, ::2])
    ome = read.attributes.get("ome", read.attributes)
    assert ome["image-label"]["source"] == {"image": "../../"}


def test_the_frames_of_a_file_are_written_together(tmp_path: Path) -> None:
    image = spec(tmp_path / "a.zarr", "0.5")
    writer = LabelImage(tmp_path / "labels.zarr", image, levels=1, source=None)
    assert writer.frames_per_file == FRAMES
    writer.write(0, LABELS)
    assert len([path for path in (tmp_path / "labels.zarr" / "0").rglob("c/*") if path.is_file()]) <= 1
    assert len([path for path in (tmp_path / "labels.zarr").rglob("*") if path.is_file()]) == 3  # two of metadata
    assert json.loads((tmp_path / "labels.zarr" / "zarr.json").read_text())["attributes"]["ome"]["image-label"] == {}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_label_image_is_listed_once_beside_others(tmp_path: Path, version: str) -> None:
    spec(tmp_path / "a.zarr", version)
    for name in ("cells", "nuclei", "cells"):
        list_labels(tmp_path / "a.zarr", name)
    attributes = zarr.open_group(tmp_path / "a.zarr" / "labels", mode="r").attrs.asdict()
    assert attributes.get("ome", attributes)["labels"] == ["nuclei", "cells"]
