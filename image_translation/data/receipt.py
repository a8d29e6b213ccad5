"""What was found to be whole, so that it need not be hashed anew: size, time of change and sum of every file."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pooch

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of a file.

    Attributes
    ----------
    size
        In bytes.
    changed
        Time of the last change, in nanoseconds.
    digest
        SHA-256 sum in hexadecimal.
    """

    size: int
    changed: int
    digest: str

    @classmethod
    def of(cls, path: str | Path, digest: str) -> Self:
        """Mark a file as it lies there."""
        status = os.stat(path)  # noqa: PTH116 - of a hundred thousand files a Path each costs seconds
        return cls(status.st_size, status.st_mtime_ns, digest)

    @classmethod
    def void(cls, digest: str) -> Self:
        """Mark a file that is not as it should be: nothing fits it."""
        return cls(-1, 0, digest)

    def fits(self, path: str | Path) -> bool:
        """Tell whether a file looks as it did when it was marked, without reading it."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.changed)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was verified, and against what.

    Attributes
    ----------
    digest
        Of the registry's entry: tells which content was asked for.
    marks
        Name of each file, relative to its folder, to what is remembered of it.
    """

    digest: str
    marks: Mapping[str, Mark]

    def fits(self, folder: Path) -> bool:
        """Tell whether every file is there and looks as it did."""
        return bool(self.marks) and all(mark.fits(f"{folder}/{name}") for name, mark in self.marks.items())

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(mark.size for mark in self.marks.values())

    def sums(self) -> dict[str, str]:
        """Return name to sum."""
        return {name: mark.digest for name, mark in self.marks.items()}

    def write(self, path: Path) -> None:
        """Write it down, replacing an earlier one in one step; whoever calls it is alone."""
        content = {
            "format": FORMAT,
            "digest": self.digest,
            "files": {name: [mark.size, mark.changed, mark.digest] for name, mark in self.marks.items()},
        }
        scratch = path.with_name(f".{path.name}")
        scratch.write_text(json.dumps(content), encoding="utf-8")
        if path.is_dir():
            shutil.rmtree(path)
        scratch.replace(path)


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None if there is none that can be understood, which costs no more than hashing again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            return None
        marks = {
            str(name): Mark(int(size), int(changed), str(digest))
            for name, (size, changed, digest) in content["files"].items()
        }
        return Receipt(str(content["digest"]), marks)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def compare(
    root: Path, sums: Mapping[str, str], known: Mapping[str, Mark], step: Callable[[], object]
) -> tuple[dict[str, Mark], list[str]]:
    """Look which files are as they should be, and read only those that do not look as they did.

    Parameters
    ----------
    root
        Folder that the names are relative to.
    sums
        Name to SHA-256 sum, of all the files that there should be.
    known
        Marks of an earlier time; none if all files are to be read.
    step
        Called after each file.

    Returns
    -------
    dict, list
        Name to mark of the files that are right, and the names of those that are missing or not right.
    """
    marks, wrong = dict[str, Mark](), list[str]()
    for name, digest in sums.items():
        mark, path = known.get(name), root / name
        if mark and mark.digest == digest and mark.fits(path):
            marks[name] = mark
        elif path.is_file() and pooch.file_hash(path) == digest:
            marks[name] = Mark.of(path, digest)
        else:
            wrong.append(name)
        step()
    return marks, wrong
