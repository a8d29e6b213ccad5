"""The field for a checkpoint: a path, or a name from the registry, with what is downloaded first."""

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QWidget

from image_translation.data.lookup import cached_entry, names
from image_translation.data.registry import EMBEDDED, load_registry


class CheckpointChoice(QWidget):
    """An editable list of the names of published and embedded checkpoints, and a button that opens a file.

    Parameters
    ----------
    parent
        Its parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QComboBox()
        self._box.setEditable(True)
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.setMinimumContentsLength(14)
        for name in names("checkpoint"):
            if name in EMBEDDED or load_registry()[name].kind == "checkpoint":
                self._box.addItem(describe(name), name)
        self._box.setToolTip(
            "Network: the path of a checkpoint, or the name of a published or embedded one.\n"
            "demo_ckpt is for demonstrations: it was trained on simulated cells only."
        )
        button = QPushButton("...")
        button.setToolTip("Choose the file of a checkpoint.")
        button.setMaximumWidth(32)
        button.clicked.connect(self._open)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box, stretch=1)
        layout.addWidget(button)

    @property
    def value(self) -> str:
        """Path or name."""
        text = self._box.currentText().strip()
        index = self._box.findText(text)
        return text if index < 0 else str(self._box.itemData(index))

    @value.setter
    def value(self, text: str) -> None:
        index = self._box.findData(text)
        if index < 0:
            self._box.setEditText(text)
        else:
            self._box.setCurrentIndex(index)

    def _open(self) -> None:
        filters = "Checkpoints (*.ckpt *.pt *.pth *.safetensors);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint", "", filters)
        if path:
            self.value = path


def describe(name: str) -> str:
    """Return the name of a checkpoint, with the size of its download if it is not in the cache."""
    if name in EMBEDDED:
        return name
    cached = cached_entry(name)
    if cached.is_ready():
        return name
    size = cached.size()
    return f"{name} (download of {size / 1e6:.0f} MB)" if size else f"{name} (download, size unknown)"
