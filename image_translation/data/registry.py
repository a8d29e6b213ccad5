"""The entries of the registry: what can be fetched by name, from where, and what is known of it.

The built-in entries stand in ``registry/datasets.toml``; those of a file that the environment variable
``IMAGE_TRANSLATION_REGISTRY`` names are added to them.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from image_translation.errors import UsageError

REGISTRY_VARIABLE = "IMAGE_TRANSLATION_REGISTRY"
BUILT_IN = Path(__file__).with_name("datasets.toml")
EMBEDDED = {
    "demo_ckpt": "phase -> nuclei and membrane, for demonstrations: trained on simulated cells",
    "demo_ckpt_fluor2phase": "nuclei and membrane -> phase, for demonstrations",
    "demo_movie": "simulated cells over time, made when it is asked for: phase, and the true nuclei and membrane",
    "demo_plate": "16 simulated fields to train on, made when they are asked for: phase, and the true stains",
}  # these come with the package
NORMALIZATIONS = ("median_iqr", "mean_std", "none")
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
RECEIPT, FILE_LIST = "verified.json", "files.txt"  # beside the data, in the folder of an entry

Kind = Literal["checkpoint", "checkpoints", "ome-zarr"]


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What a published checkpoint does not say of itself.

    Attributes
    ----------
    normalization
        Statistics of the field of view that the network was trained with: "median_iqr", "mean_std" or "none".
    input_channels, output_channels
        Names, in the order of the network's channels; None if unknown.
    description
        One line for people.
    """

    normalization: str | None
    input_channels: tuple[str, ...] | None
    output_channels: tuple[str, ...] | None
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One dataset, or one checkpoint, or a folder of checkpoints.

    It comes as one file (a checkpoint), as an archive that is unpacked (every other kind), or, if it has a `list`, as
    a directory of files that are fetched one by one.

    Attributes
    ----------
    name
        What a person types.
    kind
        "checkpoint", "checkpoints" or "ome-zarr".
    title
        One line for people.
    address
        Of the file; or of the directory, to which the names of its files are added.
    licence, citation
        Under what it may be used, and whom to cite.
    sha256
        Sum of the file, in hexadecimal; empty for a directory.
    list, list_sha256
        Address or local path of the list of a directory's files, in the format of pooch's registry files, and its sum.
    file
        Name in the cache before unpacking; the last part of the address if not given.
    holds
        Pattern of what an archive must hold: its root is the outermost folder in which something matches.
    size
        Bytes to be fetched, if known; 0 if not.
    normalization, input_channels, output_channels
        Facts about its checkpoints, see `CheckpointFacts`.
    """

    name: str
    kind: Kind
    title: str
    address: str
    licence: str
    citation: str
    sha256: str = ""
    list: str = ""
    list_sha256: str = ""
    file: str = ""
    holds: str = ""
    size: int = 0
    normalization: str | None = None
    input_channels: tuple[str, ...] | None = None
    output_channels: tuple[str, ...] | None = None

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked after the download."""
        return not self.list and self.kind != "checkpoint"

    @property
    def final(self) -> str:
        """Name of the file, or of the directory, when it is complete."""
        if self.is_archive:
            for suffix in ARCHIVES:
                if self.file.endswith(suffix):
                    return self.file.removesuffix(suffix)
            return f"{self.file}.unpacked"
        return self.file

    @property
    def is_directory(self) -> bool:
        """Whether many files make it up, when it is complete."""
        return self.kind != "checkpoint"

    @property
    def facts(self) -> CheckpointFacts | None:
        """What is known of its checkpoints; None if nothing is, or if it has none."""
        if self.kind == "ome-zarr":
            return None
        return CheckpointFacts(self.normalization, self.input_channels, self.output_channels, self.title)


def entries() -> Mapping[str, Entry]:
    """Read the registry: the built-in entries, and the user's own.

    Returns
    -------
    Mapping
        Name to entry, in the order of the files.

    Raises
    ------
    UsageError
        The user's file cannot be read, or an entry makes no sense; says which and why.
    """
    found = _read(BUILT_IN)
    own = os.environ.get(REGISTRY_VARIABLE)
    if own:
        for name, entry in _read(Path(os.path.expanduser(own))).items():  # noqa: PTH111 - leaves an unknown ~user
            if name in found or name in EMBEDDED:
                raise UsageError(f"{own}: [{name}] is the name of a built-in entry; choose another")
            found[name] = entry
    return MappingProxyType(found)


def _read(path: Path) -> dict[str, Entry]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a registry in TOML ({REGISTRY_VARIABLE}): {error}") from error
    return {name: _entry(path, name, table) for name, table in tables.items()}


def _entry(path: Path, name: str, table: Any) -> Entry:
    def refuse(reason: str) -> UsageError:
        return UsageError(f"{path}: [{name}] {reason}")

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise refuse("is no name; use letters, digits, _ and -")
    if not isinstance(table, dict):
        raise refuse("must be a table of keys")
    known = {field.name: field for field in fields(Entry) if field.name != "name"}
    for key, value in table.items():
        if key not in known:
            raise refuse(f"has the key {key}; known are {', '.join(known)}")
        _check_type(refuse, key, value)
    missing = [
        key for key in ("kind", "title", "address", "licence", "citation") if not str(table.get(key, "")).strip()
    ]
    if missing:
        raise refuse(f"lacks {', '.join(missing)}")
    if table["kind"] not in get_args(Kind):
        raise refuse(f"kind = {table['kind']!r}; allowed are {', '.join(get_args(Kind))}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["address"] = values["address"].rstrip("/")
    values |= {key: values[key].lower() for key in ("sha256", "list_sha256") if key in values}
    if not _is_address(values["address"]):
        raise refuse(f"address = {values['address']!r}; must be one of https:// or http://")
    values.setdefault("file", unquote(PurePosixPath(urlsplit(values["address"]).path).name))
    if values.get("list") == "":
        raise refuse("list = ''; leave it out, or give an address or a path")
    if "list" in values and not _is_address(values["list"]):
        values["list"] = str(path.parent / Path(values["list"]).expanduser())
    entry = Entry(name=name, **values)
    _check(refuse, entry)
    return entry


def _check_type(refuse: Any, key: str, value: Any) -> None:
    if key == "size":
        valid, wanted = isinstance(value, int) and not isinstance(value, bool) and value >= 0, "a number of bytes"
    elif key.endswith("_channels"):
        valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
        wanted = "a list of names"
    else:
        valid, wanted = isinstance(value, str) and value.isprintable(), "printable text"
    if not valid:
        raise refuse(f"{key} = {value!r:.100}; must be {wanted}")


def _check(refuse: Any, entry: Entry) -> None:
    if entry.normalization not in {None, *NORMALIZATIONS}:
        raise refuse(f"normalization = {entry.normalization!r}; allowed are {', '.join(NORMALIZATIONS)}")
    remote_list = _is_address(entry.list)
    sums = {"sha256": entry.sha256, "list_sha256": entry.list_sha256}
    needed = ["sha256"] if not entry.list else ["list_sha256"] * remote_list
    for key, value in sums.items():
        if (value or key in needed) and not re.fullmatch(r"[0-9a-f]{64}", value):
            raise refuse(f"{key} = {value!r}; must be a SHA-256 sum, 64 hexadecimal digits")
    if entry.list and (entry.sha256 or entry.kind == "checkpoint"):
        raise refuse("has a list of files, and so neither a sha256 of its own nor the kind checkpoint")
    if not re.fullmatch(r'[^./\\:*?"<>|][^/\\:*?"<>|]*', entry.file) or entry.final in {"", RECEIPT, FILE_LIST}:
        raise refuse(f"file = {entry.file!r}; must be a plain name of a file: give one if the address does not end so")
    if entry.kind == "checkpoints" and not entry.holds:  # says which files are the checkpoints
        raise refuse("needs the key holds, such as holds = '*/checkpoints/*.ckpt'")
    if PurePosixPath(entry.holds).is_absolute() or ".." in PurePosixPath(entry.holds).parts:
        raise refuse(f"holds = {entry.holds!r}; must be a pattern relative to the archive's root")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # such as a bracket that is not closed
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
