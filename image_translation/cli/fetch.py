"""The command ``fetch``: published datasets and checkpoints by name."""

import argparse
import logging
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from image_translation.cli.program import say

if TYPE_CHECKING:
    from image_translation.data.cache import CachedEntry

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.epilog = (
        "Files are kept in your cache directory, or in IMAGE_TRANSLATION_DATA_DIR if that is set (see --list). "
        "IMAGE_TRANSLATION_REGISTRY may name a file with further entries."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to download; its path is printed")
    parser.add_argument("--all", action="store_true", help="everything in the list; may be very large")
    parser.add_argument("--list", action="store_true", help="list the names, what they are, and what is in the cache")
    parser.add_argument("--verify", action="store_true", help="verify all checksums again, and download damaged files")
    parser.add_argument(
        "--sha256",
        default="",
        metavar="CHECKSUM",
        help="published checksum of NAME, if the list says that it is unknown: no other file is accepted from now on",
    )


def run(arguments: argparse.Namespace) -> None:
    """Download what is named, and print the paths; or list what there is."""
    from image_translation import data
    from image_translation.errors import DataError, ImageTranslationError, UsageError

    if arguments.list:
        if arguments.names or arguments.all or arguments.verify or arguments.sha256:
            raise UsageError("--list: shows every name, and goes with no other argument")
        say("\n".join(_table()))
        return
    if bool(arguments.names) == arguments.all:
        raise UsageError("give names, or --all, or --list to see the names that there are")
    names = list(dict.fromkeys(arguments.names)) or list(data.names())
    for name in names:
        data.require_name(name)
    if arguments.sha256 and len(names) != 1:
        raise UsageError("--sha256: is the checksum of one file; give one name with it")
    failed: list[tuple[str, ImageTranslationError]] = []
    for name in names:
        try:
            say(data.fetch(name, verify=arguments.verify, sha256=arguments.sha256, check=_load))
        except DataError as error:  # the others may still succeed
            if len(names) == 1:
                raise
            _log.error("error: %s", error if not failed else str(error).splitlines()[0])
            failed.append((name, error))
    if failed:
        raise DataError(f"{len(failed)} of {len(names)} could not be fetched: {', '.join(name for name, _ in failed)}")


def _load(path: Path) -> None:
    """Raise a ``DataError`` if a checkpoint cannot be loaded."""
    from image_translation.network.checkpoint import extract_state_dict, load_checkpoint

    extract_state_dict(path, load_checkpoint(path))


def _table() -> Iterator[str]:
    """Yield the lines of the list: name, size, whether it is in the cache, licence and title."""
    from image_translation import data
    from image_translation.data.registry import EMBEDDED

    rows = [("NAME", "SIZE", "HERE", "LICENCE", "WHAT")]
    rows += [(name, "-", "yes", "BSD-3-Clause", title) for name, title in EMBEDDED.items()]
    cached = [data.cached_entry(name) for name in data.names() if name not in EMBEDDED]
    sizes = _sizes(cached)
    for one, size in zip(cached, sizes, strict=True):
        here = "yes" if one.is_ready() else "partly" if one.is_started() else "no"
        rows.append((one.entry.name, size, here, one.entry.licence, one.entry.title + _checksum_note(one)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        lead = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:4], widths, strict=True))
        first, *rest = textwrap.wrap(row[4], max(30, 118 - len(lead)))
        yield lead + first
        yield from (" " * len(lead) + line for line in rest)
    yield f"\nThe cache is {data.cache_directory()}; to use another, set {data.CACHE_VARIABLE}."
    yield "Where no licence is stated, ask the authors before you publish results made from the data."
    if "?" in sizes:
        yield "? where the size is not known without fetching it."
    if any(one.entry.checksum_unknown for one in cached):
        yield (
            "Where the checksum is unknown, the file is verified by its size and by loading it, and its checksum is\n"
            "recorded. If you find the published one: image-translation fetch NAME --sha256 CHECKSUM"
        )


def _checksum_note(one: "CachedEntry") -> str:
    """Say how far the checksum of an entry is known, if not from the registry."""
    if not one.entry.checksum_unknown:
        return ""
    receipt = one.receipt()
    if receipt is None:
        return " (checksum unknown)"
    return " (checksum given by you)" if receipt.confirmed else " (checksum not confirmed)"


def _sizes(cached: "Sequence[CachedEntry]") -> list[str]:
    """Return the size of each entry: of the files in the cache, else from the registry, else from its server."""
    from tqdm import tqdm

    from image_translation.data.http import request_size

    def size(one: "CachedEntry") -> str:
        known = one.size() or (None if one.entry.list else request_size(one.entry.address))
        return f"{tqdm.format_sizeof(known, divisor=1000)}B" if known else "?"

    with ThreadPoolExecutor(max(1, len(cached))) as pool:
        return list(pool.map(size, cached))
