"""Metrics of movies over time, computed as the frames come: how steady, how faithful, how sharp, how late.

The correlation of adjacent frames rises with blur: a movie frozen at its mean scores 1. It is therefore always to be
read beside the others, which a frozen or blurred movie cannot pass. See ``docs/metrics.md`` for what fools which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.metrics import bands
from image_translation.metrics.correlation import DescribedImage, describe, pearson
from image_translation.metrics.drift import DriftMeter, coarse_contrast
from image_translation.metrics.flicker import reduce
from image_translation.metrics.lag import LagMeter, thumbnail
from image_translation.metrics.reference import Step, Steps, Unit, blur, find_resolution, find_unit, ratio
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row
from image_translation.metrics.similarity import structural_similarity
from image_translation.metrics.tracks import NucleiMeter

__all__ = ["RAW", "TRUTH", "Evaluator"]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    image: DescribedImage
    reduced: NDArray[np.float32]
    bands: bands.Bands
    gain: NDArray[np.float64]


class Evaluator:
    """Metrics of the raw and the smoothed movies of one position and plane.

    Frames come by `add`, those of each movie in order, the movies interleaved in any way; the result does not depend on
    it. Frames are held by reference and only as long as another movie is still to be compared with them, so memory is
    as large as the latency of the filters. For each valid frame t of each movie, per channel:

    - ``adjacent_pearson``: Pearson correlation with frame t + 1 of the same movie; also of the movie ``"phase"``;
      ``adjacent_pearson_blurred`` of the truth: after a Gaussian that makes it as blurred as raw is;
    - ``pearson_raw``, ``pearson_truth``: Pearson correlation with the raw, and with the true frame t;
    - ``ssim_truth``: structural similarity with the true frame t;
    - ``sharpness``: energy of the Laplacian over that of the raw frame t, 1 is all of it (Pertuz et al. 2013,
      Analysis of focus measure operators for shape-from-focus, Pattern Recognition 46(5), 1415-1432);
      ``sharpness_fine``, ``..._medium``, ``..._coarse``: the same in octaves, see `bands`;
    - ``coherence_truth_fine`` and so on: correlation with the true frame t in the octave; ``coherence_raw_fine`` and so
      on with the raw frame where there is no truth, and ``coherence_neighbour_fine`` of raw frames t and t + 1 along
      the motion, which is what a steady movie has at least;
    - ``detail_fine``, ``detail_medium``, ``detail_coarse``: what the frame shares with the true frame t in the octave,
      over what raw shares with it, 1 is all of it. Without truth: what it shares with its own next frame along the
      motion, over what two raw frames share: detail that lasts. Noise and flicker, which do not last, do not count;
    - ``flicker``: mean absolute change from frame t to t + 1 along the motion, over that of raw; of the difference from
      the truth where there is one; ``flicker_fast``: over the fastest quarter of the pixels of cells; ``change`` and
      ``change_fast``: the numerators, in the unit of the stain;
    - ``pearson_truth_fast``, ``pearson_truth_events``: as ``pearson_truth`` over the fast pixels, and where frames t
      and t + 1 differ in a way that the motion does not explain; ``pearson_raw_fast`` and so on without truth;
    - ``gain_flicker``: absolute change of the logarithm of the coarse contrast from frame t to t + 1;

    and for each whole movie

    - ``lag``: shift in time, in frames by index, at which the movie agrees best with raw; positive if it is late. The
      mean of each frame and the next shows time i + 0.5 in frame i, so its lag is -0.5; ``lag_error``: its standard
      error;
    - ``drift``: by how much its mean intensity moves away from that of raw, see `DriftMeter`;
    - ``count_jitter``, ``area_jitter``, ``intensity_jitter`` of channels of nuclei, see `JitterMeter`.

    A frame with a delay of half an interval lies between two raw frames. It is compared with both, and the numbers
    are averaged; comparing it with the mean of the two images instead would not see the blur that averaging makes.
    So is the change from it to the next: along both steps that it lies between. Invalid frames take part in nothing
    and get no row.

    The motion is seen in the truth, else in the phase that the raw frames carry; without either there are no numbers
    along the motion.

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
    """

    def __init__(
        self, position: str, channels: Sequence[str], delays: Mapping[str, float], *, truth: bool = False
    ) -> None:
        self._position = position
        self._channels = tuple(channels)
        self._references = (RAW, TRUTH) if truth else (RAW,)
        self._fidelity = TRUTH if truth else RAW
        self._reach = dict.fromkeys(self._references, 0) | {name: ceil(delay) for name, delay in delays.items()}
        self._held: dict[str, dict[int, _Held]] = {name: {} for name in self._reach}
        self._arrived: dict[str, int] = {}
        self._scored: dict[str, int] = {}
        self._phase: tuple[int, DescribedImage] | None = None
        self._steps = Steps(lasting=not truth)
        self._unit: Unit | None = None
        self._resolution: NDArray[np.float64] | None = None
        self._blurred: tuple[int, DescribedImage] | None = None
        self._lags = {name: LagMeter(len(self._channels)) for name in self._reach if name != RAW}
        self._drifts = {name: DriftMeter(len(self._channels)) for name in self._reach if name != TRUTH}
        self._nuclei = NucleiMeter(self._channels)

    def add(self, method: str, frame: Frame) -> list[Row]:
        """Take the next frame of a movie, and return the numbers that are then known.

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
            If the frame is not the one that follows the last of this movie.
        """
        if not self._arrived:
            self._arrived = dict.fromkeys(self._reach, frame.index)
            self._scored = dict(self._arrived)
        if frame.index != self._arrived[method]:
            raise ValueError(f"{method}: frame {frame.index} came where frame {self._arrived[method]} was due")
        self._arrived[method] += 1
        if frame.valid:
            self._held[method][frame.index] = _hold(frame.data)
        self._measure_lag(method, frame)
        rows = self._take_phase(frame) if method == RAW else []
        if method == self._fidelity:
            self._steps.add(frame.index, self._seen(frame))
        rows += [row for name in self._reach for row in self._score_ready(name)]
        self._release()
        return rows

    def finish(self) -> list[Row]:
        """Return the numbers of the whole movies, where the movies are long enough to tell."""
        lags = {RAW: np.zeros(len(self._channels))} | {name: meter.lag() for name, meter in self._lags.items()}
        rows = [row for name, lag in lags.items() for row in self._rows(name, None, "lag", lag)]
        for name, meter in self._lags.items():
            rows += self._rows(name, None, "lag_error", meter.error())
        rows += [row for name, of in self._drifts.items() for row in self._rows(name, None, "drift", of.drift())]
        for method, channel, metric, value in self._nuclei.jitters():
            rows.append(Row(self._position, method, channel, None, metric, value))
        return [row for row in rows if np.isfinite(row.value)]

    def _measure_lag(self, method: str, frame: Frame) -> None:
        values = thumbnail(frame.data) if frame.valid else None
        if method == RAW:
            for meter in self._lags.values():
                meter.add_reference(frame.index, values)
        else:
            self._lags[method].add(frame.index, values)

    def _take_phase(self, frame: Frame) -> list[Row]:
        """Compare the phase of a raw frame with that of the frame before, for each channel that is made of it."""
        last, self._phase = self._phase, None
        if not frame.valid or frame.phase is None:
            return []
        self._phase = (frame.index, describe(frame.phase[np.newaxis]))
        if last is None:
            return []
        steadiness = pearson(last[1], self._phase[1]).repeat(len(self._channels))
        return self._rows(PHASE, last[0], "adjacent_pearson", steadiness)

    def _seen(self, frame: Frame) -> NDArray[np.float32] | None:
        """Return the images that show how the cells move, (C, Y, X)."""
        if not frame.valid:
            return None
        if self._fidelity == TRUTH:
            return frame.data
        return None if frame.phase is None else frame.phase[np.newaxis]

    def _score_ready(self, method: str) -> list[Row]:
        """Score the frames of a movie that have come, and whose references have come."""
        ready = min(self._arrived[name] - self._reach[method] for name in self._references)
        stop = min(self._arrived[method], ready)
        rows = [row for index in range(self._scored[method], stop) for row in self._score(method, index)]
        self._scored[method] = max(stop, self._scored[method])
        return rows

    def _score(self, method: str, index: int) -> list[Row]:
        held = self._held[method].get(index)
        if held is None:
            return []
        rows = []
        if previous := self._held[method].get(index - 1):
            rows += self._rows(method, index - 1, "adjacent_pearson", pearson(previous.image, held.image))
            change = ratio(held.gain, previous.gain)
            gain = np.abs(np.log(change, out=np.full(change.shape, np.nan), where=change > 0))
            rows += self._rows(method, index - 1, "gain_flicker", gain)
            rows += self._score_steps(method, index - 1)
        for name in self._references:
            if references := self._references_of(method, index, name):
                correlations = [pearson(held.image, reference.image) for reference in references]
                rows += self._rows(method, index, f"pearson_{name}", np.mean(correlations, axis=0))
        rows += self._score_detail(method, index, held)
        if method == TRUTH:
            rows += self._score_blurred(index, held)
        self._measure_levels(method, index, held.image)
        return rows

    def _score_blurred(self, index: int, held: _Held) -> list[Row]:
        """Compare a true frame with the one before, both at the resolution of the prediction."""
        before, self._blurred = self._blurred, None
        if self._resolution is None:
            if not (references := self._references_of(TRUTH, index, RAW)):
                return []
            self._resolution = find_resolution(references[0].image, held.image)
        self._blurred = (index, describe(blur(held.image.data, self._resolution)))
        if before is None or before[0] != index - 1:
            return []
        return self._rows(TRUTH, index - 1, "adjacent_pearson_blurred", pearson(before[1], self._blurred[1]))

    def _score_detail(self, method: str, index: int, held: _Held) -> list[Row]:
        """Compare the detail of a frame with that of raw, and its content band by band with what it is to be like."""
        rows = []
        truth = self._references_of(method, index, TRUTH)
        if references := self._references_of(method, index, RAW):
            if truth and not self._unit:
                self._unit = find_unit(references[0].image, truth[0].image)
            energy = np.mean([reference.image.laplacian_energy for reference in references], axis=0)
            rows += self._rows(method, index, "sharpness", ratio(held.image.laplacian_energy, energy))
            energies = np.mean([reference.bands.energy for reference in references], axis=0)
            for band, values in zip(bands.NAMES, ratio(held.bands.energy, energies), strict=True):
                rows += self._rows(method, index, f"sharpness_{band}", values)
        if method == TRUTH:
            return rows
        if references := self._references_of(method, index, self._fidelity):
            coherence = np.mean([bands.coherence(held.bands, reference.bands) for reference in references], axis=0)
            for band, values in zip(bands.NAMES, coherence, strict=True):
                rows += self._rows(method, index, f"coherence_{self._fidelity}_{band}", values)
        raw = self._references_of(method, index, RAW)
        if truth and raw:
            own = np.mean([bands.shared(held.bands, true.bands) for true in truth], axis=0)
            all_of_it = np.mean([bands.shared(r.bands, true.bands) for r, true in zip(raw, truth, strict=True)], axis=0)
            for band, values in zip(bands.NAMES, ratio(own, all_of_it), strict=True):
                rows += self._rows(method, index, f"detail_{band}", values)
        if truth and self._unit:
            true = (self._unit.convert(reference.image.data) for reference in truth)
            ssim = [structural_similarity(held.image.data, image, self._unit.value_range) for image in true]
            rows += self._rows(method, index, "ssim_truth", np.mean(ssim, axis=0))
        return rows

    def _score_steps(self, method: str, index: int) -> list[Row]:
        """Follow a frame to the next one of its movie, along each step of the references that it lies between."""
        if method == TRUTH:
            return []
        metrics: dict[str, list[NDArray[np.float64]]] = {}
        pair = self._held[method][index], self._held[method][index + 1]
        own = pair[0].reduced, pair[1].reduced
        for start in range(index, index + self._reach[method] + 1):
            step = self._steps.get(start)
            ends = [held for number in (start, start + 1) if (held := self._held[self._fidelity].get(number))]
            if step is None or len(ends) < 2 or not {start, start + 1} <= self._held[RAW].keys():
                return []
            reference = ends[0].reduced, ends[1].reduced
            numbers = step.follow(own, reference, self._unit, is_raw=method == RAW)
            for part in ("fast", "events"):
                numbers[f"pearson_{self._fidelity}_{part}"] = numbers.pop(part)
            if self._fidelity == RAW:
                numbers |= self._measure_lasting(method, pair, step)
            for metric, values in numbers.items():
                metrics.setdefault(metric, []).append(values)
        means = {metric: np.mean(values, axis=0) for metric, values in metrics.items()}
        known = {metric: values for metric, values in means.items() if np.isfinite(values).any()}
        return [row for metric, values in known.items() for row in self._rows(method, index, metric, values)]

    def _measure_lasting(self, method: str, pair: tuple[_Held, _Held], step: Step) -> dict[str, NDArray[np.float64]]:
        """Compare what a frame shares with the next of its movie along a step with what two raw frames share."""
        before, after = pair
        moved = bands.describe_bands(step.move_back(after.reduced), after.image.norm > 0)
        lasting, numbers = bands.shared(before.bands, moved), {}
        if method == RAW:
            step.raw_shared = lasting
            coherence = bands.coherence(before.bands, moved)
            numbers = {f"coherence_neighbour_{n}": v for n, v in zip(bands.NAMES, coherence, strict=True)}
        detail = ratio(lasting, step.raw_shared)
        return numbers | {f"detail_{n}": v for n, v in zip(bands.NAMES, detail, strict=True)}

    def _measure_levels(self, method: str, index: int, image: DescribedImage) -> None:
        """Follow the brightness of the frame and of its nuclei; of smoothed frames only where raw ones are."""
        if method == TRUTH:
            self._nuclei.add(TRUTH, index, image.data, TRUTH)
        elif references := self._references_of(method, index, RAW):
            mean, contrast = (
                np.mean([getattr(reference.image, name) for reference in references], axis=0)
                for name in ("mean", "contrast")
            )
            self._drifts[method].add(index, image.mean - mean, contrast)
            self._nuclei.add(method, index, image.data, RAW)

    def _references_of(self, method: str, index: int, name: str) -> list[_Held]:
        """Return the frames that frame `index` is compared with, none if one of them is invalid."""
        held = self._held.get(name, {})
        indices = range(index, index + self._reach[method] + 1)
        references = [held[i] for i in indices if i in held]
        return references if len(references) == len(indices) else []

    def _rows(self, method: str, frame: int | None, metric: str, values: NDArray[np.float64]) -> list[Row]:
        return [
            Row(self._position, method, channel, frame, metric, float(value))
            for channel, value in zip(self._channels, values, strict=True)
        ]

    def _release(self) -> None:
        """Let go of the frames that nothing is to be compared with any more."""
        oldest = min(self._scored.values()) - 1
        for name, held in self._held.items():
            keep = min(self._scored[name] - 1, oldest) if name in self._references else self._scored[name] - 1
            for index in [index for index in held if index < keep]:
                del held[index]
        self._steps.release(oldest)


def _hold(data: NDArray[np.float32]) -> _Held:
    image, reduced = describe(data), reduce(data)
    return _Held(image, reduced, bands.describe_bands(reduced, image.norm > 0), coarse_contrast(reduced))
