"""Read a checkpoint file without ever letting it run code."""

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
    """Return the SHA-256 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: Path) -> Mapping[str, Any]:
    """Load what `torch.save` wrote, tensors and plain containers only.

    Weights stay on disk (memory mapped) until they are used, so that optimizer states cost nothing.

    Parameters
    ----------
    path
        File written by `torch.save`, in its present (zip) or former format.

    Returns
    -------
    Mapping
        The checkpoint, with its tensors on the CPU.

    Raises
    ------
    DataError
        The file is missing, unreadable, truncated or corrupt, no checkpoint, or would execute code.
    """
    zipped = _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and former formats, which are no one's concern here
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error, zipped=zipped) from error
    except Exception as error:  # corrupt bytes can fail anywhere in the reader
        msg = f"{path}: not a PyTorch checkpoint, or a truncated or corrupt one"
        raise DataError(msg) from error
    if not isinstance(content, Mapping):
        msg = f"{path}: holds a {type(content).__name__}, not a checkpoint with a state_dict"
        raise DataError(msg)
    return content


def state_dict(path: Path, checkpoint: Mapping[str, Any]) -> StateDict:
    """Take the weights out of a Lightning checkpoint or of a plain state dict.

    Parameters
    ----------
    path
        Named in errors.
    checkpoint
        As `load` returns it.

    Returns
    -------
    dict
        Name to weight, without the prefix of the module that held the network.

    Raises
    ------
    DataError
        There are no weights, or not only weights.
    """
    state = checkpoint.get("state_dict", checkpoint)
    tensors = isinstance(state, Mapping) and state and all(isinstance(value, torch.Tensor) for value in state.values())
    if not tensors:
        keys = ", ".join(sorted(map(str, checkpoint))[:5]) or "nothing"
        msg = f"{path}: holds no state_dict of weights (found: {keys})"
        raise DataError(msg)
    return {str(name): weight for name, weight in state.items()}


def _check_file(path: Path) -> bool:
    """Check that the file is there and whole; return whether it has the zip format, which can be memory mapped."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            msg = f"{path}: the checkpoint is empty (0 bytes)"
            raise DataError(msg)
        zipped = zipfile.is_zipfile(path)
        # PyTorch does not compare the check sums, so corrupt weights would pass.
        damaged = _damaged_record(path) if zipped else None
    except OSError as error:
        msg = f"{path}: the checkpoint cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    if damaged is not None or (magic.startswith(b"PK") and not zipped):
        msg = f"{path}: the checkpoint is truncated or corrupt{f' (record {damaged})' if damaged else ''}; get it anew"
        raise DataError(msg)
    return zipped


def _damaged_record(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return "directory"


def _refusal(path: Path, error: Exception, *, zipped: bool) -> DataError:
    found = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else _pickled_globals(path)
    # In a file of the former format only the first offender is known, from the reader's message.
    names = sorted(set(found) or set(re.findall(r"GLOBAL (\S+)", str(error))))
    if not names:
        return DataError(f"{path}: not a PyTorch checkpoint, or a truncated or corrupt one")
    return DataError(
        f"{path}: loading it would execute code ({', '.join(names)}), which a checkpoint is never allowed to do; "
        "where you trust it, save its weights alone: torch.save({'state_dict': checkpoint['state_dict']}, 'new.ckpt')"
    )


def _pickled_globals(path: Path) -> list[str]:
    """Disassemble a plain pickle, without executing it, for the names of what it would call."""
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
