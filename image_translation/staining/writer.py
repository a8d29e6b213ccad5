"""Where the raw predictions of a series go: through the temporal filters, to the metrics, and into the stores."""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.frame import Frame
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row
from image_translation.omezarr.output import image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.omezarr.statistics import DisplayWindows
from image_translation.staining.plan import Plan
from image_translation.staining.progress import Progress
from image_translation.staining.series import Series


@dataclass(frozen=True)
class SeriesResult:
    """Result of a series whose frames are all written.

    Attributes
    ----------
    name, position
        Names of the series and of its position.
    rows
        Metrics.
    invalid
        Numbers of the invalid frames.
    statistics
        Statistics that the phase was normalised by.
    windows
        Display window of each channel of the raw prediction.
    blank
        Numbers of the frames whose phase is invalid.
    incomplete
        Numbers of the valid frames some of whose chunks are not there, which is read as the fill value.
    pixels
        Fingerprint of the pixels of each frame.
    """

    name: str
    position: str
    rows: list[Row]
    invalid: list[int]
    statistics: normalize.Statistics
    windows: list[dict[str, float]]
    blank: list[int] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[int]:
        """Numbers of the frames whose phase is valid and whose prediction is not."""
        known = bool(self.pixels)  # else from an unfinished run of an earlier version, which did not tell them apart
        return [number for number in self.invalid if known and number not in self.blank]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**vars(self), "rows": [astuple(row) for row in self.rows], "statistics": asdict(self.statistics)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Restore a result from what `to_json` returned; ``KeyError`` or ``TypeError`` if the values are others."""
        rows = [Row(*row) for row in values["rows"]]
        return cls(**{**values, "rows": rows, "statistics": normalize.Statistics(**values["statistics"])})


@dataclass(frozen=True)
class Workspace:
    """Where the results of a position are written.

    Attributes
    ----------
    stores
        Directory of the store of each method.
    unfinished
        Methods whose stores are being written; the others are complete.
    progress
        Progress of the position.
    """

    stores: Mapping[str, Path]
    unfinished: frozenset[str]
    progress: Progress


def prediction(number: int, data: NDArray[np.float32]) -> Frame:
    """Return a predicted image (C, Y, X) as a frame, invalid if a pixel is not finite."""
    return Frame(number, data, bool(np.isfinite(data).all()))


class SeriesWriter:
    """Takes the raw predictions of a series in order, and filters, scores and writes them.

    Parameters
    ----------
    plan
        The run.
    series
        One of its series.
    workspace
        Where to write.
    """

    def __init__(self, plan: Plan, series: Series, workspace: Workspace) -> None:
        self._series = series
        self._progress = workspace.progress
        self._filters = plan.options.filters()
        delays = {method: temporal_filter.delay for method, temporal_filter in self._filters.items()}
        self._channels = plan.spec.output_channels
        name = series.position.name
        z = series.z if len(plan.images(RAW)[name].planes) > 1 else None
        self._evaluator = Evaluator(name, self._channels, delays, truth=bool(series.truth), z=z)
        self._rows: list[Row] = []
        self._windows = DisplayWindows(len(series.frames))
        self._invalid: list[int] = []
        self._blank: list[int] = []
        self._incomplete: list[int] = []
        self._pixels: list[str] = []
        self._stacks = {
            method: PlaneStack(
                image_path(store, name), plan.images(method)[name], series.plane, write=method in workspace.unfinished
            )
            for method, store in workspace.stores.items()
        }
        self._done = {method: self._progress.done(series.name, method) for method in workspace.unfinished}

    @property
    def predicted(self) -> int:
        """Number of leading frames whose raw prediction is on disk."""
        return self._done.get(RAW, len(self._series.frames))

    def read_raw(self, number: int) -> Frame:
        """Read the raw prediction of a frame back from disk, by its number in the movie."""
        return prediction(number, self._stacks[RAW].read(number - self._series.frames.start))

    def note(self, phase: Frame, pixels: str, *, complete: bool) -> None:
        """Take note of the next frame as it was read: its phase, the fingerprint of its pixels, and if chunks lack."""
        self._pixels.append(pixels)
        if not phase.valid:
            self._blank.append(phase.index)
        elif not complete:
            self._incomplete.append(phase.index)

    def add(self, frames: list[Frame], truth: list[Frame]) -> None:
        """Filter and score the next raw predictions, and start to write the results."""
        for frame in truth:
            self._rows += self._evaluator.add(TRUTH, frame)
        for frame in frames:
            self._windows.add(frame)
            if not frame.valid:
                self._invalid.append(frame.index)
            self._put(RAW, [frame])
            for method, temporal_filter in self._filters.items():
                self._put(method, temporal_filter.push(frame))

    def settle(self) -> None:
        """Wait until everything that was started to be written is on disk, and record the progress."""
        done = {method: max(count, self._stacks[method].wait()) for method, count in self._done.items()}
        if done != self._done:
            self._done = done
            self._progress.mark({self._series.name: done})

    def finish(self, statistics: normalize.Statistics) -> SeriesResult:
        """Flush the filters, and return the result."""
        # Where the network sees a stack, another plane may be invalid in all frames.
        if len(self._invalid) == len(self._series.frames) and not (self._series.blank or self._series.stack):
            raise DataError(
                f"the network gave no finite image of {self._series.position.path}; check its pixels for extreme "
                "values, --normalization and --precision, and the checkpoint"
            )
        for method, temporal_filter in self._filters.items():
            self._put(method, temporal_filter.flush())
        self.settle()
        # Sorted, because the order in which rows are computed depends on the batches.
        rows = sorted(self._rows + self._evaluator.finish(), key=self._order)
        windows = self._windows.windows(len(self._channels))
        return SeriesResult(
            self._series.name, self._series.position.name, rows, self._invalid, statistics, windows,
            self._blank, self._incomplete, self._pixels,
        )  # fmt: skip

    def _order(self, row: Row) -> tuple[int, int, str, bool, int]:
        methods = [TRUTH, PHASE, RAW, *self._filters]
        return (
            methods.index(row.method),
            self._channels.index(row.channel),
            row.metric,
            row.frame is None,
            row.frame or 0,
        )

    def _put(self, method: str, frames: list[Frame]) -> None:
        for frame in frames:
            self._rows += self._evaluator.add(method, frame)
            number = frame.index - self._series.frames.start
            if number >= self._done.get(method, len(self._series.frames)):
                self._stacks[method].write(number, frame.data)
