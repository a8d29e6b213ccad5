"""Streaming evaluation of movies: scores frames as they arrive, and drops them when they are no longer needed.

The correlation of adjacent frames increases with blur: a movie frozen at its mean scores 1. It must always be read
beside the other metrics, which a frozen or blurred movie fails. See ``docs/metrics.md`` for the failure modes of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.metrics.correlation import DescribedImage, describe, pearson
from image_translation.metrics.drift import DriftEstimator
from image_translation.metrics.flicker import Steps
from image_translation.metrics.frame_scores import (
    DescribedFrame,
    Scores,
    describe_frame,
    score_adjacent,
    score_frame,
    score_step,
)
from image_translation.metrics.intensity_range import IntensityRange
from image_translation.metrics.lag import LagEstimator, thumbnail
from image_translation.metrics.reference import IntensityScale, blur, match_intensity, match_resolution
from image_translation.metrics.rows import CONTRAST, PHASE, RAW, TRUTH, Row
from image_translation.metrics.tracks import NucleusScorer


class Evaluator:
    """Metrics of the raw and the smoothed movies of one position and plane.

    Frames are added by `add`, those of each movie in order, the movies interleaved in any way; the result does not
    depend on it. Frames are kept by reference and only as long as another movie has yet to be compared with them, so
    the memory needed is proportional to the latency of the filters. For each valid frame t of each movie, per channel:

    - ``adjacent_pearson``: Pearson correlation with frame t + 1 of the same movie; also of the movie ``"phase"``;
      ``adjacent_pearson_blurred`` of the truth: after a Gaussian that matches its resolution to that of raw;
    - ``pearson_raw``, ``pearson_truth``: Pearson correlation with the raw and the true frame t;
    - ``ssim_truth``: structural similarity with the true frame t;
    - ``sharpness``: energy of the Laplacian relative to that of the raw frame t (Pertuz et al. 2013, Analysis of focus
      measure operators for shape-from-focus, Pattern Recognition 46(5), 1415-1432); ``sharpness_fine``,
      ``..._medium``, ``..._coarse``: energy in octave bands, see `bands`;
    - ``coherence_truth_fine`` and so on: correlation with the true frame t in the band; without truth,
      ``coherence_raw_fine`` and so on with the raw frame, and ``coherence_neighbour_fine`` and so on of raw frames t
      and t + 1 along the motion, a lower bound for a movie without flicker;
    - ``detail_fine``, ``detail_medium``, ``detail_coarse``: inner product with the true frame t in the band, relative
      to that of raw; 1 is all detail of raw. Without truth: inner product with the next frame of the same movie along
      the motion, relative to that of raw: persistent detail, without noise and flicker;
    - ``flicker``: mean absolute change from frame t to t + 1 along the motion, relative to that of raw; with truth, the
      change of the error; ``flicker_fast``: over the fastest quarter of the pixels of cells; ``change`` and
      ``change_fast``: the numerators, in the unit of the stain;
    - ``pearson_truth_fast``, ``pearson_truth_events``: as ``pearson_truth`` over the fast pixels, and where frames t
      and t + 1 differ in a way that the motion does not explain; without truth, ``pearson_raw_fast`` and so on;
    - ``displacement``, ``displacement_local``: displacement against the raw frame t in pixels, of the whole image, and
      the median over places; see `registration`;
    - ``gain_flicker``: absolute change of the logarithm of the coarse contrast from frame t to t + 1;
    - ``contrast``: standard deviation of the raw frame; only of planes of a stack, to tell those without content;

    and for each complete movie

    - ``lag``: shift in time, in frames by index, at which the movie agrees best with raw; positive if it is late. The
      mean of each frame and the next shows time i + 0.5 in frame i, so its lag is -0.5; ``lag_error``: its standard
      error;
    - ``drift``: linear change of its mean intensity relative to raw, see `DriftEstimator`;
    - ``count_jitter``, ``area_jitter``, ``intensity_jitter`` of channels of nuclei, see `NucleusVariation`.

    A frame with a delay of half an interval lies between two raw frames. It is compared with both, and the values are
    averaged; a comparison with the mean of the two images would miss the blur that averaging causes. Likewise its
    change to the next frame is measured along both steps that it lies between. Invalid frames are not used in any
    metric and get no row. Images in extreme units are scaled, and pixels of more than about 1e9 limited to that, see
    `IntensityRange`: in float32, their squares would overflow.

    The motion is estimated from the truth, or from the phase of the raw frames if there is no truth; without either,
    the metrics along the motion are left out.

    Parameters
    ----------
    position
        Name of the position, for the rows.
    channels
        Names of the C channels.
    delays
        Delay in frames of each smoothed movie, 0 or 0.5, by the name of its method.
    truth
        Whether there are true frames, as the movie ``"truth"``.
    z
        Index of the plane, for the rows; None if the position has one plane.
    """

    def __init__(
        self,
        position: str,
        channels: Sequence[str],
        delays: Mapping[str, float],
        *,
        truth: bool = False,
        z: int | None = None,
    ) -> None:
        self._position = position
        self._z = z
        self._channels = tuple(channels)
        self._has_truth = truth
        self._references = (RAW, TRUTH) if truth else (RAW,)
        self._primary = TRUTH if truth else RAW  # fidelity and motion are measured against it
        # Frame t is compared with reference frames t to t + lookahead.
        self._lookahead = dict.fromkeys(self._references, 0) | {name: ceil(delay) for name, delay in delays.items()}
        self._held: dict[str, dict[int, DescribedFrame]] = {name: {} for name in self._lookahead}
        self._arrived: dict[str, int] = {}  # index of the next frame to arrive, of each movie
        self._scored: dict[str, int] = {}  # index of the next frame to score
        self._phase: tuple[int, DescribedImage] | None = None
        self._steps = Steps()
        self._scale: IntensityScale | None = None
        self._resolution: NDArray[np.float64] | None = None
        self._blurred: tuple[int, DescribedImage] | None = None
        stains = IntensityRange()
        self._ranges = dict.fromkeys(self._lookahead, stains) | {TRUTH: IntensityRange(), PHASE: IntensityRange()}
        self._lags = {name: LagEstimator(len(self._channels)) for name in self._lookahead if name != RAW}
        self._drifts = {name: DriftEstimator(len(self._channels)) for name in self._lookahead if name != TRUTH}
        self._nuclei = NucleusScorer(self._channels)

    def add(self, method: str, frame: Frame) -> list[Row]:
        """Add the next frame of a movie, and return the values that are known from then on.

        Parameters
        ----------
        method
            ``"raw"``, ``"truth"``, or the name of a smoothed movie.
        frame
            Frame of shape (C, Y, X), float32. All movies begin with the same index. Raw frames may carry their phase.

        Returns
        -------
        list[Row]
            Rows of one frame each.

        Raises
        ------
        KeyError
            If there is no such movie.
        ValueError
            If it is not the next frame of this movie.
        """
        if not self._arrived:
            self._arrived = dict.fromkeys(self._lookahead, frame.index)
            self._scored = dict(self._arrived)
        if frame.index != (expected := self._arrived[method]):
            raise ValueError(f"{method}: got frame {frame.index}, expected frame {expected}: add frames in order")
        self._arrived[method] += 1
        if frame.valid:
            frame = self._limited(method, frame)
            self._held[method][frame.index] = describe_frame(frame.data)
        self._add_thumbnail(method, frame)
        rows = self._score_phase(frame) if method == RAW else []
        if method == self._primary:
            self._steps.add(frame.index, self._motion_images(frame))
        rows += [row for name in self._lookahead for row in self._score_ready(name)]
        self._release()
        return rows

    def finish(self) -> list[Row]:
        """Return the values of the complete movies, as far as these are long enough."""
        lags = {RAW: np.zeros(len(self._channels))} | {name: lag.lag() for name, lag in self._lags.items()}
        rows = [row for name, lag in lags.items() for row in self._rows(name, None, {"lag": lag})]
        for name, estimator in self._lags.items():
            rows += self._rows(name, None, {"lag_error": estimator.error()})
        for name, drift in self._drifts.items():
            rows += self._rows(name, None, {"drift": drift.drift()})
        for method, channel, metric, value in self._nuclei.scores():
            rows.append(Row(self._position, method, channel, None, metric, value, self._z))
        return [row for row in rows if np.isfinite(row.value)]

    def _limited(self, method: str, frame: Frame) -> Frame:
        """Bring the intensities of a valid frame into the range of the metrics."""
        data, phase = self._ranges[method].limit(frame.data), frame.phase
        if phase is not None:
            phase = self._ranges[PHASE].limit(phase[np.newaxis])[0]
        return replace(frame, data=data, phase=phase)

    def _add_thumbnail(self, method: str, frame: Frame) -> None:
        values = thumbnail(frame.data) if frame.valid else None
        if method == RAW:
            for estimator in self._lags.values():
                estimator.add_reference(frame.index, values)
        else:
            self._lags[method].add(frame.index, values)

    def _score_phase(self, frame: Frame) -> list[Row]:
        """Compare the phase of a raw frame with that of the frame before, once for each channel."""
        before, self._phase = self._phase, None
        if not frame.valid or frame.phase is None:
            return []
        self._phase = (frame.index, describe(frame.phase[np.newaxis]))
        if before is None:
            return []
        correlation = pearson(before[1], self._phase[1]).repeat(len(self._channels))
        return self._rows(PHASE, before[0], {"adjacent_pearson": correlation})

    def _motion_images(self, frame: Frame) -> NDArray[np.float32] | None:
        """Return the images from which the motion is estimated, (C, Y, X)."""
        if not frame.valid:
            return None
        if self._has_truth:
            return frame.data
        return None if frame.phase is None else frame.phase[np.newaxis]

    def _score_ready(self, method: str) -> list[Row]:
        """Score the frames of a movie that have arrived together with their references."""
        ready = min(self._arrived[name] - self._lookahead[method] for name in self._references)
        stop = min(self._arrived[method], ready)
        rows = [row for index in range(self._scored[method], stop) for row in self._score(method, index)]
        self._scored[method] = max(stop, self._scored[method])
        return rows

    def _score(self, method: str, index: int) -> list[Row]:
        frame = self._held[method].get(index)
        if frame is None:
            return []
        references = {name: self._references_of(method, index, name) for name in self._references}
        if self._has_truth and self._scale is None and all(references.values()):
            raw, truth = references[RAW][0].image, references[TRUTH][0].image
            self._scale, self._resolution = match_intensity(raw, truth), match_resolution(raw, truth)
        rows = []
        if previous := self._held[method].get(index - 1):
            rows += self._rows(method, index - 1, score_adjacent(previous, frame))
            rows += self._rows(method, index - 1, self._score_steps(method, (previous, frame), index - 1))
        rows += self._rows(method, index, score_frame(frame, references, self._scale, is_truth=method == TRUTH))
        if method == RAW and self._z is not None:
            rows += self._rows(RAW, index, {CONTRAST: frame.image.contrast})
        if method == TRUTH:
            rows += self._score_blurred(index, frame)
            self._nuclei.add(TRUTH, index, frame.image.data, TRUTH)
        elif references[RAW]:
            self._add_drift(method, index, frame, references[RAW])
            self._nuclei.add(method, index, frame.image.data, RAW)
        return rows

    def _score_steps(self, method: str, pair: tuple[DescribedFrame, DescribedFrame], index: int) -> Scores:
        """Score frames `index` and `index` + 1 along each step that they lie between; metrics that are NaN are dropped.

        There are no scores if one of these steps, or a reference frame at one of their ends, is missing.
        """
        if method == TRUTH:
            return {}
        scores: list[Scores] = []
        for start in range(index, index + self._lookahead[method] + 1):
            step, held = self._steps.get(start), self._held[self._primary]
            if step is None or not {start, start + 1} <= held.keys() & self._held[RAW].keys():
                return {}
            ends = held[start], held[start + 1]
            scores.append(score_step(pair, ends, step, self._scale, has_truth=self._has_truth, is_raw=method == RAW))
        means = {metric: np.mean([each[metric] for each in scores], axis=0) for metric in scores[0]}
        for metric in ("change", "change_fast"):  # the only ones that have a unit
            means[metric] = self._ranges[RAW].restore(means[metric])
        return {metric: values for metric, values in means.items() if np.isfinite(values).any()}

    def _score_blurred(self, index: int, frame: DescribedFrame) -> list[Row]:
        """Compare a true frame with the one before, both at the resolution of the prediction."""
        before, self._blurred = self._blurred, None
        if self._resolution is None:
            return []
        self._blurred = (index, describe(blur(frame.image.data, self._resolution)))
        if before is None or before[0] != index - 1:
            return []
        return self._rows(TRUTH, index - 1, {"adjacent_pearson_blurred": pearson(before[1], self._blurred[1])})

    def _add_drift(self, method: str, index: int, frame: DescribedFrame, raw: Sequence[DescribedFrame]) -> None:
        mean, contrast = (
            np.mean([getattr(reference.image, name) for reference in raw], axis=0) for name in ("mean", "contrast")
        )
        self._drifts[method].add(index, frame.image.mean - mean, contrast)

    def _references_of(self, method: str, index: int, name: str) -> list[DescribedFrame]:
        """Return the frames of a reference movie that frame `index` is compared with; empty if one is invalid."""
        held = self._held[name]
        indices = range(index, index + self._lookahead[method] + 1)
        references = [held[i] for i in indices if i in held]
        return references if len(references) == len(indices) else []

    def _rows(self, method: str, frame: int | None, scores: Scores) -> list[Row]:
        return [
            Row(self._position, method, channel, frame, metric, float(value), self._z)
            for metric, values in scores.items()
            for channel, value in zip(self._channels, values, strict=True)
        ]

    def _release(self) -> None:
        """Drop the frames that nothing has yet to be compared with."""
        oldest = min(self._scored.values()) - 1
        for name, held in self._held.items():
            keep = min(self._scored[name] - 1, oldest) if name in self._references else self._scored[name] - 1
            for index in [index for index in held if index < keep]:
                del held[index]
        self._steps.release(oldest)
