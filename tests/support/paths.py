"""What is published names no folder of the user: search files for a text, inside zip archives and checkpoints, too."""

import zipfile
from collections.abc import Iterator
from pathlib import Path


def files_with(directory: Path, text: str) -> list[str]:
    """Return the files in a directory, and members of archives, that hold a text in their name or content."""
    wanted = [text.encode(), text.encode("utf-16-le")]
    found = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = str(path.relative_to(directory))
        members = [(name, path.read_bytes()), *_members(path, name)]
        found += [member for member, content in members if text in member or any(one in content for one in wanted)]
    return found


def _members(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            yield f"{name}: {member}", archive.read(member)
