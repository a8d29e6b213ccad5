"""Controls of the page, outside a running notebook; ``test_part1_inspection_widget`` uses them in a browser."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from marimo import MarimoStopError
from support.stores import phase, write_image

from image_translation.errors import DataError, UsageError
from image_translation.explorer import page
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.sections import Section
from image_translation.omezarr.store import open_store

Stop = MarimoStopError


def test_values_are_remembered_while_they_are_allowed() -> None:
    state = page.PageState(interactive=True)
    assert state.remember("plane", 2, range(5))["value"] == 2
    state.remember("plane", 2, range(5))["on_change"](4)
    assert state.remember("plane", 0, range(5))["value"] == 4
    assert state.remember("plane", 0, range(3))["value"] == 2
    state.remember("stage", "stem", ("stem", "head"))["on_change"]("head")
    assert state.remember("stage", "stem", ("stem", "head"))["value"] == "head"
    assert state.remember("stage", "stem", ("stem", "neck"))["value"] == "stem"
    assert page.PageState(interactive=True).remember("stage", "stem", ("stem", "head"))["value"] == "stem"


def test_a_report_shows_all_sections_under_headings() -> None:
    tabs: Any = SimpleNamespace(value=page.STAGE)
    for interactive, shown, headings in ((True, [False, True], 0), (False, [True, True], 1)):
        state = page.PageState(interactive=interactive)
        assert [state.is_shown(tabs, name) for name in (page.OVERVIEW, page.STAGE)] == shown
        assert len(state.heading(page.STAGE)) == headings


def test_a_section_can_be_saved_on_the_interactive_page_alone() -> None:
    section = Section("title", ("<p>text</p>",), lambda: None, str, "overview")  # type: ignore[arg-type,return-value]
    for interactive in (True, False):
        text = page.PageState(interactive=interactive).show(section).text
        assert "<p>text</p>" in text
        for kind in ("PNG", "SVG", "HTML", "CSV"):
            assert (kind in text) == interactive


def test_errors_stop_the_cell_with_a_message() -> None:
    with pytest.raises(Stop) as stopped, page.stop_on_error():
        raise DataError("a <truncated> chunk")
    assert "truncated&amp;gt; chunk" in stopped.value.output.text  # escaped
    with pytest.raises(ZeroDivisionError), page.stop_on_error():
        raise ZeroDivisionError


def test_errors_end_a_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(page, "is_script", lambda: True)
    with pytest.raises(SystemExit, match="2"), page.stop_on_error():
        raise UsageError("no such movie")
    assert capsys.readouterr().err == "error: no such movie\n"


def test_presets_that_are_ignored_are_reported() -> None:
    found = page.ignored_preset("position X", ignored=True)
    assert found is not None
    assert "position X: not available here, ignored" in found.text
    assert page.ignored_preset("position X", ignored=False) is None


def test_sources_are_names_or_paths(tmp_path: Path) -> None:
    named = page.source_controls("movie", "demo_movie")
    assert page.selected_source(named) == "demo_movie"
    assert len(page.visible_controls(named)) == 1
    path = page.source_controls("checkpoint", str(tmp_path / "a.ckpt"))
    assert page.selected_source(path) == str(tmp_path / "a.ckpt")
    assert len(page.visible_controls(path)) == 3


def test_browsing_starts_in_the_working_directory_without_hidden_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".cache", "data", "data/.hidden", "data/a.zarr"):
        (tmp_path / name).mkdir()
    for name in (".secret.ckpt", "b.ckpt", "notes.txt", "c.tif"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def listed(kind: Literal["movie", "checkpoint"], *directories: str) -> list[str]:
        browser = page.source_controls(kind, "demo_movie")["browser"]
        start = Path(browser._component_args["initial-path"])
        assert start == tmp_path
        answer = browser._list_directory(SimpleNamespace(path=str(start.joinpath(*directories))))
        return [file["name"] for file in answer.files]

    assert listed("movie") == ["data", "c.tif"]
    assert listed("movie", "data") == ["a.zarr"]
    assert listed("checkpoint") == ["data", "b.ckpt"]


def test_only_sources_that_are_not_local_have_a_fetch_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path))
    assert page.fetch_button("demo_ckpt", "checkpoint") == (None, None)
    button, notice = page.fetch_button("pretrained_ckpt", "checkpoint")
    assert button is not None
    assert notice is not None
    assert "pretrained_ckpt is not on this machine yet" in notice.text
    with pytest.raises(Stop), page.fetching("pretrained_ckpt", button):
        raise AssertionError
    with page.fetching("demo_ckpt", None):
        pass
    for source, message in (("", "Give the path of a checkpoint"), ("nowhere.ckpt", "no such file or directory")):
        with pytest.raises(Stop) as stopped:
            page.fetch_button(source, "checkpoint")
        assert message in stopped.value.output.text


def test_channels_and_normalisation(inspector: Inspector, tmp_path: Path) -> None:
    position = open_store(write_image(tmp_path / "a.zarr", phase(1))).position("fov")
    assert page.channel_controls(inspector, position, ("Phase3D",)).value == ["Phase3D"]
    with pytest.raises(Stop):
        page.channel_controls(inspector, position, ("Nuclei",))
    control = page.normalization_control(inspector, None)
    assert control.value is None
    assert next(iter(control.options)) == f"{inspector.normalization}, from the checkpoint"
    assert page.normalization_control(inspector, "none").value == "none"


def test_sliders_cover_their_indices() -> None:
    frame = page.index_slider("frame", 5, value=2)
    assert (frame.start, frame.stop, frame.value) == (0, 4, 2)
    components, channels = page.map_control("components", 64), page.map_control("channels", 64)
    assert (components.start, components.stop) == (1, 6)
    assert (channels.start, channels.stop) == (0, 63)
    assert page.map_control("components", 2).stop == 2
