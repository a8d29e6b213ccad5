"""Label images of tracked objects, and their lineage."""

from pathlib import Path

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import DataError
from image_translation.omezarr.store import Position, open_store
from image_translation.omezarr.tracked_labels import open_tracked_labels

LABELS = np.arange(3 * 24 * 36, dtype=np.uint32).reshape(3, 1, 1, 24, 36)


def image(path: Path, labels: np.ndarray | None = LABELS, lineage: str | None = None, version: str = "0.4") -> Position:
    write_image(path, phase(3), version=version)
    if labels is not None:
        write_image(path / "labels" / "nuclei", labels, channels=None, version=version)
    if lineage is not None:
        (path / "labels" / "man_track.txt").write_text(lineage)
    return open_store(path).position("fov")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_and_parents_are_read(tmp_path: Path, version: str) -> None:
    found = open_tracked_labels(image(tmp_path, lineage="1 0 1 0\n2 2 2 1\n3 2 2 1\n\n", version=version), "nuclei")
    assert found is not None
    assert found.parents == {2: 1, 3: 1}
    np.testing.assert_array_equal(found.image.read(2, 0, 0), LABELS[2, 0, 0])


def test_labels_may_be_missing_or_have_no_lineage(tmp_path: Path) -> None:
    assert open_tracked_labels(image(tmp_path / "a", labels=None), "nuclei") is None
    found = open_tracked_labels(image(tmp_path / "b"), "nuclei")
    assert found is not None
    assert found.parents == {}


@pytest.mark.parametrize(
    ("lineage", "text"),
    [
        ("1 0 1\n", "man_track.txt, line 1: '1 0 1' is not 'L B E P'"),
        ("1 0 1 x\n", "man_track.txt, line 1: '1 0 1 x' is not 'L B E P'"),
        ("1 0 2 0\n2 2 2 1\n", "the parent 1 of track 2 is no track that ends before it begins"),
        ("2 2 2 1\n", "the parent 1 of track 2 is no track that ends before it begins"),
    ],
)
def test_invalid_lineages_name_the_line(tmp_path: Path, lineage: str, text: str) -> None:
    with pytest.raises(DataError, match=r"man_track\.txt") as error:
        open_tracked_labels(image(tmp_path, lineage=lineage), "nuclei")
    assert text in str(error.value)


def test_labels_are_integers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have pixels of type float32; labels are integers"):
        open_tracked_labels(image(tmp_path, LABELS.astype(np.float32)), "nuclei")
