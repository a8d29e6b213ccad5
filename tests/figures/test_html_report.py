import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.browser import chromium, find_chromium
from image_translation.figures import html_report
from image_translation.figures.html_report import Section, write_html_report


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def sources(self) -> list[str]:
        return [attributes["src"] or "" for tag, attributes in self.tags if "src" in attributes]


def make_sections(directory: Path, name: str = "a", heading: str = "heading") -> list[Section]:
    (directory / f"{name}.png").write_bytes(b"picture")
    (directory / f"{name}.mp4").write_bytes(b"movie")
    return [
        Section(heading, "what it shows", directory / f"{name}.png"),
        Section("movie", "what it shows", directory / f"{name}.mp4"),
        Section("not there", "what it shows", directory / "none.png"),
    ]


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    write_html_report(tmp_path / "r.html", "Title", ["first"], {"movie": "m.zarr"}, make_sections(tmp_path))
    text = (tmp_path / "r.html").read_text()
    page = Page(text)
    assert page.open == []
    kinds = [source.split(",", 1)[0] for source in page.sources()]
    assert kinds == ["data:image/png;base64", "data:video/mp4;base64"]
    assert [b64decode(source.split(",", 1)[1]) for source in page.sources()] == [b"picture", b"movie"]
    assert {"Title", "first", "movie", "m.zarr", "heading"} <= set(page.words)
    assert "not there" not in page.words
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link", text)
    assert not any("href" in attributes for _, attributes in page.tags)
    assert next(attributes["alt"] for tag, attributes in page.tags if tag == "img") == "heading"
    assert "prefers-color-scheme: dark" in text


def test_names_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&\" $title ${facts}"
    sections = make_sections(tmp_path, heading=evil)
    write_html_report(tmp_path / "r.html", evil, [evil], {evil: evil}, sections)
    page = Page((tmp_path / "r.html").read_text())
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.words.count(evil) == 6
    assert next(attributes["alt"] for tag, attributes in page.tags if tag == "img") == evil


@pytest.mark.slow
def test_figures_can_be_read_on_a_phone(tmp_path: Path) -> None:
    if find_chromium() is None:
        pytest.skip("there is no Chromium here")
    figure = Figure((180 / 25.4, 2))
    sections = make_sections(tmp_path)
    figure.savefig(tmp_path / "a.png", dpi=150)
    write_html_report(tmp_path / "r.html", "Title", [], {}, sections[:1])
    with chromium() as new_page:
        for width, least in ((390, 640), (1280, 640)):
            page = new_page(width, 800)
            page.goto((tmp_path / "r.html").as_uri())
            box = page.get_by_alt_text("heading").bounding_box()
            assert box is not None
            assert box["width"] >= least  # 7 points are 9 pixels
            assert (
                page.evaluate("document.documentElement.scrollWidth") <= width
            )  # the figure is scrolled, not the page


def test_files_that_are_too_large_are_named(tmp_path: Path, monkeypatch: object) -> None:
    sections = make_sections(tmp_path)
    (tmp_path / "a.mp4").write_bytes(bytes(html_report.MAX_MEGABYTES * 10**6 + 1))
    write_html_report(tmp_path / "r.html", "Title", [], {}, sections)
    page = Page((tmp_path / "r.html").read_text())
    assert len(page.sources()) == 1
    assert any("a.mp4" in words for words in page.words)
    assert (tmp_path / "r.html").stat().st_size < 20e6
