"""Build hook: the description on the package index, whose readers have no files beside it.

A link of README.md to a file of the repository works in the repository only. Where the address of the repository is
known, from the environment variable `IMAGE_TRANSLATION_REPOSITORY`, which the release workflow sets, such links are
made absolute, at the tag of the version; elsewhere only their text is left, and pictures are left out. No link is dead.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ADDRESS_VARIABLE = "IMAGE_TRANSLATION_REPOSITORY"
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#|mailto:)(?P<target>[^)\s]+)\)")


class Description(MetadataHookInterface):
    """Give the metadata fields `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set both fields in `metadata`, the table `project`."""
        address = os.environ.get(ADDRESS_VARIABLE, "").rstrip("/")
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": without_relative_links(readme, address, f"v{metadata['version']}"),
        }
        metadata["urls"] = project_urls(address)


def without_relative_links(text: str, address: str, tag: str) -> str:
    """Make links to files absolute, or leave their text alone where the address of the repository is not known.

    Parameters
    ----------
    text
        Markdown.
    address
        Address of the repository on the web, or nothing.
    tag
        Name of the version in the repository.

    Returns
    -------
    str
        Markdown in which every link is absolute or leads to a heading of the same text.
    """

    def replaced(link: re.Match[str]) -> str:
        image, label, target = link["image"], link["text"], link["target"]
        if not address:
            return "" if image else label
        return f"{image}[{label}]({address}/{'raw' if image else 'blob'}/{tag}/{target})"

    return re.sub(r"\n{3,}", "\n\n", LINK.sub(replaced, text))


def project_urls(address: str) -> dict[str, str]:
    """Return the links of the project, by their well-known labels; none where `address` is empty."""
    if not address:
        return {}
    return {
        "Repository": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
    }
