"""The widgets in a real napari: the results are those of the command, and whatever goes wrong is shown."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import zarr
from support.figure_helpers import draw_no_figures
from support.runs import pixels

from image_translation.cli.commands import main
from image_translation.data import lookup
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store

Until = Callable[..., None]
METHODS = ("raw", "motion", "savgol")


@pytest.fixture(scope="module")
def smoothed(movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of the movie, without figures."""
    output = tmp_path_factory.mktemp("smoothed") / "out"
    arguments = ["-c", "demo_ckpt", "-m", str(movie), "-o", str(output), "--device", "cpu", "--methods", *METHODS]
    with pytest.MonkeyPatch.context() as patch:
        draw_no_figures(patch)
        assert main(["smooth", *arguments]) == 0
    return output


@pytest.fixture
def phase(movie: Path) -> np.ndarray:
    """The phase, (T, Y, X)."""
    return np.asarray(zarr.open_array(movie / "0", mode="r"))[:, 0, 0]


@pytest.fixture
def widget(viewer: Any) -> Any:
    """The widget that stains, opened as from the menu."""
    _, widget = viewer.window.add_plugin_dock_widget("image-translation", "Stain and smooth")
    widget.form.choose(device="cpu")
    return widget


def notifications() -> list[str]:
    from napari.utils.notifications import notification_manager

    return [record.message for record in notification_manager.records]


def test_the_sample_is_stained_as_by_the_command(
    *,
    viewer: Any,
    widget: Any,
    until: Until,
    movie: Path,
    smoothed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtCore import QTimer

    fetch = lookup.fetch
    monkeypatch.setattr(lookup, "fetch", lambda name: movie if name == "demo_movie" else fetch(name))
    viewer.open_sample("image-translation", "demo_movie")
    phase = viewer.layers["Phase3D"]
    assert [layer.name for layer in viewer.layers] == ["Phase3D", "truth: Nuclei", "truth: Membrane"]
    assert [layer.visible for layer in viewer.layers] == [True, False, False]
    assert phase.axis_labels == ("t", "y", "x")
    assert widget.form.summary == "12 frames of 64 x 96 pixels\n300 s apart\n0.5 µm per pixel"
    assert [str(unit) for unit in phase.units] == ["second", "micrometer", "micrometer"]
    np.testing.assert_array_equal(phase.scale, (300, 0.5, 0.5))

    ticks: list[bool] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(widget.is_running))
    timer.start(5)
    widget.form.choose(methods=METHODS[1:])
    widget.button.click()
    assert widget.button.text() == "Cancel"
    until(lambda: not widget.is_running)
    timer.stop()
    assert sum(ticks) > 10  # it was responsive
    assert widget.message.text().startswith("Done: raw, motion, savgol.")
    assert [layer.name for layer in viewer.layers][3:] == [
        f"{method}: {channel}" for method in METHODS for channel in ("Nuclei", "Membrane")
    ]
    for method in METHODS:
        stored = pixels(smoothed, method)
        attributes = open_store(smoothed / f"{method}.ome.zarr").position("fov").attributes
        for number, channel in enumerate(attributes["omero"]["channels"]):
            layer = viewer.layers[f"{method}: {channel['label']}"]
            np.testing.assert_array_equal(layer.data, stored[:, number, 0])
            window = channel["window"]
            np.testing.assert_allclose(layer.contrast_limits, (window["start"], window["end"]))
            assert layer.blending == "additive"
            assert layer.visible == (method == "motion")
            brightest = "".join(f"{round(255 * value):02X}" for value in layer.colormap.colors[-1][:3])
            assert brightest == channel["color"]
            for name in ("axis_labels", "units"):
                assert getattr(layer, name) == getattr(phase, name)
            np.testing.assert_array_equal(layer.scale, phase.scale)

    widget.save(str(tmp_path / "saved"))
    until(lambda: not widget.is_running)
    for method in METHODS:
        np.testing.assert_array_equal(pixels(tmp_path / "saved", method), pixels(smoothed, method))
    widget.save(str(tmp_path / "saved"))
    until(lambda: not widget.is_running)
    assert "exists" in widget.message.text()

    _, card = viewer.window.add_plugin_dock_widget("image-translation", "Score card")
    card.score()
    until(lambda: not card.is_running)
    assert card.cards[0].ranking
    assert "Nuclei:" in card.verdict.text()
    heads = [card.table.horizontalHeaderItem(column).text() for column in range(card.table.columnCount())]
    assert heads == [*card.cards[0].ranking, "wanted"]
    assert card.table.verticalHeaderItem(0).text() == "flicker"
    assert "motion does not explain" in card.table.verticalHeaderItem(0).toolTip()
    assert card.table.item(0, heads.index("raw")).text() == "1.000"
    few = card.table.rowCount()
    card.all_rows.setChecked(True)
    assert card.table.rowCount() > few


def test_the_score_card_of_a_directory(viewer: Any, smoothed: Path, tmp_path: Path) -> None:
    from image_translation.metrics.rows import read_csv
    from image_translation.metrics.score_card import score_cards
    from image_translation.metrics.score_card_text import verdicts

    _, card = viewer.window.add_plugin_dock_widget("image-translation", "Score card")
    card.score()
    assert "no result" in card.verdict.text()
    card.open(str(smoothed))
    (expected,) = score_cards(read_csv(smoothed / "metrics.csv"))
    assert card.cards == [expected]
    for text in verdicts(expected).values():
        assert text in card.verdict.text()
    card.open(str(tmp_path))
    assert "has no metrics.csv" in card.verdict.text()
    assert notifications()[-1] == card.verdict.text()


def test_a_layer_with_channels_and_planes(viewer: Any, widget: Any, until: Until, phase: np.ndarray) -> None:
    """Results lie on the channel and the plane that they were predicted from."""
    movie = np.zeros((3, 12, 2, *phase.shape[1:]), np.float32)  # Z, T, C, Y, X
    movie[2, :, 1] = phase
    options = {"axis_labels": ("z", "t", "c", "y", "x"), "scale": (2, 60, 1, 0.5, 0.5), "translate": (10, 0, 0, 5, 0)}
    layer = viewer.add_image(movie, name="stack", **options)
    viewer.dims.set_point(0, 10 + 2 * 2)
    widget.form.choose(channel="1", planes="one", methods=())
    widget.start()
    until(lambda: not widget.is_running)
    result = viewer.layers["raw: Nuclei"]
    assert result.data.shape == (1, 12, 1, *phase.shape[1:])
    assert result.axis_labels == layer.axis_labels
    np.testing.assert_array_equal(result.translate, (14, 0, 1, 5, 0))
    assert viewer.dims.point[:3] == (14, 0, 1)
    assert np.isfinite(result.data).all()

    widget.form.choose(channel="2")
    widget.start()
    assert not widget.is_running
    assert widget.message.text() == "channel '2': give numbers from 0 to 1, each once, separated by commas"


def test_cancelled_and_started_again(viewer: Any, widget: Any, until: Until, phase: np.ndarray) -> None:
    viewer.add_image(np.concatenate([phase] * 5), name="long")
    widget.button.click()
    until(lambda: len(viewer.layers) > 1)
    widget.button.click()
    until(lambda: not widget.is_running)
    assert widget.message.text().startswith("Cancelled.")
    done = np.isfinite(viewer.layers["raw: Nuclei"].data).all(axis=(1, 2))
    assert done[0]
    assert not done[-1]
    viewer.layers.clear()
    viewer.add_image([phase[:7], phase[:7, ::2, ::2]], name="short", multiscale=True)
    widget.button.click()
    until(lambda: not widget.is_running)
    assert widget.message.text().startswith("Done: raw, motion.")
    assert viewer.layers["motion: Nuclei"].data.shape == (7, *phase.shape[1:])


def test_layers_may_be_removed_while_they_fill(viewer: Any, widget: Any, until: Until, phase: np.ndarray) -> None:
    viewer.add_image(phase)
    widget.button.click()
    until(lambda: len(viewer.layers) > 1)
    viewer.layers.clear()
    until(lambda: not widget.is_running)
    assert widget.message.text().startswith("Done")


def test_errors_are_shown(
    viewer: Any, widget: Any, until: Until, phase: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.start()
    assert "no image to stain" in widget.message.text()
    viewer.add_image(phase, name="cells")
    widget.form.choose(checkpoint=" ")
    widget.start()
    assert widget.message.text().startswith("no network: choose")
    widget.form.choose(checkpoint="no/such.ckpt")
    widget.start()
    until(lambda: not widget.is_running)
    assert widget.message.text().startswith("no/such.ckpt: no such file")
    assert notifications()[-1] == widget.message.text()
    assert widget.button.text() == "Stain"

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    widget.form.choose(checkpoint="demo_ckpt")
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", fail)
        widget.start()
        until(lambda: not widget.is_running)
    assert widget.message.text() == "RuntimeError: out of memory"
    widget.start()
    until(lambda: not widget.is_running)
    assert widget.message.text().startswith("Done")


def test_warnings_are_shown(viewer: Any, widget: Any, until: Until, phase: np.ndarray) -> None:
    phase[4] = 0
    viewer.add_image(phase)
    widget.start()
    until(lambda: not widget.is_running)
    assert "\nWarning: 1 invalid frames" in widget.message.text()
    assert np.isnan(viewer.layers["raw: Nuclei"].data[4]).all()
    assert np.isfinite(viewer.layers["motion: Nuclei"].data[5]).all()


def test_the_viewer_is_closed_while_it_runs(slot_errors: None, until: Until, phase: np.ndarray, viewer: Any) -> None:
    import napari
    from superqt.utils import WorkerBase

    own = napari.Viewer(show=False)
    own.add_image(np.concatenate([phase] * 5))
    _, widget = own.window.add_plugin_dock_widget("image-translation", "Stain and smooth")
    widget.button.click()
    until(lambda: len(own.layers) > 1)
    own.close()
    until(lambda: not WorkerBase._worker_set, seconds=30)


def test_a_tiff_stack_is_stained(
    *, viewer: Any, widget: Any, until: Until, phase: np.ndarray, smoothed: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", phase, imagej=True, metadata={"axes": "TYX"})
    viewer.open(tmp_path / "cells.tif")
    widget.button.click()
    until(lambda: not widget.is_running)
    np.testing.assert_array_equal(viewer.layers["motion: Nuclei"].data, pixels(smoothed, "motion")[:, 0, 0])


def test_the_screenshot_of_the_readme(
    slot_errors: None, until: Until, movie: Path, viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stain is seen; with IMAGE_TRANSLATION_SCREENSHOTS that of the embedded movie, which is written there."""
    import napari

    directory = os.environ.get("IMAGE_TRANSLATION_SCREENSHOTS")
    if not directory:
        fetch = lookup.fetch
        monkeypatch.setattr(lookup, "fetch", lambda name: movie if name == "demo_movie" else fetch(name))
    own = napari.Viewer()
    own.window.resize(1280, 940)
    own.open_sample("image-translation", "demo_movie")
    _, stain = own.window.add_plugin_dock_widget("image-translation", "Stain and smooth")
    _, card = own.window.add_plugin_dock_widget("image-translation", "Score card")
    stain.form.choose(methods=["motion", "savgol"])
    stain.start()
    until(lambda: not stain.is_running, seconds=600)
    card.score()
    until(lambda: not card.is_running, seconds=600)
    own.reset_view()
    end = time.monotonic() + 2
    until(lambda: time.monotonic() > end)
    canvas = own.screenshot(flash=False)[..., :3].astype(int)
    blue, orange = (canvas[..., 2] - canvas[..., 0]).max(), (canvas[..., 0] - canvas[..., 2]).max()
    assert min(blue, orange) > 60
    if directory:
        window = own.screenshot(canvas_only=False, flash=False)
        cv2.imwrite(str(Path(directory).resolve() / "napari.jpg"), window[..., 2::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    own.close()
