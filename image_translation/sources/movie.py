"""Movies of any kind that can be read: OME-Zarr stores, and TIFF files, folders and patterns of them."""

import glob
from pathlib import Path

from image_translation.errors import DataError, UsageError
from image_translation.files import require_regular_file
from image_translation.omezarr.store import Store, open_store
from image_translation.sources.movie_metadata import MovieMetadata

_ZARR_FILES = (".zgroup", ".zattrs", ".zarray", "zarr.json")
TIFF_SUFFIXES = (".tif", ".tiff")
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NOTHING = MovieMetadata()


def open_movie(path: Path, given: MovieMetadata = NOTHING) -> Store:
    """Open a movie: an OME-Zarr store, a TIFF file, a folder of TIFF files, or a pattern such as ``FOLDER/*.tif``.

    Parameters
    ----------
    path
        Where it is.
    given
        Metadata of a TIFF movie that are taken instead of its own.

    Raises
    ------
    UsageError
        If it does not exist, its axes cannot be told, or metadata are given of an OME-Zarr store, which has its own.
    DataError
        If it cannot be read.
    """
    files = tiff_files(path)
    if files:
        from image_translation.sources.tiff import open_tiff

        return open_tiff(path, files, given)
    store = open_store(path)
    for name in given.to_json():
        place = ".zattrs" if store.version < "0.5" else "zarr.json"
        raise UsageError(
            f"--{name.replace('_', '-')}: is for TIFF movies; {path} is an OME-Zarr store, which states it itself, in "
            f"'multiscales' of {place}: correct it there"
        )
    return store


def tiff_files(path: Path) -> list[Path]:
    """Return the files of a TIFF movie, sorted; none if it is something else.

    Raises
    ------
    UsageError
        If a pattern matches nothing.
    DataError
        If a file is called TIFF and is none.
    """
    if path.is_dir():
        if any((path / name).exists() for name in _ZARR_FILES):
            return []
        found = [child for child in path.iterdir() if child.name.lower().endswith(TIFF_SUFFIXES)]
    elif path.exists():
        found = [path] if _is_tiff(path) or path.name.lower().endswith(TIFF_SUFFIXES) else []
    elif glob.has_magic(str(path)):
        found = [Path(name) for name in glob.glob(str(path))]  # noqa: PTH207 - of an absolute or relative pattern
        if not found:
            raise UsageError(f"no file matches {path}; give a pattern of TIFF files, in quotes")
    else:
        found = []
    files = sorted(file.absolute() for file in found if not file.name.startswith("."))
    for file in files:
        if not _is_tiff(file):
            raise DataError(f"{file} is no TIFF file, whatever its name says")
    return files


def is_there(path: Path) -> bool:
    """Return whether a movie, or a file that matches a pattern, exists."""
    return path.exists() or any(glob.iglob(str(path)))  # noqa: PTH207 - of an absolute or relative pattern


def _is_tiff(path: Path) -> bool:
    require_regular_file(path)  # opening a pipe would wait
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except PermissionError as error:
        raise DataError(f"cannot read {path}: permission denied") from error
