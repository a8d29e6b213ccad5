"""Digest of some pixels of a movie, by which it is recognised wherever it lies."""

import hashlib
from collections.abc import Sequence

from image_translation.omezarr.store import Position


def digest_of_movie(position: Position, channels: Sequence[int], frames: range, planes: Sequence[int]) -> str:
    """Return a hash of the first, the middle and the last of some frames, 16 hexadecimal digits.

    Parameters
    ----------
    position
        The movie, or one position of it.
    channels, frames, planes
        What is read of it.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    digest = hashlib.sha256()
    for z in planes:
        for t in (frames[0], frames[len(frames) // 2], frames[-1]):
            for channel in channels:
                digest.update(position.read(t, channel, z).tobytes())
    return digest.hexdigest()[:16]
