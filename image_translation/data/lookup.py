"""Look up datasets and checkpoints by name or path; fetch the former into the cache."""

import glob
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal

from image_translation.data.registry import EMBEDDED, CheckpointMetadata, Entry, is_sha256, load_registry
from image_translation.errors import DataError, UsageError

if TYPE_CHECKING:
    from image_translation.data.cache import CachedEntry
    from image_translation.data.unverified import Check

CACHE_VARIABLE = "IMAGE_TRANSLATION_DATA_DIR"
EMBEDDED_CHECKPOINTS = {
    "demo_ckpt": "demo_phase2fluor.ckpt",
    "demo_ckpt_fluor2phase": "demo_fluor2phase.ckpt",
}
EMBEDDED_MOVIES = {"demo_movie": "demo_movie.ome.zarr", "demo_plate": "demo_plate.ome.zarr"}

UNCONFIRMED = (
    "%s: its published checksum is unknown; the SHA-256 of this file, %s, was recorded. If you find the published one: "
    "image-translation fetch %s --sha256 CHECKSUM"
)

Kind = Literal["checkpoint", "movie"]

_log = logging.getLogger(__name__)


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """Return all names of embedded data and of the registry, or those of one kind."""
    known = (*EMBEDDED, *load_registry())
    return tuple(name for name in known if kind is None or _is_movie(name) == (kind == "movie"))


def require_name(name: str) -> None:
    """Raise a ``UsageError`` that lists the known names if the name is unknown."""
    if name not in names():
        raise UsageError(f"{name}: unknown name; known are {', '.join(names())}")


def cache_directory() -> Path:
    """Return the directory of downloaded and simulated data.

    Returns
    -------
    Path
        The value of the environment variable ``IMAGE_TRANSLATION_DATA_DIR``, else the user's cache directory
        (`pooch.os_cache`). It need not exist yet.
    """
    import pooch  # slow, and unnecessary for local paths

    cache: Path = pooch.create(path=pooch.os_cache("image_translation"), base_url="", env=CACHE_VARIABLE).abspath
    return cache


def fetch(name: str, *, verify: bool = False, sha256: str = "", check: "Check | None" = None) -> Path:
    """Fetch a dataset or checkpoint into the cache, if it is not there, and verify its checksums.

    Files from an earlier fetch are neither downloaded nor hashed again unless their size or modification time has
    changed. An interrupted fetch is resumed. A checkpoint whose checksum is unknown is verified by its size and content
    when it is first fetched, and from then on by the checksum that it had.

    Parameters
    ----------
    name
        One of `names`.
    verify
        Hash every file again.
    sha256
        Published checksum of a checkpoint, in hexadecimal. Where the registry has none, only a file that has this one
        is accepted from now on.
    check
        Loads a checkpoint whose checksum is unknown when it is first fetched, see `unverified.require_checkpoint`.

    Returns
    -------
    Path
        Checkpoint, OME-Zarr store, or directory of checkpoints.

    Raises
    ------
    UsageError
        If the name is unknown, or the checksum is not that of the registry.
    DataError
        If it cannot be downloaded, differs from what was published, or the cache cannot be written.
    """
    if sha256:
        _require_agreement(name, sha256)
    if name in EMBEDDED_CHECKPOINTS:
        return _bundled(name)
    if name in EMBEDDED_MOVIES:
        from image_translation.data.cache import cache_errors
        from image_translation.data.simulated import ensure_demo_movie, ensure_demo_plate  # imports zarr

        path = cache_directory() / EMBEDDED_MOVIES[name]
        with cache_errors(name, path.parent):
            (ensure_demo_movie if name == "demo_movie" else ensure_demo_plate)(path)
        return path
    from image_translation.data.http import UnreachableError

    cached = cached_entry(name)
    known, first = not cached.entry.checksum_unknown, cached.receipt() is None
    try:
        path = cached.fetch(verify=verify or bool(sha256), sha256="" if known else sha256.lower(), check=check)
    except UnreachableError as error:
        raise UnreachableError(f"{name} cannot be fetched: {error}\n{_offline_help(cached.entry)}") from error
    receipt = cached.receipt()
    if sha256:
        _log.info("%s: has the checksum %s", path, sha256.lower())
    elif receipt and not receipt.confirmed:
        _log.log(logging.WARNING if first else logging.INFO, UNCONFIRMED, name, receipt.checksum, name)
    return path


def locate(name_or_path: str | os.PathLike[str], *, kind: Kind | None = None) -> Path:
    """Return the path of a dataset or checkpoint, before or after it is fetched.

    Parameters
    ----------
    name_or_path
        Existing path, pattern of existing files such as ``FOLDER/*.tif``, name, or ``NAME/PART`` for a path inside a
        dataset. An existing path takes precedence.
    kind
        Required kind of a name: "checkpoint" or "movie".

    Returns
    -------
    Path
        Path, which need not exist if a name was given.

    Raises
    ------
    UsageError
        If it is neither an existing path nor a name, the name is of another kind, or a pattern matches nothing.
    """
    path = _local(name_or_path)
    if path:
        return path
    name, part = _split(name_or_path, kind)
    if name in EMBEDDED_CHECKPOINTS:
        return _bundled(name) / part
    if name in EMBEDDED_MOVIES:
        return cache_directory() / EMBEDDED_MOVIES[name] / part
    return cached_entry(name).path / part


def resolve(name_or_path: str | os.PathLike[str], *, kind: Kind | None = None) -> Path:
    """Return the path of a dataset or checkpoint, which is fetched if a name is given.

    Parameters
    ----------
    name_or_path, kind
        As for `locate`.

    Returns
    -------
    Path
        Existing path.

    Raises
    ------
    UsageError
        As `locate`, or if the dataset does not contain the part.
    DataError
        If it cannot be fetched.
    """
    path = _local(name_or_path)
    if path:
        return path
    name, part = _split(name_or_path, kind)
    root = fetch(name)
    if not (root / part).exists():
        raise UsageError(f"{name_or_path}: {name} contains no {part}; its path is {root}")
    return root / part


def resolve_checkpoint(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the path of a single checkpoint; otherwise as `resolve`.

    Raises
    ------
    UsageError
        If it is a directory; lists the checkpoints in it.
    """
    path = resolve(name_or_path, kind="checkpoint")
    if path.is_dir():
        found = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.ckpt"))
        choice = (
            f"choose one of {', '.join(f'{name_or_path}/{name}' for name in found)}" if found else "it contains none"
        )
        raise UsageError(f"{name_or_path}: is a directory, not a checkpoint; {choice}")
    return path


def missing(*names_or_paths: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield the registry entries that are not in the cache yet."""
    for name_or_path in names_or_paths:
        name = None if _local(name_or_path) else _split(name_or_path)[0]
        if name and name not in EMBEDDED and not cached_entry(name).is_ready():
            yield load_registry()[name]


def cached_entry(name: str) -> "CachedEntry":
    """Return a registry entry with its directory in the cache; raise a ``UsageError`` if the name is unknown."""
    from image_translation.data.cache import CachedEntry  # imports requests

    require_name(name)
    return CachedEntry(load_registry()[name], cache_directory())


def checkpoint_facts(checksum: str) -> CheckpointMetadata | None:
    """Return the metadata of a checkpoint in the registry.

    Parameters
    ----------
    checksum
        SHA-256 of the file in hexadecimal, which identifies it under any path.

    Returns
    -------
    CheckpointMetadata or None
        None if the checkpoint is unknown. Those in a directory of checkpoints, and those whose checksum the registry
        lacks, are known after they have been fetched.
    """
    for name, entry in load_registry().items():
        metadata = entry.checkpoint_metadata
        if metadata and entry.sha256 and checksum == entry.sha256:
            return metadata
        if metadata and (entry.is_directory or entry.checksum_unknown):
            receipt = cached_entry(name).receipt()
            files = receipt.checksums() if receipt else {}
            pattern = entry.holds or entry.final
            if any(checksum == other and PurePosixPath(file).match(pattern) for file, other in files.items()):
                return metadata
    return None


def _local(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return the path if it exists on this machine, or is a pattern of files that do; else None."""
    path = Path(name_or_path)
    with suppress(RuntimeError):  # ~ of an unknown user
        path = path.expanduser()
    if not path.exists():
        if not glob.has_magic(str(path)):
            return None
        if not any(glob.iglob(str(path))):  # noqa: PTH207 - of an absolute or relative pattern
            raise UsageError(f"{os.fspath(name_or_path)}: no file matches this pattern")
        return path
    if str(name_or_path) in names():
        _log.info("%s: using this local path, not the registry entry of the same name", path.absolute())
    return path


def _split(name_or_path: str | os.PathLike[str], kind: Kind | None = None) -> tuple[str, PurePath]:
    """Split ``NAME/PART``, and check the name and its kind."""
    name, *parts = PurePath(name_or_path).parts or ("",)
    if name not in names():
        known = ", ".join(names(kind))
        raise UsageError(
            f"{os.fspath(name_or_path)}: no such file or directory; give an existing path or one of the names {known}"
        )
    if ".." in parts:
        raise UsageError(f"{os.fspath(name_or_path)}: must not lead outside {name}")
    if kind and name not in names(kind):
        what = "an OME-Zarr store" if _is_movie(name) else "a checkpoint"
        raise UsageError(f"{name}: is {what}, but a {kind} is needed")
    return name, PurePath(*parts)


def _require_agreement(name: str, sha256: str) -> None:
    """Raise a ``UsageError`` if a checksum is malformed, or an entry cannot have it."""
    require_name(name)
    if not is_sha256(sha256.lower()):
        raise UsageError(f"--sha256 {sha256!r:.100}: must be a SHA-256 checksum, 64 hexadecimal digits")
    entry = None if name in EMBEDDED else load_registry()[name]
    if entry is None or entry.list:
        raise UsageError(f"--sha256: {name} is not a single file that is downloaded, and has no such checksum")
    if not entry.checksum_unknown and sha256.lower() != entry.sha256:
        raise UsageError(f"--sha256 {sha256}: is not the checksum of {name} in the registry, {entry.sha256}")


def _is_movie(name: str) -> bool:
    return name in EMBEDDED_MOVIES or (name not in EMBEDDED and load_registry()[name].kind == "ome-zarr")


def _bundled(name: str) -> Path:
    path = Path(__file__).with_name("checkpoints") / EMBEDDED_CHECKPOINTS[name]
    if not path.is_file():
        raise DataError(f"{path}: the bundled checkpoint {name} is missing; reinstall image-translation")
    return path


def _offline_help(entry: Entry) -> str:
    """Describe what can be done without network access."""
    cache = cache_directory()
    available = [name for name in names() if name in EMBEDDED or cached_entry(name).is_ready()]
    lines = [
        f"Available without network: {', '.join(available)}.",
        f"The cache is {cache}; to use another, set {CACHE_VARIABLE}.",
        f"To copy it by hand: run 'image-translation fetch {entry.name}' on a machine with network access,",
        f"and copy the directory {entry.name} of its cache to {cache / entry.name}.",
    ]
    if not entry.list:
        verified = "that it is complete" if entry.checksum_unknown else "its checksum"
        lines.append(
            f"Or save {entry.address}\nas {cache / entry.name / entry.file}; the next fetch verifies {verified}."
        )
    return "\n".join(f"  {line}" for line in "\n".join(lines).splitlines())
