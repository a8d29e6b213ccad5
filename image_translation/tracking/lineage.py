"""Tracks and lineages: which nuclei of a movie are the same, and which descend from which.

A track is a nucleus from its birth to its division, its loss, or the end of the movie. It keeps its number where the
nucleus is missing for a frame, or the frame is invalid. A lineage is a track with all that descend from it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from image_translation.metrics.tracking import Identities, link_nuclei
from image_translation.tracking.nuclei import Ids, Nuclei


@dataclass(frozen=True, slots=True, eq=False)
class Lineage:
    """Tracks of the N nuclei of a movie.

    Attributes
    ----------
    tracks
        Track of each nucleus, numbered from 1 in the order of their first frames, (N,).
    parents
        By track, the track that divided into it.
    """

    tracks: Ids
    parents: Mapping[int, int]

    @property
    def count(self) -> int:
        """Number of tracks."""
        return int(self.tracks.max(initial=0))

    @property
    def divisions(self) -> int:
        """Number of tracks that divide."""
        return len(set(self.parents.values()))

    def roots(self) -> Ids:
        """Return the first track of the lineage of each nucleus, (N,)."""
        roots = np.arange(self.count + 1)
        for track in range(1, self.count + 1):  # parents have lower numbers, because they begin earlier
            roots[track] = roots[self.parents.get(track, track)]
        return roots[self.tracks]

    def edges(self) -> Ids:
        """Return the links as rows of the nuclei before and after, (E, 2): along tracks, then from parents."""
        order = np.argsort(self.tracks, kind="stable")  # by track, and by frame within
        same = self.tracks[order][1:] == self.tracks[order][:-1]
        along = np.stack([order[:-1][same], order[1:][same]], axis=-1)
        first = {track: row for row, track in reversed(list(enumerate(self.tracks.tolist())))}
        last = {track: row for row, track in enumerate(self.tracks.tolist())}
        born = [(last[parent], first[track]) for track, parent in self.parents.items()]
        return np.concatenate([along, np.array(born, np.int64).reshape(-1, 2)])


def follow_nuclei(nuclei: Nuclei, reach: float) -> Lineage:
    """Link nuclei over time by LapTrack; see `metrics.tracking.link_nuclei`.

    Parameters
    ----------
    nuclei
        The nuclei.
    reach
        Farthest that a nucleus moves from a frame to the next, and a daughter from its mother, in pixels.
    """
    if len(nuclei.frames) < 2:
        return Lineage(np.arange(1, len(nuclei) + 1), {})
    linked = link_nuclei(nuclei.movie(), reach)
    identities = Identities(linked.parents)
    identity = np.array([identities.of(label) for t in nuclei.frames for label in linked.labels[t].tolist()], np.int64)
    known, tracks = np.unique(identity, return_inverse=True)  # ascending, as their first frames are
    number = dict(zip(known.tolist(), range(1, len(known) + 1), strict=True))
    children = Counter(linked.parents.values())
    parents = {
        number[child]: number[identities.of(parent)] for child, parent in linked.parents.items() if children[parent] > 1
    }
    return Lineage(tracks.astype(np.int64) + 1, parents)
