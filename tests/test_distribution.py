"""What is published: the files of both distributions, a description without dead links, and what GitHub reads."""

import os
import re
import tomllib
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

pytest.importorskip("hatchling", reason="the tools of development are not installed")

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]
ADDRESS = "https://example.org/someone/image_translation"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relative_targets(text: str) -> list[str]:
    """Return the targets of links and pictures, in Markdown or HTML, that are neither absolute nor headings."""
    found = re.findall(r"\]\(([^)\s]+)|(?:src|href)=\"([^\"]+)", text)
    return [target for pair in found for target in pair if target and not re.match(r"https://|#", target)]


def test_links_to_files_lead_to_the_version_in_the_repository(hook: ModuleType) -> None:
    text = "[a `b`](docs/x.md#y), ![p](docs/p.jpg), [c](#c), [d](https://example.org/d)"
    assert hook.without_relative_links(text, ADDRESS, "v1.2.3") == (
        f"[a `b`]({ADDRESS}/blob/v1.2.3/docs/x.md#y), ![p]({ADDRESS}/raw/v1.2.3/docs/p.jpg), "
        "[c](#c), [d](https://example.org/d)"
    )


def test_links_to_files_become_text_where_the_address_is_unknown(hook: ModuleType) -> None:
    text = "see [docs/x.md](docs/x.md#y).\n\n![p](docs/p.jpg)\n\n[c](#c)"
    assert hook.without_relative_links(text, "", "v1.2.3") == "see docs/x.md.\n\n[c](#c)"


@pytest.mark.parametrize("address", ["", f"{ADDRESS}/"])
def test_the_description_has_no_dead_links(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TRANSLATION_REPOSITORY", address)
    core = ProjectMetadata(str(ROOT), PluginManager()).core
    assert relative_targets((ROOT / "README.md").read_text())  # they are found
    assert relative_targets(core.readme) == []
    assert core.readme_content_type == "text/markdown"
    assert f"{ADDRESS}/blob/v{core.config['version']}/docs/temporal.md" in core.readme or not address
    assert core.urls == hook_urls(address)
    headings = {slug(line) for line in core.readme.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", core.readme)) <= headings


def hook_urls(address: str) -> dict[str, str]:
    if not address:
        return {}
    return {"Repository": ADDRESS, "Issues": f"{ADDRESS}/issues", "Changelog": f"{ADDRESS}/blob/HEAD/CHANGELOG.md"}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def included(builder: Any) -> set[str]:
    return {file.distribution_path for file in builder.recurse_included_files()}


def test_distributions_have_the_package_and_no_more() -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "image_translation").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__marimo__" not in path.parts
    }
    assert {"image_translation/py.typed", "image_translation/data/datasets.toml"} < package
    assert included(WheelBuilder(str(ROOT))) == package
    assert included(SdistBuilder(str(ROOT))) == package | {
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "README.md",
        "hatch_build.py",
        "pyproject.toml",
    }


def test_metadata_agree() -> None:
    """Authors, licence, words and dates are the same on the package index, in citations and on Zenodo."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    deposit = yaml.safe_load((ROOT / "meta.json").read_text())["metadata"]
    assert citation["authors"] == project["authors"] == deposit["creators"]
    assert citation["license"] == project["license"]
    assert f"## {citation['version']} - {citation['date-released']}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["keywords"] == deposit["keywords"]
    assert set(citation["keywords"]) <= set(project["keywords"])
    first = citation["references"][0]
    assert first["title"] in (ROOT / "README.md").read_text()
    assert [first["doi"]] == [related["identifier"] for related in deposit["related_identifiers"]]


def test_citations_are_complete() -> None:
    for reference in yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]:
        assert {"type", "title", "authors", "notes"} <= set(reference)
        assert {"doi", "url", "identifiers"} & set(reference), reference["title"]
        assert {"year", "url"} & set(reference), reference["title"]


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_what_github_reads_is_complete(path: Path) -> None:
    """Forms ask for something, and workflows run scripts that exist, with no more rights than they state."""
    content = yaml.safe_load(path.read_text())
    if path.parent.name == "ISSUE_TEMPLATE":
        assert {"name", "description", "body"} <= set(content)
        identifiers = [field["id"] for field in content["body"]]
        assert len(set(identifiers)) == len(identifiers)
        assert any(field.get("validations", {}).get("required") for field in content["body"])
        return
    assert "permissions" in content
    for job in content["jobs"].values():
        assert "timeout-minutes" in job
        for step in job["steps"]:
            for script in re.findall(r"\.ci/\S+", step.get("run", "")):
                assert os.access(ROOT / script, os.X_OK), script


def test_the_pythons_that_are_stated_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)}
    workflows = "".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    assert {version for version in stated if version not in workflows} == set()
    assert min(stated, key=lambda version: int(version[2:])) in project["requires-python"]
