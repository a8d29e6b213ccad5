"""The command ``registry``: the file list and the registry entry of one's own data, to publish it."""

import argparse
import json
import logging
import re
from hashlib import sha256
from pathlib import Path

from image_translation.cli.arguments import add_overwrite, parse_path
from image_translation.cli.program import say
from image_translation.errors import UsageError

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("directory", type=parse_path, metavar="DIRECTORY", help="OME-Zarr store to be published")
    parser.add_argument(
        "-o", "--output", type=parse_path, metavar="FILE", help="list to write; beside the directory if not given"
    )
    add_overwrite(parser, "an existing list")


def run(arguments: argparse.Namespace) -> None:
    """Write the list, and print the entry for a registry."""
    from image_translation.data.archives import ZARR_ROOT
    from image_translation.data.file_list import compute_checksums, format_file_list
    from image_translation.data.registry import REGISTRY_VARIABLE

    directory: Path = arguments.directory.resolve()
    target: Path = arguments.output or directory.with_name(f"registry_{directory.name.split('.')[0]}.txt")
    if directory in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"-o {target}: lies inside {directory}, which it lists; choose another -o")
    if target.exists() and not arguments.overwrite:
        raise UsageError(f"{target} exists; choose another -o, or replace it with --overwrite")
    checksums = compute_checksums(directory)
    if not set(ZARR_ROOT) & set(checksums):
        raise UsageError(f"{directory}: is not an OME-Zarr store: it has none of {', '.join(ZARR_ROOT)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = format_file_list(checksums)
    target.write_text(text, encoding="utf-8", newline="\n")  # on every system, so that its checksum is the same
    size = sum((directory / name).stat().st_size for name in checksums)
    say(
        f"# For a file that {REGISTRY_VARIABLE} names; fill in the URL, the licence and whom to cite.\n"
        f"[{re.sub('[^A-Za-z0-9_-]+', '_', directory.name.split('.')[0]).strip('_') or 'movie'}]\n"
        'kind = "ome-zarr"\ntitle = "..."\naddress = "https://..."\n'
        f"list = {json.dumps(target.name)}  # beside that file; or a URL\n"
        f'list_sha256 = "{sha256(text.encode()).hexdigest()}"\nsize = {size}\n'
        'licence = "..."\ncitation = "..."'
    )
    _log.info("wrote %s", target)
