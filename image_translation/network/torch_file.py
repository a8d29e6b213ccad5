"""Files written by `torch.save`, read without executing code from them.

Only tensors and plain containers are restored. Whatever else a file contains, such as the ``argparse.Namespace``, path
or NumPy scalar among the hyper-parameters of a training, is replaced by a `StandIn`, which does nothing.
"""

import contextlib
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # names of Python 2, which protocol 2 uses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from image_translation.errors import DataError
from image_translation.files import find_corrupt_record
from image_translation.memory import require_memory

# What these do is never part of a training's state: a file that names them was made to execute code.
_HARMFUL = re.compile(
    r"(importlib|nt|os|posix|runpy|shutil|subprocess|sys|builtins\.(eval|exec|open|compile|__import__))\b"
)
_SAVE_WEIGHTS = (
    "if you trust it, save only its weights: torch.save({'state_dict': checkpoint['state_dict']}, 'new.ckpt')"
)
_PICKLES = 5  # in a file of the legacy format, before the values of its tensors


class StandIn(dict[Any, Any]):
    """Replacement of an object whose class is not loaded: its attributes or items, if they are a mapping."""

    def __init__(self, *_: Any) -> None:  # called instead of the constructor of the object, with its arguments
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    def __hash__(self) -> int:  # type: ignore[override]  # it may be the key of a mapping
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "<object that was not loaded>"


def read_torch_file(path: Path) -> Any:
    """Read a file written by `torch.save`.

    Tensors of the zip format are memory mapped, so that those which are not used, such as optimizer states, are not
    read.

    Parameters
    ----------
    path
        Regular file in the zip format of `torch.save`, or in its legacy format.

    Raises
    ------
    DataError
        If the file is truncated, corrupt or not of these formats, or if it was made to execute code.
    OSError
        If it cannot be read.
    """
    zipped = zipfile.is_zipfile(path)
    _require_intact(path, zipped=zipped)
    names = _other_names(path, zipped=zipped)
    harmful = [name for name in names if _HARMFUL.match(name)]
    if harmful:
        msg = f"{path}: loading it would execute code ({', '.join(harmful)}), which is not allowed; {_SAVE_WEIGHTS}"
        raise DataError(msg)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(StandIn, name) for name in names]):
            warnings.simplefilter("ignore")  # about pickle protocols and legacy formats
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # corrupt bytes can fail anywhere in torch.load
        msg = f"{path}: not a PyTorch checkpoint, or a truncated or corrupt one"
        if names:
            msg = f"{path}: cannot be read without executing code, because of {', '.join(names)}; {_SAVE_WEIGHTS}"
        raise DataError(msg) from error


def _require_intact(path: Path, *, zipped: bool) -> None:
    if not zipped:
        with path.open("rb") as file:
            truncated = file.read(2) == b"PK"
        if truncated:
            raise DataError(f"{path}: the checkpoint is truncated or corrupt; download or copy it again")
        require_memory(path.stat().st_size, f"{path} (a file that is read as a whole)", DataError)
        return
    # PyTorch does not verify the CRCs, so corrupt weights would be loaded; and it maps compressed records as they are.
    corrupt = find_corrupt_record(path)
    if corrupt is not None:
        raise DataError(f"{path}: the checkpoint is truncated or corrupt (record {corrupt}); download or copy it again")


def _other_names(path: Path, *, zipped: bool) -> list[str]:
    """Return the names of what a file contains besides tensors and plain containers."""
    with contextlib.suppress(Exception):  # a file that is no checkpoint is refused when it is loaded
        return sorted(
            torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else set(_pickled_names(path))
        )
    return []


def _pickled_names(path: Path) -> Iterator[str]:
    """Yield the names of all globals that the pickles of a file would import, without executing them."""
    strings: list[str] = []
    with path.open("rb") as file, contextlib.suppress(ValueError, LookupError):
        for _ in range(_PICKLES):
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name in {"GLOBAL", "INST"}:
                    module, name = str(argument).split(" ", 1)
                    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                    yield f"{module}.{name}"
                elif opcode.name == "STACK_GLOBAL":
                    yield ".".join(strings[-2:])
                elif isinstance(argument, str):
                    strings.append(argument)
