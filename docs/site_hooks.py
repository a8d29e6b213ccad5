"""What `mkdocs build` adds to docs/: pages from the top level, and a reference that follows the public names.

Files are read where they are, so that nothing is copied: README.md is the start page, and its links, which are right in
the repository, are turned into links of the site. The reference lists what each `__init__.pyi` of the package exports.
"""

import ast
import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "image_translation"

TOP_LEVEL = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CITATION.cff": "citation.md",
    "LICENSE": "licence.md",
}
"""Files of the repository that are pages of the site."""

_log = logging.getLogger("mkdocs.site_hooks")  # below MkDocs' logger, so that --strict counts its warnings

_TITLES = {"CITATION.cff": ("Citation", "yaml"), "LICENSE": ("Licence", "text")}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?://|#|mailto:)(?P<path>[^)#\s]+)")
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_ITEM = re.compile(r"^(?:[-*]|\d+\.) .{1,40}", re.MULTILINE)
_LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"(?P<address>https?://[^\"]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of docs/ that the navigation does not name, and those of the reference."""
    sections = {title: pages for entry in config.nav or [] for title, pages in entry.items()}
    sections["Guides"] += sorted({path.name for path in (ROOT / "docs").glob("*.md")} - set(sections["Guides"]))
    sections["Reference"] += ["reference/index.md", *(f"reference/{name}.md" for name in packages())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files."""
    pages = {f"reference/{name}.md": package_page(name) for name in packages()}
    pages["reference/index.md"] = reference_index()
    for name, page in TOP_LEVEL.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if name in _TITLES:
            title, language = _TITLES[name]
            text = f"# {title}\n\n```{language}\n{text}```\n"
        pages[page] = text
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links between files of the repository into links between pages of the site."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    directory = "" if page.file.src_uri in TOP_LEVEL.values() else "docs"

    def replaced(link: re.Match[str]) -> str:
        text, path = link["text"], posixpath.normpath(posixpath.join(directory, link["path"]))
        if text == path:  # a file in the repository, a page here
            text = f"*{heading(ROOT / path)}*"
        return f"[{text}]({TOP_LEVEL.get(path, path.removeprefix('docs/'))}"

    return _LINK.sub(replaced, markdown).replace("```python no-run\n", "```python\n")


def heading(document: Path) -> str:
    """Return the first words of a page's title, or the name of the file if it is no Markdown."""
    first = document.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ").partition(":")[0] if first.startswith("# ") else document.name


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Warn of lists that are lists on GitHub only, which needs no blank line before them."""
    for paragraph in _PARAGRAPH.findall(html):
        item = _ITEM.search(paragraph)
        if item:
            _log.warning("%s: a list needs a blank line before it: %s", page.file.src_uri, item[0])
    return html


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Warn of what a page would load from another site."""
    for found in _LOADED.finditer(output):
        _log.warning("%s: loads %s; keep it in docs/", page.file.src_uri, found["address"])
    return output


def packages() -> list[str]:
    """Return the names of the packages that export something."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.pyi"))


def exports(directory: Path) -> dict[str, str]:
    """Return the names that a package exports, and the module below `image_translation` that defines each of them."""
    relative = directory.relative_to(PACKAGE).as_posix().replace("/", ".").strip(".")
    tree = ast.parse((directory / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"{relative}.{node.module}".strip(".")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def reference_index() -> str:
    """Return the page of the names that `image_translation` exports itself, with the list of packages."""
    table = ["| package | its job |", "|---|---|"]
    for name in packages():
        docstring = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))) or ""
        table.append(f"| [`{name}`]({name}.md) | {docstring.splitlines()[0]} |")
    return "\n\n".join(
        ["# image_translation", _description("image_translation"), "\n".join(table), *map(_entry, exports(PACKAGE))]
    )


def package_page(package: str) -> str:
    """Return the page of a package: what it is for, and the names that it exports."""
    path = f"image_translation.{package}"
    names, above = exports(PACKAGE / package), exports(PACKAGE)
    elsewhere = [name for name in names if above.get(name) == names[name]]
    blocks = [f"---\ntitle: {package}\n---\n\n# {path}", _description(path)]
    if elsewhere:
        links = ", ".join(f"[`{name}`][image_translation.{name}]" for name in elsewhere)
        blocks.append(f"Also exported by `image_translation` itself, and described there: {links}.")
    blocks += [_entry(name, path) for name in names if name not in elsewhere]
    return "\n\n".join(blocks)


def _description(path: str) -> str:
    options = "{show_root_heading: false, show_root_toc_entry: false, members: false}"
    return f"::: {path}\n    options: {options}"


def _entry(name: str, path: str = "image_translation") -> str:
    return f"::: {path}.{name}"
