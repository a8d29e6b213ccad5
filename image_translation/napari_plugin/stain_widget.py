"""The widget that stains and smooths a layer: the form, a button to start and to cancel, progress, and the result."""

from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from image_translation.errors import ImageTranslationError
from image_translation.metrics.rows import RAW
from image_translation.napari_plugin.result_layers import METADATA_KEY, place, result_layer
from image_translation.napari_plugin.stain_form import StainForm
from image_translation.napari_plugin.stain_request import StainRequest
from image_translation.napari_plugin.stain_worker import (
    Failed,
    Finished,
    Progress,
    Saved,
    Started,
    save_stores,
    stain_layer,
)

if TYPE_CHECKING:
    from image_translation.api.stained_movie import StainedMovie

REFRESH_INTERVAL = 300  # milliseconds between updates of the layers that are being filled


class StainWidget(QWidget):
    """Stain a layer, smooth it over time, and show the results as layers.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.form = StainForm(napari_viewer)
        self.button = QPushButton("Stain")
        self.save_button = QPushButton("Save as OME-Zarr...")
        self.progress_bar = QProgressBar()
        self.message = QLabel("Choose the label-free movie and a network.")
        self.stained: StainedMovie | None = None
        self._worker: Any = None
        self._cancelled = Event()
        self._request: StainRequest | None = None
        self._layers: dict[tuple[str, str], Any] = {}
        self._progress: Progress | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_INTERVAL)
        self._timer.timeout.connect(self._show_progress)
        self._build()
        self.destroyed.connect(partial(_cancel, self))

    def _build(self) -> None:
        self.message.setWordWrap(True)
        self.progress_bar.setVisible(False)
        self.save_button.setEnabled(False)
        self.save_button.setToolTip("Save the last result, as image-translation smooth does.")
        self.button.clicked.connect(self.start_or_cancel)
        self.save_button.clicked.connect(self._choose_directory)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button)
        buttons.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.form)
        layout.addLayout(buttons)
        layout.addWidget(self.progress_bar)
        layout.addWidget(self.message)
        layout.addStretch()

    @property
    def is_running(self) -> bool:
        """Whether a movie is being stained or saved."""
        return self._worker is not None

    def start_or_cancel(self) -> None:
        """Start to stain what the form says; cancel if it is being done."""
        if not self.is_running:
            self.start()
        elif not self._cancelled.is_set():
            self.cancel()

    def start(self) -> None:
        """Start to stain what the form says; an error is shown."""
        try:
            self._request = self.form.request()
        except ImageTranslationError as error:
            self._fail(str(error))
            return
        self._layers, self._progress = {}, None
        self._cancelled = Event()
        self._begin(f"Loading {self._request.checkpoint} and reading the movie ...")
        self.button.setText("Cancel")
        self._run(create_worker(stain_layer, self._request, self._cancelled, _start_thread=False))

    def cancel(self) -> None:
        """Stop before the next frame; what is done so far stays in its layers."""
        self._cancelled.set()
        self.button.setEnabled(False)
        self._say("Stopping ...")

    def save(self, directory: str) -> None:
        """Save the last result in a directory; an error is shown."""
        self._cancelled = Event()
        self._begin(f"Saving in {directory} ...")
        self.button.setEnabled(False)
        self._run(create_worker(save_stores, self.stained, directory, _start_thread=False))

    def _begin(self, message: str) -> None:
        self.save_button.setEnabled(False)
        self.progress_bar.setRange(0, 1)  # not 0, 0: the animation would draw the canvas again and again
        self.progress_bar.setValue(0)
        self.progress_bar.setVisible(True)
        self._say(message)

    def _run(self, worker: Any) -> None:
        self._worker = worker
        worker.yielded.connect(self._receive)
        worker.finished.connect(self._end)
        worker.start()

    def _receive(self, news: Started | Progress | Finished | Saved | Failed) -> None:
        if isinstance(news, Started):
            self._show(news)
        elif isinstance(news, Progress):
            self._progress = news  # shown by the timer: fast networks would draw the window without end
        elif isinstance(news, Finished):
            self._finish(news)
        elif isinstance(news, Saved):
            self._say(f"Saved in {news.directory}.")
        else:
            self._fail(news.reason)

    def _show(self, started: Started) -> None:
        """Add the layers, whose frames are NaN until they come."""
        request = self._request
        if request is None:
            return
        channel = request.channels[0] if request.channels else 0
        where = place(request.layer, request.axes, channel=channel, plane=started.plane)
        shown = next((method for method in started.results if method != RAW), RAW)
        for method, stain in started.results.items():
            for number, name in enumerate(started.channels):
                data, options = result_layer(
                    stain,
                    request.axes,
                    method=method,
                    channel=(number, name),
                    contrast_limits=started.windows[name],
                    metadata={METADATA_KEY: None},
                )
                layer = self._viewer.add_image(data, **options, **where, visible=method == shown)
                self._layers[method, name] = layer
        for axis in (request.axes.t, request.axes.c, request.axes.z):  # where the first frame will be seen
            if axis is not None:
                self._viewer.dims.set_point(axis - request.layer.ndim, float(where["translate"][axis]))
        self._timer.start()

    def _finish(self, news: Finished) -> None:
        self.stained, self._progress = news.stained, None
        for (_, channel), layer in self._layers.items():
            layer.contrast_limits = news.stained.display_windows[channel]
            layer.metadata[METADATA_KEY] = news.stained
        done = f"Done: {', '.join(news.stained.methods)}. The widget Score card says which is best."
        self._say("\n".join([done, *(f"Warning: {text}" for text in news.warnings)]))
        for text in news.warnings:
            show_warning(text)

    def _end(self) -> None:
        """Return to the state in which the next movie can be stained."""
        self._timer.stop()
        self._refresh()
        if self._cancelled.is_set():
            self._say("Cancelled. Frames that were stained are in the layers.")
        self._worker = None
        self.button.setText("Stain")
        self.button.setEnabled(True)
        self.save_button.setEnabled(self.stained is not None)
        self.progress_bar.setVisible(False)

    def _show_progress(self) -> None:
        if self._progress is not None:
            self.progress_bar.setRange(0, self._progress.total)
            self.progress_bar.setValue(self._progress.done)
            if not self._cancelled.is_set():
                self._say(f"{self._progress.done} of {self._progress.total} frames stained.")
        self._refresh()

    def _refresh(self) -> None:
        for layer in self._layers.values():
            if layer.visible and layer in self._viewer.layers:
                layer.refresh()

    def _choose_directory(self) -> None:
        directory = QFileDialog.getExistingDirectory(self, "Save the stores raw.ome.zarr, ... in this directory")
        if directory:
            self.save(directory)

    def _say(self, text: str) -> None:
        self.message.setStyleSheet("")
        self.message.setText(text)

    def _fail(self, reason: str) -> None:
        show_error(reason)
        self.message.setStyleSheet("color: #d55e00")
        self.message.setText(reason)


def _cancel(widget: StainWidget, *_: Any) -> None:
    """Stop the work of a widget that is gone."""
    widget._cancelled.set()  # noqa: SLF001 - its own module
