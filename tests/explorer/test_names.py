"""Names in files are shown as they are: none becomes an element of a page, a link, or a formula of a figure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from support.activations import make_activations
from support.figure_helpers import draw
from support.finished_run import FinishedRun
from support.markup import NAMES, Page

from image_translation.evaluation.report import format_scores
from image_translation.explorer.comparison import compare_images
from image_translation.explorer.inspector import Activations
from image_translation.explorer.page import verbatim
from image_translation.explorer.sections import (
    Section,
    change_section,
    comparison_section,
    overview_section,
    stage_section,
)
from image_translation.figures import tile_html
from image_translation.figures.scores import box_plot_figure
from image_translation.files import file_stems
from image_translation.frame import Crop
from image_translation.metrics.criteria import Entry
from image_translation.metrics.rows import Row
from image_translation.metrics.score_card import ScoreCard
from image_translation.staining.report import write_run_report


def named(name: str, shift: int = 0) -> Activations:
    """Activations whose channel and only stage have a name."""
    made = make_activations(shift=shift)
    features, placements = ({name: found["stem"]} for found in (made.features, made.placements))
    return replace(made, image_channels=(name,), features=features, placements=placements)  # type: ignore[arg-type]


def overview(name: str) -> Section:
    return overview_section(named(name), name, 0.5)


def stage(name: str) -> Section:
    return stage_section(named(name), name, ("components", 1), name, opacity=0.5)


def comparison(name: str) -> Section:
    return comparison_section(compare_images((name, f"{name} 2"), (named(name), named(name, 3))), name)


def change(name: str) -> Section:
    return change_section({name: {"input": np.ones(2), name: np.array([0.5, 2.0])}}, range(3), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [overview, stage, comparison, change])
def test_sections_and_what_is_saved_of_them(make: Callable[[str], Section], name: str) -> None:
    section, plain = make(name), Page(make("plain").document().decode())
    page = Page(section.document().decode())
    assert page.elements == plain.elements
    shown = [text for text in plain.texts if "plain" in text and "change of every stage" not in text]
    assert [text for text in page.texts if name in text] == [text.replace("plain", name) for text in shown]
    assert all(address.startswith("data:image/png") for address in page.addresses)
    assert section.image("png").startswith(b"\x89PNG")
    elements = {element.tag.rpartition("}")[2] for element in ET.fromstring(section.image("svg")).iter()}
    assert elements.isdisjoint({"script", "img", "a", "foreignObject"})
    assert make is stage or name in section.csv().decode().replace('""', '"')


@pytest.mark.parametrize("name", NAMES)
def test_messages_and_the_field(name: str) -> None:
    field = np.ones((8, 8), np.float32)
    for make in (tile_html.message, tile_html.note, lambda text: tile_html.field(field, Crop(0, 0, 4, 4), 1.0, text)):
        page = Page(make(name))
        assert page.elements == Page(make("plain")).elements
        assert name in page.texts


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_controls_hold_no_markup(name: str) -> None:
    import marimo

    page = Page(marimo.md(f"channel as {verbatim(name)}").text)
    assert page.elements == Page(marimo.md("channel as plain").text).elements
    assert "".join(page.texts).strip() == f"channel as {name}"


def test_the_report_of_a_run(tmp_path: Path) -> None:
    pages = []
    for names in ([f"plain{n}" for n in range(len(NAMES))], NAMES):
        directory = tmp_path / str(len(pages))
        directory.mkdir()
        run = FinishedRun(directory, frames=2, channels=names)
        run.plan.spec.path, run.plan.spec.description = Path(f"{names[0]}.ckpt"), names[1]
        for stem in file_stems(names):
            (directory / f"{stem}_combined.png").write_bytes(b"picture")
        entries = tuple(Entry("motion", name, {}, ("sharpness",)) for name in names)
        card = ScoreCard("fov", ("sharpness",), ("motion", "raw"), entries)
        write_run_report(run.plan, run.series, run.results[0], card, directory, film=range(2))
        pages.append(Page((directory / "report.html").read_text()))
    plain, page = pages
    assert page.elements == plain.elements
    assert f"{NAMES[0]}.ckpt: {NAMES[1]}" in page.texts
    for number, name in enumerate(NAMES):
        shown = [text for text in plain.texts if f"plain{number}" in text]
        assert len(shown) >= 3  # facts, heading, picture
        assert sum(name in text for text in page.texts) == len(shown)


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_an_evaluation(name: str) -> None:
    rows = [Row(name, "truth", name, None, "data_range", 1.0)]
    rows += [Row(name, method, name, t, "pearson", 0.5) for method in (name, "raw") for t in range(3)]
    assert name in format_scores(rows)
    draw(box_plot_figure(rows))
