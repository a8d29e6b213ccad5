"""Scores of one frame: against the next frame of its movie, and against frames of the raw and the true movie.

All functions return values of shape (C,) float64 by the name of the metric; see `Evaluator` for their definitions. A
delayed frame has two reference frames; it is compared with each, and the scores are averaged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics import bands
from image_translation.metrics.bands import Bands, coherence, inner_product
from image_translation.metrics.correlation import DescribedImage, describe, pearson, ratio
from image_translation.metrics.drift import coarse_contrast
from image_translation.metrics.flicker import Step
from image_translation.metrics.motion import reduce
from image_translation.metrics.reference import IntensityScale
from image_translation.metrics.registration import displacements, typical_length
from image_translation.metrics.rows import BANDS, RAW, TRUTH
from image_translation.metrics.similarity import structural_similarity

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class DescribedFrame:
    """A frame with everything that its scores need, computed once.

    Attributes
    ----------
    image
        The frame, (C, Y, X), with its moments and Laplacian energy.
    reduced
        Its means over 2 x 2 pixels, (C, y, x) float32.
    bands
        Its octave bands.
    contrast
        Its coarse contrast, (C,) float64.
    """

    image: DescribedImage
    reduced: NDArray[np.float32]
    bands: Bands
    contrast: NDArray[np.float64]


def describe_frame(data: NDArray[np.float32]) -> DescribedFrame:
    """Compute what the scores of a valid frame, (C, Y, X) float32, need."""
    image, reduced = describe(data), reduce(data)
    return DescribedFrame(image, reduced, bands.decompose(reduced, image.norm > 0), coarse_contrast(reduced))


def score_adjacent(before: DescribedFrame, after: DescribedFrame) -> Scores:
    """Score the change from a frame to the next, pixel by pixel: ``adjacent_pearson`` and ``gain_flicker``."""
    gain = ratio(after.contrast, before.contrast)
    logarithm = np.log(gain, out=np.full(gain.shape, np.nan), where=gain > 0)
    return {"adjacent_pearson": pearson(before.image, after.image), "gain_flicker": np.abs(logarithm)}


def score_step(
    pair: tuple[DescribedFrame, DescribedFrame],
    references: tuple[DescribedFrame, DescribedFrame],
    step: Step,
    scale: IntensityScale | None,
    *,
    has_truth: bool,
    is_raw: bool,
) -> Scores:
    """Score the change from a frame to the next along the motion. The raw movie must be scored first.

    Parameters
    ----------
    pair
        The two frames.
    references
        True frames at the beginning and the end of the step, raw frames without truth.
    step
        The motion, and the change of raw.
    scale
        Intensity scale of the truth.
    has_truth
        Whether the references are the truth. Without it the persistent detail is scored as well.
    is_raw
        Whether the frames are those of the raw movie.
    """
    reduced = pair[0].reduced, pair[1].reduced
    scores = step.score(reduced, (references[0].reduced, references[1].reduced), scale, is_raw=is_raw)
    for part in ("fast", "events"):
        scores[f"pearson_{TRUTH if has_truth else RAW}_{part}"] = scores.pop(part)
    return scores if has_truth else scores | _persistent_detail(pair, step, is_raw=is_raw)


def score_frame(
    frame: DescribedFrame,
    references: Mapping[str, Sequence[DescribedFrame]],
    scale: IntensityScale | None,
    *,
    is_truth: bool = False,
) -> Scores:
    """Score a frame against the raw and the true frames of the same time.

    Parameters
    ----------
    frame
        The frame.
    references
        Frames of the movies ``"raw"`` and, if there is one, ``"truth"``; none where they are invalid.
    scale
        Intensity scale of the truth, if it is known.
    is_truth
        Whether the frame is a true one, which has no fidelity.
    """
    scores = {
        f"pearson_{name}": np.mean([pearson(frame.image, other.image) for other in frames], axis=0)
        for name, frames in references.items()
        if frames
    }
    raw, truth = references[RAW], references.get(TRUTH, ())
    if raw:
        scores |= _sharpness(frame, raw)
    if is_truth:
        return scores
    if raw:
        scores |= _displacement(frame, raw)
    primary = TRUTH if TRUTH in references else RAW
    if references[primary]:
        correlation = np.mean([coherence(frame.bands, other.bands) for other in references[primary]], axis=0)
        scores |= _by_band(f"coherence_{primary}", correlation)
    if raw and truth:
        kept = np.mean([inner_product(frame.bands, true.bands) for true in truth], axis=0)
        raw_kept = np.mean([inner_product(r.bands, t.bands) for r, t in zip(raw, truth, strict=True)], axis=0)
        scores |= _by_band("detail", ratio(kept, raw_kept))
    if truth and scale:
        images = (scale.convert(true.image.data) for true in truth)
        ssim = [structural_similarity(frame.image.data, image, scale.value_range) for image in images]
        scores["ssim_truth"] = np.mean(ssim, axis=0)
    return scores


def _sharpness(frame: DescribedFrame, raw: Sequence[DescribedFrame]) -> Scores:
    laplacian = np.mean([other.image.laplacian_energy for other in raw], axis=0)
    energies = np.mean([other.bands.energy for other in raw], axis=0)
    scores = {"sharpness": ratio(frame.image.laplacian_energy, laplacian)}
    return scores | _by_band("sharpness", ratio(frame.bands.energy, energies))


def _displacement(frame: DescribedFrame, raw: Sequence[DescribedFrame]) -> Scores:
    """Return the displacement against raw; a frame between two raw frames belongs half way between their places."""
    found = [displacements(frame.reduced, other.reduced) for other in raw]
    rigid, local, texture = (np.mean(values, axis=0) for values in zip(*found, strict=True))
    return {"displacement": np.hypot(*rigid.T), "displacement_local": typical_length(local, texture)}


def _persistent_detail(pair: tuple[DescribedFrame, DescribedFrame], step: Step, *, is_raw: bool) -> Scores:
    """Compare the detail that persists from a frame to the next along the motion with that of raw."""
    before, after = pair
    warped = bands.decompose(step.warp_back(after.reduced), after.image.norm > 0)
    persistent, scores = inner_product(before.bands, warped), Scores()
    if is_raw:
        step.raw_detail = persistent
        scores = _by_band("coherence_neighbour", coherence(before.bands, warped))
    return scores | _by_band("detail", ratio(persistent, step.raw_detail))


def _by_band(metric: str, values: NDArray[np.float64]) -> Scores:
    """Name values of shape (3, C) by the metric and the band."""
    return {f"{metric}_{band}": of_band for band, of_band in zip(BANDS, values, strict=True)}
