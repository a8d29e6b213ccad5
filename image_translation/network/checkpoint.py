"""Read PyTorch checkpoint files without executing code from them."""

import contextlib
import hashlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from image_translation.errors import DataError

StateDict = dict[str, torch.Tensor]


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """Load a file written by `torch.save` that contains only tensors and plain containers.

    Tensors are memory mapped, so that those which are not used, such as optimizer states, are not read.

    Parameters
    ----------
    path
        File in the zip format of `torch.save`, or in its legacy format.

    Returns
    -------
    Mapping
        Content of the checkpoint, with its tensors on the CPU.

    Raises
    ------
    DataError
        If the file is missing, unreadable, truncated, corrupt or not a checkpoint, or if loading it would execute code.
    """
    zipped = _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and legacy formats
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _unsafe_error(path, error, zipped=zipped) from error
    except Exception as error:  # corrupt bytes can fail anywhere in torch.load
        msg = f"{path}: not a PyTorch checkpoint, or a truncated or corrupt one"
        raise DataError(msg) from error
    if not isinstance(content, Mapping):
        msg = f"{path}: contains a {type(content).__name__}, not a checkpoint with a state_dict"
        raise DataError(msg)
    return content


def extract_state_dict(path: Path, checkpoint: Mapping[str, Any]) -> StateDict:
    """Extract the weights from a Lightning checkpoint or a plain state dict.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    checkpoint
        Content from `load_checkpoint`.

    Returns
    -------
    dict
        Weights by name, prefixes included.

    Raises
    ------
    DataError
        If there are no weights, or values that are not tensors.
    """
    state = checkpoint.get("state_dict", checkpoint)
    tensors = isinstance(state, Mapping) and state and all(isinstance(value, torch.Tensor) for value in state.values())
    if not tensors:
        keys = ", ".join(sorted(map(str, checkpoint))[:5]) or "nothing"
        msg = f"{path}: contains no state_dict of weights (found: {keys})"
        raise DataError(msg)
    return {str(name): weight for name, weight in state.items()}


def _check_file(path: Path) -> bool:
    """Check that a file is readable and undamaged; return whether it is a zip file, which can be memory mapped."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            msg = f"{path}: the checkpoint is empty (0 bytes)"
            raise DataError(msg)
        zipped = zipfile.is_zipfile(path)
        # PyTorch does not verify the CRCs, so corrupt weights would be loaded.
        corrupt = _corrupt_record(path) if zipped else None
    except OSError as error:
        msg = f"{path}: the checkpoint cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    if corrupt is not None or (magic.startswith(b"PK") and not zipped):
        record = f" (record {corrupt})" if corrupt else ""
        msg = f"{path}: the checkpoint is truncated or corrupt{record}; download or copy it again"
        raise DataError(msg)
    return zipped


def _corrupt_record(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return "directory"


def _unsafe_error(path: Path, error: Exception, *, zipped: bool) -> DataError:
    found = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else _pickled_globals(path)
    # In a file of the legacy format only the first unsafe name is known, from the message of torch.load.
    names = sorted(set(found) or set(re.findall(r"GLOBAL (\S+)", str(error))))
    if not names:
        return DataError(f"{path}: not a PyTorch checkpoint, or a truncated or corrupt one")
    return DataError(
        f"{path}: loading it would execute code ({', '.join(names)}), which is not allowed; "
        "if you trust it, save only its weights: torch.save({'state_dict': checkpoint['state_dict']}, 'new.ckpt')"
    )


def _pickled_globals(path: Path) -> list[str]:
    """Return the names of all globals that a plain pickle would import, without executing it."""
    found: list[str] = []
    strings: list[str] = []
    with path.open("rb") as file, contextlib.suppress(ValueError, LookupError):
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in {"GLOBAL", "INST"}:
                found.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                found.append(".".join(strings[-2:]))
            elif isinstance(argument, str):
                strings.append(argument)
    return found
