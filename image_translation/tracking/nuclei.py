"""Nuclei of a movie: segmented and measured frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.metrics.objects import Labels
from image_translation.metrics.segmentation import Segmentation, find_segmentation, sample_frames
from image_translation.metrics.tracking import Movie
from image_translation.omezarr.store import PROVENANCE_KEY, Position

Ids = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """All nuclei of a movie, N rows, in the order of the frames and of the labels in them.

    Attributes
    ----------
    frame
        Index of the frame, (N,).
    label
        Label in the segmentation of the frame, (N,).
    y, x
        Centroid in pixels, (N,).
    area
        Number of pixels, (N,).
    intensity
        Mean of the stain, (N,).
    frames
        Indices of the valid frames, ascending, also of those without nuclei.
    """

    frame: Ids
    label: Ids
    y: Values
    x: Values
    area: Ids
    intensity: Values
    frames: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.frame)

    def movie(self) -> Movie:
        """Return the centres by frame, to be linked."""
        movie = Movie()
        for t in self.frames:
            inside = slice(*np.searchsorted(self.frame, (t, t + 1)))
            movie.nuclei[t] = self.label[inside]
            movie.centres[t] = np.stack([self.y[inside], self.x[inside]], axis=-1)
        return movie


class NucleiTable:
    """Collects the nuclei of a movie, frame by frame."""

    def __init__(self) -> None:
        self._movie = Movie()
        self._areas: list[Ids] = []
        self._intensities: list[Values] = []

    def add(self, frame: int, labels: Labels, image: NDArray[np.float32]) -> None:
        """Add the next valid frame: its segmentation and its stain, both (Y, X)."""
        self._movie.add(frame, labels)
        ids = self._movie.nuclei[frame]
        areas = np.bincount(labels.ravel())[ids]
        self._areas.append(areas)
        self._intensities.append(np.bincount(labels.ravel(), image.ravel())[ids] / areas)

    def finish(self) -> Nuclei:
        """Return all nuclei."""
        frames, labels = list(self._movie.nuclei), list(self._movie.nuclei.values())
        centres = np.concatenate([np.zeros((0, 2)), *self._movie.centres.values()])
        return Nuclei(
            frame=np.repeat(np.array(frames, np.int64), [len(ids) for ids in labels]),
            label=np.concatenate([np.zeros(0, np.int64), *labels]),
            y=centres[:, 0],
            x=centres[:, 1],
            area=np.concatenate([np.zeros(0, np.int64), *self._areas]),
            intensity=np.concatenate([np.zeros(0), *self._intensities]),
            frames=tuple(frames),
        )


@dataclass(frozen=True)
class Stain:
    """The stain of nuclei of one position, in one plane.

    Attributes
    ----------
    position
        The position.
    channel, z
        Indices of the channel and of the plane.
    """

    position: Position
    channel: int
    z: int

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.position.shape[0]

    def read(self, t: int) -> NDArray[np.float32] | None:
        """Read a frame, (Y, X) float32; None if it is invalid."""
        if t in self._invalid:
            return None
        image = self.position.read(t, self.channel, self.z).astype(np.float32, copy=False)
        return image if normalize.is_valid(image) else None

    def find_segmentation(self, diameter: float | None) -> Segmentation | None:
        """Find the segmentation of the movie; None if there are no nuclei."""
        images = (self.read(t) for t in sample_frames(range(self.length)))
        return find_segmentation([image for image in images if image is not None], diameter)

    def frames(self) -> Iterator[tuple[int, NDArray[np.float32] | None]]:
        """Yield the index and the image of each frame, one in memory at a time."""
        for t in range(self.length):
            yield t, self.read(t)

    @property
    def _invalid(self) -> frozenset[int]:
        """Frames that the provenance of a result of ``smooth`` calls invalid, as indices in its store.

        They may be written as zeros, or not be recognisable at all.
        """
        return frozenset(stored_invalid_frames(self.position))


def stored_invalid_frames(position: Position) -> tuple[int, ...]:
    """Return the frames that the provenance of an image calls invalid, as indices in its store; none if it has none."""
    try:
        provenance = position.attributes[PROVENANCE_KEY]
        first = provenance["request"]["input"]["positions"][position.name]["frames"][0]
        return tuple(int(number) - int(first) for number in provenance["invalid_frames"])
    except (KeyError, IndexError, TypeError, ValueError):
        return ()
