"""The commands ``fetch`` and ``registry``: published data in, one's own data out."""

import argparse
import json
import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from image_translation.cli.program import parse_path, say

if TYPE_CHECKING:
    from image_translation.data.cache import CachedEntry

SIZE_TIMEOUT = 3.0  # seconds that a server may take to tell the size of a file

_log = logging.getLogger(__name__)


def add_fetch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fetch``, and what it runs, to its parser."""
    parser.set_defaults(run=_fetch)
    parser.epilog = (
        "They lie in your cache directory, or in IMAGE_TRANSLATION_DATA_DIR if that is set (--list tells). "
        "IMAGE_TRANSLATION_REGISTRY may name a file of further entries."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; its path is printed")
    parser.add_argument("--all", action="store_true", help="everything that has a name; may be very large")
    parser.add_argument("--list", action="store_true", help="show the names, what they are, and what is here already")
    parser.add_argument("--verify", action="store_true", help="hash every file anew, and fetch again what is damaged")


def add_registry_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``registry``, and what it runs, to its parser."""
    parser.set_defaults(run=_registry)
    parser.add_argument("directory", type=parse_path, metavar="DIRECTORY", help="OME-Zarr store to be published")
    parser.add_argument(
        "-o", "--output", type=parse_path, metavar="FILE", help="list to write; beside the directory if not given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a list that is there")


def _fetch(arguments: argparse.Namespace) -> None:
    from image_translation import data
    from image_translation.errors import DataError, ImageTranslationError, UsageError

    if arguments.list:
        if arguments.names or arguments.all or arguments.verify:
            raise UsageError("--list: shows every name, and goes with no other argument")
        say("\n".join(_table()))
        return
    if bool(arguments.names) == arguments.all:
        raise UsageError("give names, or --all, or --list to see the names that there are")
    names = list(dict.fromkeys(arguments.names)) or list(data.names())
    for name in names:
        data.require_name(name)
    failed: list[tuple[str, ImageTranslationError]] = []
    for name in names:
        try:
            say(data.fetch(name, verify=arguments.verify))
        except DataError as error:  # the others may still be had
            if len(names) == 1:
                raise
            _log.error("error: %s", error if not failed else str(error).splitlines()[0])
            failed.append((name, error))
    if failed:
        raise DataError(f"{len(failed)} of {len(names)} could not be fetched: {', '.join(name for name, _ in failed)}")


def _table() -> Iterator[str]:
    """Yield the lines of the list: what each name is, its size, whether it is here, and its licence."""
    from image_translation import data
    from image_translation.data.registry import EMBEDDED

    rows = [("NAME", "SIZE", "HERE", "LICENCE", "WHAT")]
    rows += [(name, "-", "yes", "BSD-3-Clause", title) for name, title in EMBEDDED.items()]
    cached = [data.cached_entry(name) for name in data.names() if name not in EMBEDDED]
    sizes = _sizes(cached)
    for one, size in zip(cached, sizes, strict=True):
        here = "yes" if one.is_ready() else "partly" if one.is_begun() else "no"
        rows.append((one.entry.name, size, here, one.entry.licence, one.entry.title))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        lead = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:4], widths, strict=True))
        first, *rest = textwrap.wrap(row[4], max(30, 118 - len(lead)))
        yield lead + first
        yield from (" " * len(lead) + line for line in rest)
    yield f"\nThe cache is {data.cache_directory()}; to use another, set {data.CACHE_VARIABLE}."
    yield "Where no licence is stated, ask its authors before you publish what you made of it."
    if "?" in sizes:
        yield "? where the size is not known without fetching it."


def _sizes(cached: "Sequence[CachedEntry]") -> list[str]:
    """Tell how large each entry is: from what lies here, else from the registry, else from its server."""
    from tqdm import tqdm

    from image_translation.data.http import ask_size

    def size(one: "CachedEntry") -> str:
        known = one.size() or (None if one.entry.list else ask_size(one.entry.address, SIZE_TIMEOUT))
        return f"{tqdm.format_sizeof(known, divisor=1000)}B" if known else "?"

    with ThreadPoolExecutor(max(1, len(cached))) as pool:
        return list(pool.map(size, cached))


def _registry(arguments: argparse.Namespace) -> None:
    from image_translation.data.archives import ZARR_ROOT
    from image_translation.data.file_list import format_file_list, list_files
    from image_translation.data.registry import REGISTRY_VARIABLE
    from image_translation.errors import UsageError

    directory: Path = arguments.directory.resolve()
    target: Path = arguments.output or directory.with_name(f"registry_{directory.name.split('.')[0]}.txt")
    if directory in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"-o {target}: lies inside {directory}, which it lists; choose another place")
    if target.exists() and not arguments.overwrite:
        raise UsageError(f"{target} exists; choose another -o, or replace it with --overwrite")
    sums = list_files(directory)
    if not set(ZARR_ROOT) & set(sums):
        raise UsageError(f"{directory}: is no OME-Zarr store, it has none of {', '.join(ZARR_ROOT)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = format_file_list(sums)
    target.write_text(text, encoding="utf-8", newline="\n")  # on every system, or its sum would be another
    size = sum((directory / name).stat().st_size for name in sums)
    say(
        f"# For a file that {REGISTRY_VARIABLE} names; fill in the address, the licence and whom to cite.\n"
        f"[{re.sub('[^A-Za-z0-9_-]+', '_', directory.name.split('.')[0]).strip('_') or 'movie'}]\n"
        'kind = "ome-zarr"\ntitle = "..."\naddress = "https://..."\n'
        f"list = {json.dumps(target.name)}  # beside that file; or an address\n"
        f'list_sha256 = "{sha256(text.encode()).hexdigest()}"\nsize = {size}\n'
        'licence = "..."\ncitation = "..."'
    )
    _log.info("wrote %s", target)
