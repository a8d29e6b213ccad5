"""Measures of temporal consistency that the literature on video uses, and tracks of nuclei, on simulated movies.

They are reported for comparison with other work; blur and ghosts lower most of them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.stained import Array
from image_translation.metrics import tracking
from image_translation.metrics.motion import stays_inside, warped_difference
from image_translation.metrics.objects import debris_area, find_objects, movie_threshold, typical_diameter

TRACKS = ("identity_switches", "missed_links", "complete_tracks")
_CROP = 32  # pixels: about a nucleus with its surroundings
_COMPONENTS = 16  # of the embedding
_RANDOM_PAIRS = 500

Values = NDArray[np.float64]


def flow_difference(images: Array, truth: Array) -> Values:
    """Return the mean difference of the optical flow of a stain from that of its truth, (C,) in pixels.

    tOF of Chu et al. 2020, Learning temporal coherence via self-supervision for GAN-based video generation, ACM Trans.
    Graph. 39(4), 75.

    Parameters
    ----------
    images, truth
        Shape (T, C, Y, X).
    """
    differences = [
        [
            float(np.hypot(*(_flow(*pair) - _flow(*true))).mean())
            for pair, true in zip(pairwise(own), pairwise(of_truth), strict=False)
        ]
        for own, of_truth in zip(_grey(images), _grey(truth), strict=True)
    ]
    return np.mean(differences, axis=1)


class WarpingError:
    """Change of a stain along the optical flow of its phase where nothing is occluded.

    Lai et al. 2018, Learning blind video temporal consistency, ECCV; the occlusions are found by the forward-backward
    check of Sundaram et al. 2010, Dense point trajectories by GPU-accelerated large displacement optical flow, ECCV.

    Parameters
    ----------
    phase
        Shape (T, Y, X).
    """

    def __init__(self, phase: Array) -> None:
        (grey,) = _grey(phase[:, np.newaxis])
        self._steps = []
        for before, after in pairwise(grey):
            forward, backward = _flow(before, after), _flow(after, before)
            returned = np.stack([cv2.remap(part, *_targets(forward), cv2.INTER_LINEAR) for part in backward])
            residual = np.square(forward + returned).sum(axis=0)
            limit = 0.01 * (np.square(forward).sum(axis=0) + np.square(returned).sum(axis=0)) + 0.5
            self._steps.append((forward, stays_inside(forward) & (residual < limit)))

    def measure(self, images: Array) -> Values:
        """Return the root mean squared change of a stain (T, C, Y, X), (C,) in its unit."""
        squares = [
            np.square(warped_difference(before, after, flow))[:, visible].mean(axis=1)
            for (before, after), (flow, visible) in zip(pairwise(images), self._steps, strict=False)
        ]
        return np.sqrt(np.mean(squares, axis=0))


class Embedding:
    """Embedding of the surroundings of each nucleus, by the principal components of the truth.

    Parameters
    ----------
    truth
        Shape (T, C, Y, X).
    labels
        True labels of the nuclei, which are the same along a track, (T, Y, X).
    """

    def __init__(self, truth: Array, labels: NDArray[np.integer]) -> None:
        from sklearn.decomposition import PCA

        self._places = [_centres(image) for image in labels]
        self._models = []
        for channel in range(truth.shape[1]):
            crops = np.concatenate([list(self._crops(truth[t, channel], t).values()) for t in range(len(truth))])
            self._models.append(PCA(min(_COMPONENTS, *crops.shape)).fit(crops))

    def measure(self, images: Array) -> Values:
        """Return the mean distance of a nucleus from itself one frame later, relative to that of random pairs, (C,)."""
        results = []
        for channel, model in enumerate(self._models):
            points = []
            for t, image in enumerate(images[:, channel]):
                crops = self._crops(image, t)
                embedded = model.transform(np.stack(list(crops.values()))) if crops else np.empty((0, 1))
                points.append(dict(zip(crops, embedded, strict=True)))
            adjacent = [
                np.linalg.norm(before[label] - after[label])
                for before, after in pairwise(points)
                for label in before.keys() & after.keys()
            ]
            everything = np.stack([point for frame in points for point in frame.values()])
            pairs = np.random.default_rng(0).integers(len(everything), size=(2, _RANDOM_PAIRS))
            results.append(np.mean(adjacent) / np.linalg.norm(np.subtract(*everything[pairs]), axis=1).mean())
        return np.array(results)

    def _crops(self, image: Array, t: int) -> dict[int, Array]:
        """Return the surroundings of each nucleus of frame `t`, a vector each."""
        padded = np.pad(image, _CROP // 2, mode="reflect")
        return {label: padded[y : y + _CROP, x : x + _CROP].ravel() for label, (y, x) in self._places[t].items()}


class Nuclei:
    """True nuclei of a movie, with which tracks are compared.

    Parameters
    ----------
    labels
        True labels, (T, Y, X), 0 is background.
    parents
        By label, the label that it continues.
    raw
        Raw stain of the nuclei, (T, Y, X): the threshold of all stains is found in it.
    """

    def __init__(self, labels: NDArray[np.integer], parents: Mapping[int, int], raw: Array) -> None:
        from skimage.morphology import remove_small_objects

        self._diameter = typical_diameter(list(raw))
        self._threshold = movie_threshold(list(raw), self._diameter)
        self._labels = [remove_small_objects(image, max_size=debris_area(self._diameter)) for image in labels]
        reference = tracking.Movie()
        for t, image in enumerate(self._labels):
            reference.add(t, image)
        self._reference = reference.tracks(parents)

    def measure(self, images: Array, *, is_truth: bool = False) -> dict[str, float]:
        """Segment a stain (T, Y, X), link its nuclei and score their tracks; see ``tracking.score_tracks``.

        The truth, which may have another unit, has a threshold of its own.
        """
        threshold = movie_threshold(list(images), self._diameter) if is_truth else self._threshold
        found, matches = tracking.Movie(), {}
        for t, image in enumerate(images):
            segmented = find_objects(image, self._diameter, threshold)
            found.add(t, segmented)
            matches[t] = tracking.match_nuclei(self._labels[t], segmented)
        return tracking.score_tracks(self._reference, tracking.link_nuclei(found, self._diameter), matches)


def _centres(labels: NDArray[np.integer]) -> dict[int, tuple[int, int]]:
    from skimage.measure import regionprops

    return {region.label: tuple(round(c) for c in region.centroid) for region in regionprops(labels)}  # type: ignore[misc]


def _grey(images: Array) -> Sequence[NDArray[np.uint8]]:
    """Return each channel of images (T, C, Y, X) as a movie (T, Y, X) uint8."""
    movies = []
    for channel in np.moveaxis(images, 1, 0):
        low, high = np.percentile(channel, (0.1, 99.9))
        movies.append(np.clip((channel - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8))
    return movies


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Array:
    """Return the optical flow by Farneback's method, (2, Y, X) float32: (dy, dx)."""
    flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
    return np.ascontiguousarray(np.moveaxis(flow, -1, 0)[::-1])


def _targets(flow: Array) -> tuple[Array, Array]:
    y, x = np.indices(flow.shape[1:], np.float32)
    return x + flow[1], y + flow[0]
