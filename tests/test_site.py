"""The documentation as a site: its reference has all public names, its links lead on, and docstrings can be parsed.

`.ci/run` builds the site, with warnings as errors; here is what a build would not notice.
"""

import logging
from importlib import import_module, util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
griffe = pytest.importorskip("griffe", reason="the group docs is not installed")
pytest.importorskip("mkdocs", reason="the group docs is not installed")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package() -> Any:
    return griffe.load("image_translation", try_relative_path=False)


def page(name: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=name))


def test_the_reference_has_every_public_name_once(hooks: ModuleType) -> None:
    pages = {"": hooks.reference_index()} | {f".{name}": hooks.package_page(name) for name in hooks.packages()}
    described = [line.split()[1] for text in pages.values() for line in text.splitlines() if line.startswith("::: ")]
    assert len(set(described)) == len(described)
    objects = []
    for name, text in pages.items():
        package = import_module(f"image_translation{name}")
        for public in package.__all__:
            at = f"image_translation{name}.{public}"
            assert at in described or f"`{public}`][image_translation.{public}]" in text, at
            objects.append(at)
    assert set(described) <= {*objects, *(f"image_translation{name}" for name in pages)}


def test_names_resolve_without_importing(hooks: ModuleType, package: Any) -> None:
    """As in the build: from the stubs, to the modules that define them."""
    for name, module in hooks.exports(hooks.PACKAGE).items():
        assert package[name].final_target.path == f"image_translation.{module}.{name}"


def test_docstrings_are_valid(package: Any, caplog: pytest.LogCaptureFixture) -> None:
    """No section is malformed, and every parameter that is described is one of the function, and has a type."""
    counts = [0]

    def parse(item: Any) -> None:
        if item.docstring:
            counts[0] += 1
            item.docstring.parse("numpy")
        for member in item.members.values():
            if not member.is_alias:
                parse(member)

    with caplog.at_level(logging.WARNING, "griffe"):
        parse(package)
    assert caplog.messages == []
    assert counts[0] > 1000


def test_links_of_the_repository_become_links_of_the_site(hooks: ModuleType) -> None:
    text = "[x](docs/temporal.md#cost) ![y](docs/explorer.jpg) [LICENSE](LICENSE) [z](#z) "
    text += "[docs/temporal.md](docs/temporal.md)"
    assert hooks.on_page_markdown(text, page("index.md"), None, None) == (
        "[x](temporal.md#cost) ![y](explorer.jpg) [*LICENSE*](licence.md) [z](#z) [*Temporal smoothing*](temporal.md)"
    )
    text = "[a](metrics.md) [b](../README.md#install) [c](https://example.org/d.md)"
    assert hooks.on_page_markdown(text, page("temporal.md"), None, None) == (
        "[a](metrics.md) [b](index.md#install) [c](https://example.org/d.md)"
    )


@pytest.mark.parametrize(
    ("html", "warnings"),
    [
        ("<p>such as\n- one\n- two</p>", ["p.md: a list needs a blank line before it: - one"]),
        ("<p>3 - 2</p><pre>a:\n- b</pre><ul>\n<li>- c</li></ul>", []),
    ],
)
def test_lists_that_only_github_sees(
    hooks: ModuleType, html: str, warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    hooks.on_page_content(html, page("p.md"), None, None)
    assert caplog.messages == warnings


def test_pages_load_nothing_from_other_sites(hooks: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    hooks.on_post_page('<a href="https://example.org"><img src="a.png"><link href="site.css">', page("p.md"), None)
    assert caplog.messages == []
    hooks.on_post_page('<img alt="" src="https://example.org/badge.svg">', page("p.md"), None)
    assert caplog.messages == ["p.md: loads https://example.org/badge.svg; keep it in docs/"]


def test_pages_of_docs_are_in_the_navigation(hooks: ModuleType) -> None:
    config = hooks.on_config(SimpleNamespace(nav=[{"Guides": ["temporal.md"]}, {"Reference": []}, {"Project": []}]))
    guides = config.nav[0]["Guides"]
    assert guides[0] == "temporal.md"
    assert sorted(guides) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert config.nav[1]["Reference"][0] == "reference/index.md"
