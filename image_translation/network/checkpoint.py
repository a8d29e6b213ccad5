"""Checkpoint files: their content, and the weights in it.

A checkpoint is a file of `torch.save` (see `torch_file`) or a safetensors file (https://huggingface.co/docs/safetensors).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from image_translation.errors import DataError, first_line
from image_translation.files import require_regular_file
from image_translation.network.torch_file import read_torch_file

StateDict = dict[str, torch.Tensor]

_WEIGHTS = ("state_dict", "model_state_dict", "model")  # keys under which trainings store the weights
_COMPILED = "_orig_mod."  # that PyTorch's compiler inserts into the names of what it compiled
_EXTRA_STATE = "_extra_state"  # end of the names of what modules store besides their weights


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """Load a checkpoint without executing code from it.

    Parameters
    ----------
    path
        File in the zip format of `torch.save` or in its legacy format, or a safetensors file. The metadata of the
        latter are texts: those that are JSON become what they mean.

    Returns
    -------
    Mapping
        Content of the checkpoint, with its tensors on the CPU, memory mapped where possible.

    Raises
    ------
    DataError
        If the file is missing, unreadable, no regular file, truncated, corrupt or not a checkpoint, or if loading it
        would execute code.
    """
    require_regular_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if not start:
            raise DataError(f"{path}: the checkpoint is empty (0 bytes)")
        content = _read_safetensors(path) if start[8:] == b"{" else read_torch_file(path)
    except OSError as error:
        msg = f"{path}: the checkpoint cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    if not isinstance(content, Mapping):
        msg = f"{path}: contains a {type(content).__name__}, not a checkpoint with a state_dict"
        raise DataError(msg)
    return content


def extract_state_dict(path: Path, checkpoint: Mapping[str, Any]) -> StateDict:
    """Extract the weights from a Lightning checkpoint, another common form of checkpoint, or a plain state dict.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    checkpoint
        Content from `load_checkpoint`.

    Returns
    -------
    dict
        Weights by name, prefixes included, but not those of PyTorch's compiler.

    Raises
    ------
    DataError
        If there are no weights, or values that are not dense tensors with all of their values in the file.
    """
    state = next((checkpoint[key] for key in _WEIGHTS if isinstance(checkpoint.get(key), Mapping)), checkpoint)
    weights = {
        str(name).replace(_COMPILED, ""): value for name, value in state.items() if not str(name).endswith(_EXTRA_STATE)
    }
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        keys = ", ".join(sorted(map(str, checkpoint))[:5]) or "nothing"
        msg = f"{path}: contains no state_dict of weights (found: {keys})"
        raise DataError(msg)
    for name, weight in weights.items():
        problem = _describe_problem(weight)
        if problem:
            raise DataError(f"{path}: the weight {name} {problem}; save the network with dense weights")
    return weights


def _describe_problem(weight: torch.Tensor) -> str | None:
    """Say why a tensor cannot be a weight, without touching its values; None if it can."""
    if weight.is_meta:
        return "has a shape but no values (it is on the device 'meta')"
    if weight.layout != torch.strided or weight.is_nested:
        return f"is not dense (its layout is {str(weight.layout).removeprefix('torch.')})"
    stored = weight.untyped_storage().nbytes()
    if weight.numel() * weight.element_size() > stored:
        return (
            f"claims {weight.numel():,} values of {weight.element_size()} bytes, of which the file has {stored:,} bytes"
        )
    return None


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {name: _parse_json(text) for name, text in (file.metadata() or {}).items()}
            return metadata | {"state_dict": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(
            f"{path}: not a safetensors file, or a truncated or corrupt one ({first_line(error)})"
        ) from error


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
