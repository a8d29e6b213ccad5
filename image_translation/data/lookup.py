"""Names of datasets and checkpoints: from what a person types to a verified path."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal

from image_translation.data.registry import EMBEDDED, CheckpointFacts, Entry, entries
from image_translation.errors import DataError, UsageError

if TYPE_CHECKING:
    from image_translation.data.cache import CachedEntry

CACHE_VARIABLE = "IMAGE_TRANSLATION_DATA_DIR"
EMBEDDED_CHECKPOINTS = {
    "demo_ckpt": "demo_phase2fluor.ckpt",
    "demo_ckpt_fluor2phase": "demo_fluor2phase.ckpt",
}
EMBEDDED_MOVIES = {"demo_movie": "demo_movie.ome.zarr", "demo_plate": "demo_plate.ome.zarr"}

Kind = Literal["checkpoint", "movie"]

_log = logging.getLogger(__name__)


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """List every name, or those of one kind: of the embedded data, and of the registry."""
    everything = (*EMBEDDED, *entries())
    return tuple(name for name in everything if kind is None or _is_movie(name) == (kind == "movie"))


def require_name(name: str) -> None:
    """Raise a ``UsageError`` that lists the names, unless it is one of them."""
    if name not in names():
        raise UsageError(f"{name}: no such name; there are {', '.join(names())}")


def cache_directory() -> Path:
    """Return where downloaded and simulated data are kept.

    Returns
    -------
    Path
        The value of the environment variable ``IMAGE_TRANSLATION_DATA_DIR``, else the user's cache directory
        (`pooch.os_cache`). It need not exist yet.
    """
    import pooch  # slow, and not needed for local paths

    cache: Path = pooch.create(path=pooch.os_cache("image_translation"), base_url="", env=CACHE_VARIABLE).abspath
    return cache


def fetch(name: str, *, verify: bool = False) -> Path:
    """Make sure that a dataset or checkpoint is on this machine, complete and as it was published.

    What was fetched before is neither fetched nor hashed again, as long as no file has another size or time of
    change; an interrupted fetch goes on where it was.

    Parameters
    ----------
    name
        One of `names`.
    verify
        Hash every file again.

    Returns
    -------
    Path
        A checkpoint, an OME-Zarr store, or a folder of checkpoints.

    Raises
    ------
    UsageError
        There is no such name.
    DataError
        It cannot be fetched, is not what was published, or the cache cannot be written.
    """
    if name in EMBEDDED_CHECKPOINTS:
        return _bundled(name)
    if name in EMBEDDED_MOVIES:
        from image_translation.data.simulated import require_demo_movie, require_demo_plate  # loads zarr

        path = cache_directory() / EMBEDDED_MOVIES[name]
        (require_demo_movie if name == "demo_movie" else require_demo_plate)(path)
        return path
    from image_translation.data.http import UnreachableError

    cached = cached_entry(name)
    try:
        return cached.fetch(verify=verify)
    except UnreachableError as error:
        raise UnreachableError(f"{name} cannot be fetched: {error}\n{_help_without_network(cached.entry)}") from error


def locate(name_or_path: str | os.PathLike[str], *, kind: Kind | None = None) -> Path:
    """Tell where something lies, or will lie when it is needed; nothing is fetched.

    Parameters
    ----------
    name_or_path
        A path that exists, a name, or ``NAME/PART`` for what lies inside a dataset. A path wins over a name.
    kind
        What it must be, if it is a name: "checkpoint" or "movie".

    Returns
    -------
    Path
        It need not exist yet, if it is of a name.

    Raises
    ------
    UsageError
        It is neither a path that exists nor a name, or the name is of something else.
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
    """Return a path that exists, fetching what a name stands for.

    Parameters
    ----------
    name_or_path, kind
        As for `locate`.

    Returns
    -------
    Path
        Of a checkpoint or a store.

    Raises
    ------
    UsageError
        It is neither a path that exists nor a name, or the dataset has no such part.
    DataError
        What the name stands for cannot be fetched.
    """
    path = _local(name_or_path)
    if path:
        return path
    name, part = _split(name_or_path, kind)
    root = fetch(name)
    if not (root / part).exists():
        raise UsageError(f"{name_or_path}: {name} holds no {part}; it lies in {root}")
    return root / part


def resolve_checkpoint(name_or_path: str | os.PathLike[str]) -> Path:
    """Return a checkpoint, as `resolve` does, but not a folder of checkpoints.

    Raises
    ------
    UsageError
        It is a folder; lists what there is to choose from.
    """
    path = resolve(name_or_path, kind="checkpoint")
    if path.is_dir():
        found = sorted(one.relative_to(path).as_posix() for one in path.rglob("*.ckpt"))
        choice = f"choose one of {', '.join(f'{name_or_path}/{one}' for one in found)}" if found else "it holds none"
        raise UsageError(f"{name_or_path}: is a folder, not a checkpoint; {choice}")
    return path


def missing(*names_or_paths: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield the entries of the registry that would have to be fetched first."""
    for one in names_or_paths:
        name = None if _local(one) else _split(one)[0]
        if name and name not in EMBEDDED and not cached_entry(name).is_ready():
            yield entries()[name]


def cached_entry(name: str) -> "CachedEntry":
    """Return an entry of the registry with its place in the cache; raise a ``UsageError`` if there is none."""
    from image_translation.data.cache import CachedEntry  # loads requests

    require_name(name)
    return CachedEntry(entries()[name], cache_directory())


def checkpoint_facts(digest: str) -> CheckpointFacts | None:
    """Tell what the registry knows of a checkpoint.

    Parameters
    ----------
    digest
        Its SHA-256 sum in hexadecimal, by which it is recognised wherever it lies.

    Returns
    -------
    CheckpointFacts or None
        None if it is unknown. Checkpoints of a folder are known once the folder has been fetched.
    """
    for name, entry in entries().items():
        if entry.facts and digest == entry.sha256:
            return entry.facts
        if entry.facts and entry.is_directory:
            receipt = cached_entry(name).receipt()
            sums = receipt.sums() if receipt else {}
            if any(digest == one and PurePosixPath(file).match(entry.holds) for file, one in sums.items()):
                return entry.facts
    return None


def _local(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return what lies on this machine under a path; None if nothing does."""
    path = Path(name_or_path)
    with suppress(RuntimeError):  # ~ of a user whom there is not
        path = path.expanduser()
    if not path.exists():
        return None
    if str(name_or_path) in names():
        _log.info("%s: taking what lies here under that name, not what the registry knows by it", path.absolute())
    return path


def _split(name_or_path: str | os.PathLike[str], kind: Kind | None = None) -> tuple[str, PurePath]:
    """Take a name and a part of it apart, and look whether it is of the right kind."""
    name, *parts = PurePath(name_or_path).parts or ("",)
    if name not in names():
        known = ", ".join(names())
        raise UsageError(
            f"{os.fspath(name_or_path)}: no such file or directory; give a path that exists or one of the names {known}"
        )
    if ".." in parts:
        raise UsageError(f"{os.fspath(name_or_path)}: must not lead out of {name}")
    if kind and name not in names(kind):
        what = "an OME-Zarr store" if _is_movie(name) else "a checkpoint"
        raise UsageError(f"{name}: is {what}, and a {kind} is needed")
    return name, PurePath(*parts)


def _is_movie(name: str) -> bool:
    return name in EMBEDDED_MOVIES or (name not in EMBEDDED and entries()[name].kind == "ome-zarr")


def _bundled(name: str) -> Path:
    path = Path(__file__).with_name("checkpoints") / EMBEDDED_CHECKPOINTS[name]
    if not path.is_file():
        raise DataError(f"{path}: the bundled checkpoint {name} is missing; reinstall image-translation")
    return path


def _help_without_network(entry: Entry) -> str:
    """Say what can be done where the network fails."""
    cache = cache_directory()
    here = [name for name in names() if name in EMBEDDED or cached_entry(name).is_ready()]
    lines = [
        f"On this machine without network: {', '.join(here)}.",
        f"The cache is {cache}; to use another, set {CACHE_VARIABLE}.",
        f"To carry it over by hand: run 'image-translation fetch {entry.name}' where there is network,",
        f"and copy the folder {entry.name} of the cache there to {cache / entry.name}.",
    ]
    if not entry.list:
        lines.append(f"Or save {entry.address}\nas {cache / entry.name / entry.file}; the next fetch looks at its sum.")
    return "\n".join(f"  {line}" for line in "\n".join(lines).splitlines())
