"""Fingerprints of the frames of a movie: which of them have changed since they were stained.

A frame is unchanged if the files of its chunks have the same names, sizes and times of change. If not, as after the
movie was copied, or when frames are appended to a shard, its pixels decide.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from image_translation.omezarr.store import PROVENANCE_KEY, Position

KEY = "fingerprints"
_FILES_DIGITS, _PIXELS_DIGITS = 8, 16  # hexadecimal, of one frame


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of consecutive frames of one position, as stored in the provenance of its results.

    Attributes
    ----------
    start
        Number of the first frame.
    files
        Of the files of each frame.
    pixels
        Of the pixels of each frame, by plane.
    """

    start: int
    files: tuple[str, ...]
    pixels: Mapping[int, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the fingerprints as JSON values: one string for all frames, which is short."""
        pixels = {str(z): "".join(values) for z, values in self.pixels.items()}
        return {"start": self.start, "files": "".join(self.files), "pixels": pixels}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Restore what `to_json` returned; ``KeyError``, ``TypeError`` or ``ValueError`` if the values are others."""
        files = _split(values["files"], _FILES_DIGITS)
        pixels = {int(z): _split(text, _PIXELS_DIGITS) for z, text in values["pixels"].items()}
        if any(len(of_plane) != len(files) for of_plane in pixels.values()):
            raise ValueError("different numbers of frames")
        return cls(int(values["start"]), files, pixels)

    def unchanged(
        self, position: Position, channels: Sequence[int], frames: range, files: Sequence[str], *, whole: bool = True
    ) -> set[int]:
        """Return the numbers of the frames that have not changed.

        Parameters
        ----------
        position, channels
            Where the frames are, as they are now.
        frames
            Their numbers.
        files
            Fingerprints of their files.
        whole
            Whether the planes whose pixels are known are all that were used; if not, the files alone decide.

        Raises
        ------
        DataError
            If a frame whose files have changed cannot be read.
        """
        known = range(self.start, self.start + len(self.files))
        return {
            t
            for t, now in zip(frames, files, strict=True)
            if t in known
            and (self.files[t - self.start] == now or (whole and self._has_same_pixels(position, channels, t)))
        }

    def _has_same_pixels(self, position: Position, channels: Sequence[int], t: int) -> bool:
        return all(pixels_of(position, channels, t, z) == values[t - self.start] for z, values in self.pixels.items())


@dataclass(frozen=True)
class EarlierPrediction:
    """Raw prediction of one position by an earlier run, some frames of which are used again.

    Attributes
    ----------
    position
        The prediction.
    start
        Number of its first frame in the movie.
    frames
        Numbers of the frames that are used again.
    """

    position: Position
    start: int
    frames: frozenset[int]

    def read(self, number: int, plane: int) -> NDArray[np.float32]:
        """Return a frame by its number in the movie, (C, Y, X) float32."""
        channels = range(self.position.shape[1])
        return np.stack([self.position.read(number - self.start, c, plane) for c in channels]).astype(np.float32)


def pixels_of(position: Position, channels: Sequence[int], t: int, z: int) -> str:
    """Return the fingerprint of the pixels of a plane in some channels, as they are stored, not registered."""
    return of_pixels([position.stored.read(t, channel, z) for channel in channels])


def of_pixels(planes: Iterable[NDArray[Any]]) -> str:
    """Return the fingerprint of planes."""
    digest = hashlib.blake2b(digest_size=_PIXELS_DIGITS // 2)
    for plane in planes:
        digest.update(plane.tobytes())
    return digest.hexdigest()


def stored_fingerprints(position: Position) -> Fingerprints | None:
    """Read the fingerprints from the provenance of a result; None if it has none."""
    try:
        return Fingerprints.from_json(position.attributes[PROVENANCE_KEY][KEY])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _split(text: str, digits: int) -> tuple[str, ...]:
    if len(text) % digits:
        raise ValueError(f"{len(text)} digits are no multiple of {digits}")
    return tuple(text[start : start + digits] for start in range(0, len(text), digits))
