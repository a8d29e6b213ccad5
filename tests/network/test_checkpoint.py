"""Reading checkpoint files: legacy formats, damaged files, and files that would execute code."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import SMALL, assert_refused, has_weights, random_weights

from image_translation.network.loading import build_network, read_spec


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_legacy_file_format_is_read(network_class: Any, tmp_path: Path) -> None:
    state = random_weights(network_class, SMALL)
    torch.save({"state_dict": state}, tmp_path / "legacy.ckpt", _use_new_zipfile_serialization=False)
    assert has_weights(build_network(*read_spec(tmp_path / "legacy.ckpt")), state)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    assert_refused(path, "No such file")
    assert_refused(tmp_path, "Is a directory")
    path.touch()
    assert_refused(path, "empty")
    path.write_bytes(b"text, not a checkpoint")
    assert_refused(path, "not a PyTorch checkpoint")
    path.write_bytes(bytes(1000))
    assert_refused(path, "not a PyTorch checkpoint")
    torch.save([torch.ones(1)], path)
    assert_refused(path, "contains a list")
    torch.save({"epoch": 1, "weights": 2}, path)
    assert_refused(path, "no state_dict of weights .found: epoch, weights")
    torch.save({"state_dict": {}}, path)
    assert_refused(path, "no state_dict")


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.99])
def test_truncated_file_is_refused(tiny_checkpoint: Path, tmp_path: Path, fraction: float) -> None:
    content = tiny_checkpoint.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(len(content) * fraction)])
    assert_refused(path, "truncated or corrupt")


def test_file_with_one_flipped_bit_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(content)
    assert_refused(path, "truncated or corrupt")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 2", "pickle 4"])
def test_code_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    content = {"state_dict": {"a": torch.ones(1)}, "hyper_parameters": Malicious()}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(Malicious(), protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    assert_refused(path, r"would execute code \(posix.mkdir\).*not allowed.*save only its weights")
    assert not Path("executed").exists()
