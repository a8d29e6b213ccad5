"""The widget that shows score cards: which method is best, the numbers, and what they mean."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from image_translation.errors import ImageTranslationError
from image_translation.metrics.criteria import Entry
from image_translation.metrics.explanations import explain
from image_translation.metrics.rows import read_csv
from image_translation.metrics.score_card import ScoreCard, score_cards
from image_translation.metrics.score_card_text import MAIN_COLUMNS, by_channel, format_cell, format_target, verdicts
from image_translation.napari_plugin.result_layers import METADATA_KEY
from image_translation.napari_plugin.stain_worker import Failed, guarded

METRICS = "metrics.csv"  # of a directory of results
TABLE_HEIGHT = 210  # pixels: the main metrics, where several docks share the window
FAILED_COLOUR, DOUBT_COLOUR = QColor("#d55e00"), QColor("#e69f00")


@dataclass(frozen=True)
class _Scored:
    cards: Sequence[ScoreCard]


class ScoreCardWidget(QWidget):
    """Show the score card of a result of the viewer, or of a directory of ``image-translation smooth``.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._worker: Any = None
        self.cards: Sequence[ScoreCard] = ()
        self.button = QPushButton("Score the last result")
        self.open_button = QPushButton("Open results...")
        self.positions = QComboBox()
        self.channels = QComboBox()
        self.all_rows = QCheckBox("all metrics")
        self.verdict = QLabel("Score a stain, or open a directory that image-translation smooth has written.")
        self.table = QTableWidget()
        self._build()

    def _build(self) -> None:
        self.verdict.setWordWrap(True)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button.clicked.connect(self.score)
        self.open_button.clicked.connect(self._choose_directory)
        self.positions.currentIndexChanged.connect(self._show)
        self.channels.currentIndexChanged.connect(self._fill)
        self.all_rows.toggled.connect(self._fill)
        self.positions.setToolTip("Position of a plate")
        self.channels.setToolTip("Channel")
        self.table.setMinimumHeight(TABLE_HEIGHT)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        for widgets in ((self.button, self.open_button), (self.positions, self.channels, self.all_rows)):
            row = QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget)
            layout.addLayout(row)
        layout.addWidget(self.verdict)
        layout.addWidget(self.table, stretch=1)
        self._show()

    @property
    def is_running(self) -> bool:
        """Whether a result is being scored."""
        return self._worker is not None

    def score(self) -> None:
        """Score the result whose layers were added last."""
        stained = next(
            (found for layer in reversed(self._viewer.layers) if (found := layer.metadata.get(METADATA_KEY))), None
        )
        if stained is None:
            self._say("There is no result in the viewer: stain a movie with the widget Stain and smooth.")
            return
        self.button.setEnabled(False)
        self._say("Scoring ...")
        self._worker = create_worker(_score, stained, _start_thread=False)
        self._worker.yielded.connect(self._receive)
        self._worker.finished.connect(self._end)
        self._worker.start()

    def open(self, directory: str) -> None:
        """Show the score cards of a directory with ``metrics.csv``; an error is shown."""
        path = Path(directory) / METRICS
        if not path.is_file():
            self._fail(f"{directory}: has no {METRICS}; choose a directory that image-translation smooth has written")
            return
        try:
            self.show_cards(score_cards(read_csv(path)))
        except (ImageTranslationError, OSError) as error:
            self._fail(str(error))

    def show_cards(self, cards: Sequence[ScoreCard]) -> None:
        """Show score cards, one per position."""
        self.cards = cards
        with QSignalBlocker(self.positions):
            self.positions.clear()
            self.positions.addItems([card.position for card in cards])
        self._show()

    def _receive(self, news: _Scored | Failed) -> None:
        if isinstance(news, Failed):
            self._fail(news.reason)
        else:
            self.show_cards(news.cards)

    def _end(self) -> None:
        self._worker = None
        self.button.setEnabled(True)

    @property
    def _card(self) -> ScoreCard | None:
        index = self.positions.currentIndex()
        return self.cards[index] if 0 <= index < len(self.cards) else None

    def _show(self) -> None:
        """Show the card of the chosen position."""
        card = self._card
        self.positions.setVisible(len(self.cards) > 1)
        for widget in (self.channels, self.all_rows, self.table):
            widget.setVisible(card is not None)
        if card is not None:
            self._say("\n".join(f"{channel}: {text}" for channel, text in verdicts(card).items()))
            with QSignalBlocker(self.channels):
                self.channels.clear()
                self.channels.addItems(list(by_channel(card)))
            self._fill()

    def _fill(self) -> None:
        """Fill the table with the chosen channel: a row per metric, a column per method, the best first."""
        card = self._card
        if card is None:
            return
        entries = by_channel(card)[self.channels.currentText()]
        shown = [column for column in card.columns if self.all_rows.isChecked() or column in MAIN_COLUMNS]
        self.table.setRowCount(len(shown))
        self.table.setColumnCount(len(entries) + 1)
        self.table.setHorizontalHeaderLabels([*(entry.method for entry in entries), "wanted"])
        for row, column in enumerate(shown):
            heading = QTableWidgetItem(column)
            heading.setToolTip(explain(column))
            self.table.setVerticalHeaderItem(row, heading)
            for place, entry in enumerate(entries):
                self.table.setItem(row, place, _cell(entry, column))
            self.table.setItem(row, len(entries), _item(format_target(column, entries), explain(column)))

    def _choose_directory(self) -> None:
        directory = QFileDialog.getExistingDirectory(self, "Results of image-translation smooth")
        if directory:
            self.open(directory)

    def _say(self, text: str) -> None:
        self.verdict.setStyleSheet("")
        self.verdict.setText(text)

    def _fail(self, reason: str) -> None:
        show_error(reason)
        self.verdict.setStyleSheet("color: #d55e00")
        self.verdict.setText(reason)


def _score(stained: Any) -> Generator[_Scored | Failed, None, None]:
    def scored() -> Generator[_Scored, None, None]:
        yield _Scored(stained.evaluate().cards)

    yield from guarded(scored())


def _cell(entry: Entry, column: str) -> QTableWidgetItem:
    """Return a value, in another colour if it violates a limit or only a truth could judge it, with the reason."""
    failed, doubted = column in entry.failures, column in entry.doubts
    note = "\nWorse than allowed." if failed else "\nOnly a truth could tell if this is good." if doubted else ""
    item = _item(format_cell(entry, column).strip(), explain(column) + note)
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    if failed or doubted:
        item.setForeground(FAILED_COLOUR if failed else DOUBT_COLOUR)
    return item


def _item(text: str, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(tip)
    return item
