"""Reading checkpoint files: legacy formats, damaged files, and files that would execute code."""

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.checkpoints import SMALL, assert_refused, has_weights, random_weights

from image_translation.errors import DataError
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
    assert_refused(tmp_path, "is a directory")
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


class Settings:
    """A class of a training that is not installed here."""

    def __init__(self) -> None:
        self.rate = 0.1


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_other_classes_are_not_loaded(network_class: Any, tmp_path: Path, *, zipped: bool) -> None:
    state = random_weights(network_class, SMALL)
    config = argparse.Namespace(model_config={"head_conv_pool": False, "in_channels": 7}, best=np.float64(0.5))
    others = {"root": tmp_path, "loss": np.float32(2), "settings": Settings(), "dtype": np.dtype("f4"), tmp_path: 1}
    path = tmp_path / "training.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": config} | others, path, _use_new_zipfile_serialization=zipped)
    spec, found = read_spec(path)
    assert has_weights(build_network(spec, found), state)
    assert spec.notes == ("the hyper-parameters say in_channels=7, the weights 1; the weights are used",)


def test_weights_are_found_where_trainings_store_them(network_class: Any, tmp_path: Path) -> None:
    plain = random_weights(network_class, SMALL)
    compiled = {name.replace("model.", "_orig_mod.model.encoder_decoder._orig_mod."): w for name, w in plain.items()}
    extra = {"model._extra_state": {"scale": 1}, "loss._extra_state": None}
    for number, content in enumerate((
        {"model": plain, "epoch": 3}, {"model_state_dict": plain, "loss": 0.1}, {"state_dict": compiled}, compiled,
        {"state_dict": plain | extra}, plain | extra,
    )):  # fmt: skip
        path = tmp_path / f"{number}.pt"
        torch.save(content, path)
        assert has_weights(build_network(*read_spec(path)), plain)


def test_safetensors_are_read_with_their_metadata(network_class: Any, tmp_path: Path) -> None:
    state = random_weights(network_class, SMALL)
    metadata = {"normalization": "mean_std", "output_channels": ["DNA", "Lipids"]}
    path = tmp_path / "network.safetensors"
    save_file(state, path, {"image_translation": json.dumps(metadata), "format": "pt"})
    spec, found = read_spec(path)
    assert has_weights(build_network(spec, found), state)
    assert (spec.normalization, spec.output_channels) == ("mean_std", ("DNA", "Lipids"))
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(path, "not a safetensors file, or a truncated or corrupt one")


def test_tensors_without_values_are_refused(network_class: Any, tmp_path: Path) -> None:
    name = "model.encoder.stem.norm.bias"
    state = random_weights(network_class, SMALL)
    path = tmp_path / "x.ckpt"
    claims = torch.as_strided(torch.ones(8), (10**6, 10**6), (0, 0))
    for tensor, message in (
        (state[name].to_sparse(), "is not dense .its layout is sparse_coo"),
        (torch.empty(8, device="meta"), "has a shape but no values"),
        (claims, "claims 1,000,000,000,000 values of 4 bytes, of which the file has 32 bytes"),
    ):
        torch.save({"state_dict": state | {name: tensor}}, path)
        assert_refused(path, f"the weight {name} {message}")


def test_compressed_checkpoints_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "compressed.ckpt"
    with zipfile.ZipFile(tiny_checkpoint) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    assert_refused(path, "truncated or corrupt .record")


def test_only_regular_files_are_read(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pipe = tmp_path / "pipe.ckpt"
    os.mkfifo(pipe)
    assert_refused(pipe, "is a named pipe; only regular files")
    assert_refused(Path("/dev/zero"), "is a device; only regular files")
    link = tmp_path / "link.ckpt"
    link.symlink_to(tiny_checkpoint)
    read_spec(link)
    os.mkfifo(f"{link}.json")
    with pytest.raises(DataError, match=r"link\.ckpt\.json: is a named pipe"):
        read_spec(link)
