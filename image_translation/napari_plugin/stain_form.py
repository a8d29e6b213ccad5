"""The form of a staining: layer, meaning of its axes, checkpoint, methods, normalisation, device."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QWidget

from image_translation.data.registry import NORMALIZATIONS
from image_translation.errors import UsageError
from image_translation.napari_plugin.checkpoint_choice import CheckpointChoice
from image_translation.napari_plugin.layer_axes import LayerAxes, finest, guess_axes, interval, pixel_size
from image_translation.napari_plugin.result_layers import METADATA_KEY
from image_translation.napari_plugin.stain_request import ALL_PLANES, AUTOMATIC, ONE_PLANE, StainRequest, parse_channels
from image_translation.staining.methods import RECOMMENDED

METHODS = {
    RECOMMENDED: "Average of 7 frames along the motion of the cells. Recommended.",
    "savgol": "Savitzky-Golay filter of 11 frames: steady where cells stand still, smears fast ones.",
    "median": "Median of 5 frames: takes out single bad frames.",
}
DEVICES = ("auto", "cpu", "cuda", "mps")
_PLANES = {
    AUTOMATIC: "middle one, or all for a network of stacks",
    ONE_PLANE: "the one shown",
    ALL_PLANES: "all",
}


class StainForm(QWidget):
    """Choices for a staining; the first image of the viewer, its axes by name, the demonstration network.

    Parameters
    ----------
    viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers = QComboBox()
        self._axes = {letter: QComboBox() for letter in "tcz"}
        self._channel = QLineEdit("0")
        self._planes = _box(_PLANES.items())
        self.checkpoint = CheckpointChoice()
        self._methods = {name: QCheckBox(name) for name in METHODS}
        self._normalization = _box([("", "as the checkpoint says"), *((name, name) for name in NORMALIZATIONS)])
        self._device = _box((name, name) for name in DEVICES)
        self._summary = QLabel()
        self._build()
        layers = viewer.layers.events
        events = (layers.inserted, layers.removed, layers.reordered)
        for event in events:
            event.connect(self.update_layers)
        self.destroyed.connect(partial(_disconnect, events, self.update_layers))
        self.update_layers()

    def _build(self) -> None:
        tips = {"t": "Axis of time", "c": "Axis of channels, if the layer has several", "z": "Axis of planes"}
        for letter, box in self._axes.items():
            box.setToolTip(f"{tips[letter]}. Guessed by the labels of the axes, else by their order.")
            box.currentIndexChanged.connect(self._show_movie)
        self._channel.setToolTip("Number of the label-free channel, from 0. Of a network with two inputs: 0, 1.")
        self._planes.setToolTip("Which planes of the stack are stained.")
        self._normalization.setToolTip("How the phase is normalised. A wrong one spoils the stain.")
        self._device.setToolTip("Where the network runs; auto is CUDA or an Apple GPU, if there is one.")
        self._layers.setToolTip("The label-free movie: quantitative phase, or what the network was trained on.")
        self._layers.currentIndexChanged.connect(self._guess_axes)
        methods = QHBoxLayout()
        for name, tip in METHODS.items():
            self._methods[name].setToolTip(tip)
            self._methods[name].setChecked(name == RECOMMENDED)
            methods.addWidget(self._methods[name])
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        for label, field in (
            ("Movie", self._layers),
            ("Time", self._axes["t"]),
            ("Channels", self._axes["c"]),
            ("Channel", self._channel),
            ("Z", self._axes["z"]),
            ("Planes", self._planes),
            ("", self._summary),
            ("Network", self.checkpoint),
            ("Smooth by", methods),
            ("Normalise", self._normalization),
            ("Device", self._device),
        ):
            self._layout.addRow(label, field)

    @property
    def layer(self) -> Any:
        """The chosen layer; None if there is none."""
        layer = self._layers.currentData()
        return layer if layer in self._viewer.layers else None

    @layer.setter
    def layer(self, layer: Any) -> None:
        self._layers.setCurrentIndex(self._layers.findData(layer))

    @property
    def axes(self) -> LayerAxes:
        """The chosen meaning of the axes of the layer."""
        return LayerAxes(self.layer.ndim, *(box.currentData() for box in self._axes.values()))

    @axes.setter
    def axes(self, axes: LayerAxes) -> None:
        for letter, box in self._axes.items():
            box.setCurrentIndex(box.findData(getattr(axes, letter)))

    @property
    def summary(self) -> str:
        """How the layer is read, as it is shown."""
        return self._summary.text()

    def choose(self, *, methods: Iterable[str] | None = None, normalization: str | None = None, **fields: Any) -> None:
        """Set fields: the methods, the normalisation, ``channel`` as text, ``planes``, ``device``, ``checkpoint``."""
        if methods is not None:
            chosen = set(methods)
            for name, box in self._methods.items():
                box.setChecked(name in chosen)
        if normalization is not None:
            self._normalization.setCurrentIndex(self._normalization.findData(normalization))
        if "channel" in fields:
            self._channel.setText(fields["channel"])
        if "checkpoint" in fields:
            self.checkpoint.value = fields["checkpoint"]
        for name, box in (("planes", self._planes), ("device", self._device)):
            if name in fields:
                box.setCurrentIndex(box.findData(fields[name]))

    def request(self) -> StainRequest:
        """Return what was chosen.

        Raises
        ------
        UsageError
            If there is no layer, or its axes or channels are not those of a movie.
        """
        layer = self.layer
        if layer is None:
            raise UsageError(
                "no image to stain: open a movie of grey values first, for instance with File > Open Sample"
            )
        if not self.checkpoint.value:
            raise UsageError("no network: choose a name of the list, or the file of a checkpoint")
        axes = self.axes
        axes.check(layer.axis_labels)
        channels = None
        if axes.c is not None:
            channels = parse_channels(self._channel.text(), finest(layer.data).shape[axes.c])
        shown = None if axes.z is None else int(layer.world_to_data(self._viewer.dims.point[-layer.ndim :])[axes.z])
        planes = AUTOMATIC if axes.z is None else self._planes.currentData()
        return StainRequest(
            layer=layer,
            axes=axes,
            channels=channels,
            plane=shown if planes == ONE_PLANE else None,
            all_planes=planes == ALL_PLANES,
            checkpoint=self.checkpoint.value,
            methods=tuple(name for name, box in self._methods.items() if box.isChecked()),
            normalization=self._normalization.currentData() or None,
            device=self._device.currentData(),
        )

    def update_layers(self, _event: Any = None) -> None:
        """Offer the images of the viewer, without the results of this plugin."""
        chosen = self._layers.currentData()
        images = [layer for layer in self._viewer.layers if _is_movie(layer)]
        index = next((number for number, layer in enumerate(images) if layer is chosen), 0 if images else -1)
        with QSignalBlocker(self._layers):
            self._layers.clear()
            for layer in images:
                self._layers.addItem(layer.name, layer)
            self._layers.setCurrentIndex(index)
        if not images or images[index] is not chosen:
            self._guess_axes()

    def _guess_axes(self) -> None:
        layer = self.layer
        shape = () if layer is None else finest(layer.data).shape
        found = LayerAxes(0) if layer is None else guess_axes(layer.axis_labels, shape)
        for letter, box in self._axes.items():
            with QSignalBlocker(box):
                box.clear()
                box.addItem("none", None)
                for index in range(len(shape) - 2):
                    box.addItem(f"{_title(layer.axis_labels[index])} ({shape[index]})", index)
                box.setCurrentIndex(box.findData(getattr(found, letter)))
        self._show_movie()

    def _show_movie(self) -> None:
        layer = self.layer
        self._summary.setText("" if layer is None else _describe(layer, self.axes))
        axes = None if layer is None else self.axes
        for field, index in ((self._channel, axes and axes.c), (self._planes, axes and axes.z)):
            self._layout.setRowVisible(field, index is not None)


def _box(items: Iterable[tuple[str, str]]) -> QComboBox:
    box = QComboBox()
    for value, text in items:
        box.addItem(text, value)
    return box


def _is_movie(layer: Any) -> bool:
    return isinstance(layer, Image) and not layer.rgb and METADATA_KEY not in layer.metadata


def _disconnect(events: Iterable[Any], callback: Any, *_: Any) -> None:
    """Disconnect the callback of a form that is gone."""
    for event in events:
        event.disconnect(callback)


def _title(label: str) -> str:
    return f"axis {label}" if label.startswith("-") else label


def _describe(layer: Any, axes: LayerAxes) -> str:
    """Say how a layer is read: its size, the time step and the size of a pixel, where they are known."""
    shape = finest(layer.data).shape
    counts = [f"{shape[index]} {name}" for index, name in ((axes.t, "frames"), (axes.z, "planes")) if index is not None]
    parts = [" of ".join([*counts, f"{shape[-2]} x {shape[-1]} pixels"])]
    step, size = interval(layer.scale, layer.units, axes), pixel_size(layer.scale, layer.units, axes)
    parts.append("time step unknown" if step is None else f"{step:g} s apart")
    parts.append("pixel size unknown" if size is None else f"{size[-1]:.4g} µm per pixel")
    return "\n".join(parts)  # a label that wraps lines itself is cut off where the window is low
