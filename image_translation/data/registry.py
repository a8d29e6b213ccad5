"""Registry of the datasets and checkpoints that can be fetched by name: URLs, checksums, licences, metadata.

The built-in entries are in ``datasets.toml``. The environment variable ``IMAGE_TRANSLATION_REGISTRY`` may name a TOML
file with further entries; their keys are the fields of `Entry`.
"""

import math
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
from image_translation.files import read_text

REGISTRY_VARIABLE = "IMAGE_TRANSLATION_REGISTRY"
BUILT_IN = Path(__file__).with_name("datasets.toml")
EMBEDDED = {
    "demo_ckpt": "phase -> nuclei and membrane, for demonstrations: trained on simulated cells",
    "demo_ckpt_fluor2phase": "nuclei and membrane -> phase, for demonstrations",
    "demo_movie": "simulated cells over time, generated on first use: phase, and the true nuclei and membrane",
    "demo_plate": "16 simulated fields to train on, generated on first use: phase, and the true stains",
}
"""Names that are part of the package rather than the registry, and their descriptions."""

NORMALIZATIONS = ("median_iqr", "mean_std", "percentiles", "none")
STATISTICS_OVER = ("fov", "timepoint", "dataset")
ARCHIVE_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")
RECEIPT, FILE_LIST = "verified.json", "files.txt"  # files beside the data in the cache directory of an entry

Kind = Literal["checkpoint", "checkpoints", "ome-zarr"]


@dataclass(frozen=True, slots=True)
class CheckpointMetadata:
    """Metadata of published checkpoints that are missing from the files themselves.

    Attributes
    ----------
    normalization
        Normalisation that the network was trained with: "median_iqr", "mean_std", "percentiles" or "none"; None if
        unknown.
    input_channels, output_channels
        Channel names, in the order of the network; None if unknown.
    description
        One line for users.
    head_pool
        Whether the head of the network pools before it predicts, which its weights cannot tell; None if unknown, or if
        it has no such head.
    pixel_size
        Size of the pixels that the network was trained on, (z, y, x) in micrometres; None if unknown.
    statistics_over
        What its statistics were pooled over: "fov", "timepoint" or "dataset"; None if unknown.
    """

    normalization: str | None
    input_channels: tuple[str, ...] | None
    output_channels: tuple[str, ...] | None
    description: str
    head_pool: bool | None = None
    pixel_size: tuple[float, float, float] | None = None
    statistics_over: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset, a checkpoint, or a directory of checkpoints.

    A checkpoint is downloaded as a single file. Every other kind is an archive to unpack or, if it has a `list`, a
    directory whose files are downloaded one by one.

    Attributes
    ----------
    name
        Name for users.
    kind
        "checkpoint", "checkpoints" or "ome-zarr".
    title
        One line for users.
    address
        URL of the file; or of the directory, to which the names of its files are appended.
    licence, citation
        Licence, and publication to cite.
    sha256
        Checksum of the file, in hexadecimal; empty for a directory.
    checksum_unknown
        Whether the checksum of a checkpoint is unknown, so that `sha256` is empty. The first download is then verified
        by its size and content (see `unverified`), and its checksum is recorded for later ones.
    list, list_sha256
        URL or local path of the list of a directory's files, in the format of pooch's registry files; its checksum.
    file
        File name in the cache, before unpacking; by default the last part of the URL.
    holds
        Glob pattern of the required content of an archive: its root is the outermost directory with a match.
    size
        Size of the download in bytes; 0 if unknown.
    normalization, input_channels, output_channels, head_pool, pixel_size, statistics_over
        Metadata of its checkpoints, see `CheckpointMetadata`.
    """

    name: str
    kind: Kind
    title: str
    address: str
    licence: str
    citation: str
    sha256: str = ""
    checksum_unknown: bool = False
    list: str = ""
    list_sha256: str = ""
    file: str = ""
    holds: str = ""
    size: int = 0
    normalization: str | None = None
    input_channels: tuple[str, ...] | None = None
    output_channels: tuple[str, ...] | None = None
    head_pool: bool | None = None
    pixel_size: tuple[float, float, float] | None = None
    statistics_over: str | None = None

    @property
    def is_archive(self) -> bool:
        """Whether the downloaded file is an archive to unpack."""
        return not self.list and self.kind != "checkpoint"

    @property
    def final(self) -> str:
        """Final name of the file or directory in the cache."""
        if self.is_archive:
            for suffix in ARCHIVE_SUFFIXES:
                if self.file.endswith(suffix):
                    return self.file.removesuffix(suffix)
            return f"{self.file}.unpacked"
        return self.file

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory in the cache."""
        return self.kind != "checkpoint"

    @property
    def checkpoint_metadata(self) -> CheckpointMetadata | None:
        """Metadata of its checkpoints; None for a dataset."""
        if self.kind == "ome-zarr":
            return None
        return CheckpointMetadata(
            self.normalization,
            self.input_channels,
            self.output_channels,
            self.title,
            head_pool=self.head_pool,
            pixel_size=self.pixel_size,
            statistics_over=self.statistics_over,
        )


def load_registry() -> Mapping[str, Entry]:
    """Read the built-in entries and those of the user.

    Returns
    -------
    Mapping
        Entries by name, in the order of the files.

    Raises
    ------
    UsageError
        If the file of the user cannot be read, or an entry is invalid.
    """
    entries = _read(BUILT_IN)
    own = os.environ.get(REGISTRY_VARIABLE)
    if own:
        for name, entry in _read(Path(os.path.expanduser(own))).items():  # noqa: PTH111 - leaves an unknown ~user
            if name in entries or name in EMBEDDED:
                raise UsageError(f"{own}: [{name}] is the name of a built-in entry; choose another")
            entries[name] = entry
    return MappingProxyType(entries)


def _read(path: Path) -> dict[str, Entry]:
    try:
        tables = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a registry in TOML ({REGISTRY_VARIABLE}): {error}") from error
    return {name: _parse_entry(path, name, table) for name, table in tables.items()}


def _parse_entry(path: Path, name: str, table: Any) -> Entry:
    def invalid(reason: str) -> UsageError:
        return UsageError(f"{path}: [{name}] {reason}")

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise invalid("is not a valid name; use letters, digits, _ and -, with a letter or digit first")
    if not isinstance(table, dict):
        raise invalid("must be a table of keys")
    known = {field.name: field for field in fields(Entry) if field.name != "name"}
    for key, value in table.items():
        if key not in known:
            raise invalid(f"has the unknown key {key}; allowed are {', '.join(known)}")
        _check_type(invalid, key, value)
    missing = [
        key for key in ("kind", "title", "address", "licence", "citation") if not str(table.get(key, "")).strip()
    ]
    if missing:
        raise invalid(f"lacks {', '.join(missing)}")
    if table["kind"] not in get_args(Kind):
        raise invalid(f"kind = {table['kind']!r}; allowed are {', '.join(get_args(Kind))}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["address"] = values["address"].rstrip("/")
    values |= {key: values[key].lower() for key in ("sha256", "list_sha256") if key in values}
    if not _is_url(values["address"]):
        raise invalid(f"address = {values['address']!r}; must be a URL that starts with https:// or http://")
    values.setdefault("file", unquote(PurePosixPath(urlsplit(values["address"]).path).name))
    if values.get("list") == "":
        raise invalid("list = ''; give a URL or a path, or leave it out")
    if "list" in values and not _is_url(values["list"]):
        values["list"] = str(path.parent / Path(values["list"]).expanduser())
    entry = Entry(name=name, **values)
    _check(invalid, entry)
    return entry


def _check_type(invalid: Any, key: str, value: Any) -> None:
    if key == "size":
        valid, wanted = (
            isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            "a number of bytes, at least 0",
        )
    elif key.endswith("_channels"):
        valid = isinstance(value, list) and all(isinstance(name, str) for name in value)
        wanted = "a list of names"
    elif key in {"checksum_unknown", "head_pool"}:
        valid, wanted = isinstance(value, bool), "true or false"
    elif key == "pixel_size":
        valid = isinstance(value, list) and len(value) == 3 and all(_is_length(length) for length in value)
        wanted = "three sizes in micrometres: z, y, x"
    else:
        valid, wanted = isinstance(value, str) and value.isprintable(), "printable text"
    if not valid:
        raise invalid(f"{key} = {value!r:.100}; must be {wanted}")


def _check(invalid: Any, entry: Entry) -> None:
    if entry.normalization not in {None, *NORMALIZATIONS}:
        raise invalid(f"normalization = {entry.normalization!r}; allowed are {', '.join(NORMALIZATIONS)}")
    if entry.statistics_over not in {None, *STATISTICS_OVER}:
        raise invalid(f"statistics_over = {entry.statistics_over!r}; allowed are {', '.join(STATISTICS_OVER)}")
    checksums = {"sha256": entry.sha256, "list_sha256": entry.list_sha256}
    if entry.checksum_unknown and (entry.sha256 or entry.kind != "checkpoint"):
        raise invalid(
            "has checksum_unknown = true, which goes neither with sha256 nor with another kind than checkpoint"
        )
    required = ["list_sha256"] * _is_url(entry.list) if entry.list else ["sha256"] * (not entry.checksum_unknown)
    for key, value in checksums.items():
        if (value or key in required) and not is_sha256(value):
            raise invalid(f"{key} = {value!r}; must be a SHA-256 checksum, 64 hexadecimal digits")
    if entry.list and (entry.sha256 or entry.kind == "checkpoint"):
        raise invalid("has a list of files, which goes neither with sha256 nor with kind = 'checkpoint'")
    if not re.fullmatch(r'[^./\\:*?"<>|][^/\\:*?"<>|]*', entry.file) or entry.final in {"", RECEIPT, FILE_LIST}:
        raise invalid(f"file = {entry.file!r}; must be a plain file name: give one if the URL does not end with it")
    if entry.kind == "checkpoints" and not entry.holds:  # which files are the checkpoints
        raise invalid("needs the key holds, for instance holds = '*/checkpoints/*.ckpt'")
    if PurePosixPath(entry.holds).is_absolute() or ".." in PurePosixPath(entry.holds).parts:
        raise invalid(f"holds = {entry.holds!r}; must be a glob pattern relative to the root of the archive")


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256 checksum in lower-case hexadecimal digits."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # for instance an unclosed bracket
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
