"""A movie that has been stained: raw and smoothed stains in memory, and how they came about."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.files import remove, require_directory
from image_translation.metrics.rows import RAW
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.omezarr.output import COLORS, COLORS_BY_CHANNEL, create_store, image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.plan import Plan
from image_translation.staining.task import finish_method, provenance
from image_translation.staining.writer import SeriesResult

if TYPE_CHECKING:
    from image_translation.api.evaluation import Scores


class StainedMovie:
    """Raw and smoothed stains of a movie.

    The results have the axes T, C, Y, X, and T, C, Z, Y, X if the movie has an axis z. Invalid frames are NaN.

    Parameters
    ----------
    plan
        What was done.
    results
        Stain by method, (T, C, Z, Y, X) float32.
    phase
        Normalised phase, (T, Z, Y, X) float32; NaN where it is invalid.
    series
        What was noted of each plane.
    statistics
        Statistics that each input channel was normalised by.
    """

    def __init__(
        self,
        plan: Plan,
        results: Mapping[str, NDArray[np.float32]],
        phase: NDArray[np.float32],
        series: Sequence[SeriesResult],
        statistics: Sequence[FrameStatistics],
    ) -> None:
        self.plan = plan
        self._results = dict(results)
        self._phase = phase
        self._series = list(series)
        self._statistics = tuple(statistics)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.raw.shape))
        return f"<StainedMovie of {', '.join(self.channels)}: {', '.join(self.methods)}; {shape}>"

    def __getitem__(self, method: str) -> NDArray[np.float32]:
        """Return a result by the name of its method; ``UsageError`` if there is none."""
        if method not in self._results:
            raise UsageError(f"there is no result {method!r}; there are {', '.join(self.methods)}")
        return self._without_z(self._results[method], axis=2)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the results, ``raw`` first."""
        return tuple(self._results)

    @property
    def axes(self) -> str:
        """Axes of the results: ``TCYX`` or ``TCZYX``."""
        return "TCZYX" if self._has_z else "TCYX"

    @property
    def raw(self) -> NDArray[np.float32]:
        """Prediction frame by frame, (T, C, Y, X) or (T, C, Z, Y, X) float32."""
        return self[RAW]

    @property
    def smoothed(self) -> NDArray[np.float32]:
        """The first smoothed result, of the same axes as `raw`; raw itself if there is none."""
        return self[next((method for method in self.methods if method != RAW), RAW)]

    @property
    def phase(self) -> NDArray[np.float32]:
        """Normalised phase that the network saw, (T, Y, X) or (T, Z, Y, X) float32; NaN in invalid frames."""
        return self._without_z(self._phase, axis=1)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels."""
        return self.plan.spec.output_channels

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether each frame of `raw` is valid, (T,) or (T, Z)."""
        frames = self.plan.series[0].frames
        valid = np.ones((len(frames), len(self._series)), bool)
        for plane, series in enumerate(self._series):
            valid[[number - frames.start for number in series.invalid], plane] = False
        return valid if self._has_z else valid[:, 0]

    @property
    def display_windows(self) -> dict[str, tuple[float, float]]:
        """Intensities to display as black and white, by channel."""
        windows = [series.windows for series in self._series]
        return {
            channel: (min(plane[c]["start"] for plane in windows), max(plane[c]["end"] for plane in windows))
            for c, channel in enumerate(self.channels)
        }

    @property
    def colors(self) -> dict[str, str]:
        """Colour of each channel, as red, green and blue in hexadecimal."""
        return {
            channel: COLORS_BY_CHANNEL.get(channel, COLORS[number % len(COLORS)])
            for number, channel in enumerate(self.channels)
        }

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a pixel along the axes: seconds, 1 for channels, and micrometres; 1 where unknown."""
        scale = self.plan.series[0].position.levels[0].scale
        return scale if self._has_z else (*scale[:2], *scale[3:])

    @property
    def statistics(self) -> tuple[float, float]:
        """Centre and scale that the phase was normalised by, of all frames together; for `stain_live`."""
        overall = self._statistics[0].overall
        return overall.center, overall.scale

    @property
    def provenance(self) -> dict[str, Any]:
        """How the raw result came about, as JSON values: checkpoint, normalisation, versions of libraries."""
        return provenance(self.plan, RAW)

    def truth(self) -> NDArray[np.float32] | None:
        """Return the true stains, if the movie has channels of their names, with the axes of `raw`; else None."""
        first = self.plan.series[0]
        if not first.truth:
            return None
        truth = np.empty(self._results[RAW].shape, np.float32)
        for t, number in enumerate(first.frames):
            for series in self.plan.series:
                for c, channel in enumerate(series.truth):
                    truth[t, c, series.plane] = series.position.read(number, channel, series.z)
        return self._without_z(truth, axis=2)

    def evaluate(self) -> "Scores":
        """Score all results, as the command does: against the truth if the movie has it, else against raw."""
        from image_translation.api.evaluation import evaluate

        movies = {method: self[method] for method in self.methods}
        return evaluate(movies, phase=self.phase, truth=self.truth(), channels=self.channels, axes=self.axes)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save each result as an OME-Zarr store, ``raw.ome.zarr`` and so on, as the command does.

        Parameters
        ----------
        directory
            Directory to save into; it is created if it does not exist.
        overwrite
            Replace results that are there.

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        UsageError
            If there are results already.
        DataError
            If they cannot be written.
        """
        directory = Path(directory)
        require_directory(directory)
        paths = {method: directory / f"{method}{STORE_SUFFIX}" for method in self.methods}
        existing = [path for path in paths.values() if path.exists()]
        if existing and not overwrite:
            raise UsageError(f"{existing[0]} exists; choose another directory, or replace it with overwrite=True")
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = {method: path.with_name(f".unfinished-{path.name}") for method, path in paths.items()}
        for method, path in unfinished.items():
            remove(path)
            self._write(method, path)
        for method, path in paths.items():  # renamed last: a store under its name is complete
            remove(path)
            unfinished[method].rename(path)
        return directory

    def _write(self, method: str, path: Path) -> None:
        (image,) = self.plan.images(method).values()
        create_store(path, self.plan.store, [image])
        own = image_path(path, image.like.name)
        for series in self.plan.series:
            stack = PlaneStack(own, image, series.plane, write=True)
            for number, data in enumerate(self._results[method][:, :, series.plane]):
                stack.write(number, data)
            stack.flush()
        finish_method(self.plan, method, own, self._series, statistics=self._statistics)

    @property
    def _has_z(self) -> bool:
        return "z" in self.plan.series[0].position.axes

    def _without_z(self, array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        return array if self._has_z else array.squeeze(axis)
