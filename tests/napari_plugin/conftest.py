"""A napari viewer on a virtual display."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.display import virtual_display, why_no_window


@pytest.fixture(scope="session")
def _display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A display with OpenGL, and settings of napari that are not the user's."""
    pytest.importorskip("napari")
    with virtual_display() as environment, pytest.MonkeyPatch.context() as patch:
        if reason := why_no_window(environment):
            pytest.skip(f"Qt cannot open a window with OpenGL here: {reason}")
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
        yield


@pytest.fixture(scope="session")
def _session_viewer(_display: None) -> Iterator[Any]:
    with warnings.catch_warnings(action="ignore"):  # of napari's own imports
        import napari

        viewer = napari.Viewer(show=False)
    yield viewer
    viewer.close()


@pytest.fixture
def slot_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail for exceptions in slots, which would end the process."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: errors.append(error))
    yield
    assert errors == []


@pytest.fixture
def viewer(_session_viewer: Any, slot_errors: None) -> Iterator[Any]:
    """A viewer without layers and docks."""
    yield _session_viewer
    _session_viewer.window.remove_dock_widget("all")
    _session_viewer.layers.clear()


@pytest.fixture
def until(_display: None) -> Callable[..., None]:
    """Wait for a condition, while events are processed."""
    from qtpy.QtWidgets import QApplication

    def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            QApplication.processEvents()
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated movie, small and of the layout of the embedded one."""
    from image_translation.data.simulated import write_simulated_movie
    from image_translation.simulation.spec import MovieSpec

    path = tmp_path_factory.mktemp("movie") / "cells.ome.zarr"
    write_simulated_movie(MovieSpec(shape=(64, 96), frames=12, seed=3), path)
    return path
