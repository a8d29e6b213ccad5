"""Receipts of verified files."""

import os
from pathlib import Path

import pytest

from image_translation.data.receipt import FileRecord, Receipt, read_receipt, verify_files


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "b/c"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


@pytest.fixture
def receipt(directory: Path) -> Receipt:
    return Receipt("0a", {name: FileRecord.of(directory / name, f"checksum of {name}") for name in ("a", "b/c")})


def test_a_receipt_is_read_back(tmp_path: Path, receipt: Receipt) -> None:
    receipt.write(tmp_path / "receipt.json")
    assert read_receipt(tmp_path / "receipt.json") == receipt
    assert {path.name for path in tmp_path.iterdir()} == {"data", "receipt.json"}
    assert receipt.checksums() == {"a": "checksum of a", "b/c": "checksum of b/c"}


def test_unchanged_files_match(directory: Path, receipt: Receipt) -> None:
    assert receipt.matches(directory)
    (directory / "added").touch()
    assert receipt.matches(directory)


def test_changed_and_missing_files_do_not_match(directory: Path, receipt: Receipt) -> None:
    status = (directory / "a").stat()
    (directory / "a").write_text("longer")
    os.utime(directory / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not receipt.matches(directory)
    (directory / "a").write_text("a")
    os.utime(directory / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert receipt.matches(directory)
    os.utime(directory / "a", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not receipt.matches(directory)
    (directory / "a").unlink()
    assert not receipt.matches(directory)


def test_an_empty_receipt_never_matches(directory: Path) -> None:
    assert not Receipt("0a", {}).matches(directory)


def test_only_files_without_a_matching_record_are_hashed(directory: Path, receipt: Receipt) -> None:
    steps: list[None] = []
    valid, invalid = verify_files(directory, receipt.checksums(), receipt.records, lambda: steps.append(None))
    assert (valid, invalid) == (receipt.records, [])  # although these checksums are wrong
    assert verify_files(directory, receipt.checksums(), {}, lambda: None) == ({}, ["a", "b/c"])
    assert len(steps) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "digest": "", "files": 3}',
             '{"format": 1, "digest": "", "files": {"a": [1, 2]}}', "\xff"]
)  # fmt: skip
def test_an_invalid_receipt_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "receipt.json").write_bytes(text.encode("latin-1"))
    assert read_receipt(tmp_path / "receipt.json") is None


def test_a_missing_receipt_is_none(tmp_path: Path) -> None:
    assert read_receipt(tmp_path / "absent.json") is None
