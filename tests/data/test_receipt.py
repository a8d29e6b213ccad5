import os
from pathlib import Path

import pytest

from image_translation.data.receipt import Mark, Receipt, read_receipt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b/c"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


@pytest.fixture
def receipt(folder: Path) -> Receipt:
    return Receipt("sum", {name: Mark.of(folder / name, f"sum of {name}") for name in ("a", "b/c")})


def test_it_is_read_as_it_was_written(tmp_path: Path, receipt: Receipt) -> None:
    receipt.write(tmp_path / "receipt.json")
    assert read_receipt(tmp_path / "receipt.json") == receipt
    assert {path.name for path in tmp_path.iterdir()} == {"data", "receipt.json"}
    assert receipt.sums() == {"a": "sum of a", "b/c": "sum of b/c"}


def test_what_is_as_it_was_fits(folder: Path, receipt: Receipt) -> None:
    assert receipt.fits(folder)
    (folder / "stray").touch()
    assert receipt.fits(folder)


def test_another_size_or_time_or_nothing_does_not_fit(folder: Path, receipt: Receipt) -> None:
    status = (folder / "a").stat()
    (folder / "a").write_text("longer")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not receipt.fits(folder)
    (folder / "a").write_text("a")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert receipt.fits(folder)
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not receipt.fits(folder)
    (folder / "a").unlink()
    assert not receipt.fits(folder)


def test_a_receipt_of_nothing_fits_nothing(folder: Path) -> None:
    assert not Receipt("sum", {}).fits(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "digest": "", "files": 3}',
             '{"format": 1, "digest": "", "files": {"a": [1, 2]}}', "\xff"]
)  # fmt: skip
def test_what_cannot_be_understood_is_no_receipt(tmp_path: Path, text: str) -> None:
    (tmp_path / "receipt.json").write_bytes(text.encode("latin-1"))
    assert read_receipt(tmp_path / "receipt.json") is None


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_receipt(tmp_path / "absent.json") is None
