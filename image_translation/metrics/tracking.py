"""Tracks of nuclei compared with reference tracks: linking, matching, TRA, SEG, identity switches.

Frames are added one by one to a `Movie` of labelled nuclei; only centres and matches are kept. Tracks are described as
in the Cell Tracking Challenge (CTC): a track has one label over consecutive frames, and the tracks that follow it after
a division or a gap name it as their parent.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import nan

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.rows import TRACK_METRICS

_MAX_GAP = 2  # frames from the end of a track to its continuation: one frame may be missing
_MIN_COVERAGE = 0.5  # of a reference nucleus, by the nucleus that it is matched with

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Matches between the nuclei of a frame and those of the reference.

    Attributes
    ----------
    reference, found
        Labels of the matched nuclei in the two label images, (M,) int64. A found nucleus may match several of the
        reference.
    iou
        Intersection over union of each match, (M,).
    """

    reference: Ids
    found: Ids
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tracks:
    """Tracks of nuclei.

    Attributes
    ----------
    nuclei
        By frame, the labels of the nuclei in the label image, ascending, (N,) int64.
    labels
        By frame, the track of each of these nuclei, (N,) int64.
    parents
        By track, the track that it continues: one of several after a division, or the only one after a gap.
    """

    nuclei: Mapping[int, Ids]
    labels: Mapping[int, Ids]
    parents: Mapping[int, int]

    def of(self, frame: int, nuclei: Ids) -> Ids:
        """Return the tracks of some nuclei of a frame."""
        return self.labels[frame][np.searchsorted(self.nuclei[frame], nuclei)]


@dataclass(frozen=True, slots=True)
class Movie:
    """Nuclei of a movie, by frame: their labels in the label image, (N,) int64, and centres, (N, 2) in pixels."""

    nuclei: dict[int, Ids] = field(default_factory=dict)
    centres: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, frame: int, labels: NDArray[np.integer]) -> None:
        """Add the next valid frame, a label image (Y, X) in which 0 is background."""
        ids, owners, areas = np.unique(labels, return_inverse=True, return_counts=True)
        y, x = np.indices(labels.shape)
        sums = [np.bincount(owners.ravel(), axis.ravel(), len(ids)) for axis in (y, x)]
        centres = np.stack(sums, axis=-1) / areas[:, np.newaxis]
        inside = ids != 0
        self.nuclei[frame], self.centres[frame] = ids[inside].astype(np.int64), centres[inside]

    def tracks(self, parents: Mapping[int, int]) -> Tracks:
        """Return the tracks of a movie whose labels are those of the tracks, with their parents."""
        return Tracks(self.nuclei, self.nuclei, parents)


def match_nuclei(reference: NDArray[np.integer], found: NDArray[np.integer]) -> Match:
    """Match each nucleus of the reference with the one that covers more than half of it, as the CTC does.

    Parameters
    ----------
    reference, found
        Label images (Y, X) in which 0 is background.
    """
    true, true_at, true_area = np.unique(reference, return_inverse=True, return_counts=True)
    ours, ours_at, our_area = np.unique(found, return_inverse=True, return_counts=True)
    pairs, overlap = np.unique(true_at.ravel() * len(ours) + ours_at.ravel(), return_counts=True)
    r, f = np.divmod(pairs, len(ours))
    kept = (true[r] != 0) & (ours[f] != 0) & (overlap > _MIN_COVERAGE * true_area[r])
    r, f, overlap = r[kept], f[kept], overlap[kept]
    iou = overlap / (true_area[r] + our_area[f] - overlap)
    return Match(true[r].astype(np.int64), ours[f].astype(np.int64), iou)


def link_nuclei(movie: Movie, reach: float) -> Tracks:
    """Link the nuclei of a movie over time by LapTrack, with gaps of one frame and divisions.

    Parameters
    ----------
    movie
        Nuclei by frame. Missing frames are skipped: the frames around them count as adjacent.
    reach
        Largest displacement between frames, and largest distance of a daughter from its mother, in pixels.

    Notes
    -----
    Fukai and Kawaguchi, LapTrack: linear assignment particle tracking with tunable metrics, Bioinformatics 39, btac799,
    2023, after Jaqaman et al., Nature Methods 5, 695-702, 2008. Costs are squared distances of the centres.
    """
    from laptrack import LapTrack

    frames = sorted(movie.nuclei)
    if not any(movie.nuclei[frame].size for frame in frames):
        return Tracks(movie.nuclei, movie.nuclei, {})
    linker = LapTrack(
        cutoff=reach**2,
        gap_closing_cutoff=reach**2,
        gap_closing_max_frame_count=_MAX_GAP,
        splitting_cutoff=reach**2,
    )
    graph = linker.predict([movie.centres[frame] for frame in frames])
    labels = {frame: np.zeros(len(movie.nuclei[frame]), np.int64) for frame in frames}
    parents: dict[int, int] = {}
    tracks = 0
    for t, frame in enumerate(frames):
        for n in range(len(labels[frame])):
            before = next(iter(graph.predecessors((t, n))), None)
            if before is not None and before[0] == t - 1 and graph.out_degree(before) == 1:
                labels[frame][n] = labels[frames[t - 1]][before[1]]
                continue
            tracks += 1
            labels[frame][n] = tracks
            if before is not None:
                parents[tracks] = int(labels[frames[before[0]]][before[1]])
    return Tracks(movie.nuclei, labels, parents)


def score_tracks(reference: Tracks, found: Tracks, matches: Mapping[int, Match]) -> dict[str, float]:
    """Score tracks against those of a reference.

    Parameters
    ----------
    reference, found
        The tracks.
    matches
        Matches of their nuclei, by frame; frames without are not scored.

    Returns
    -------
    dict
        `TRACK_METRICS`; NaN without a reference nucleus, or with less than two frames.

        - ``tracking_tra``, ``missed_links``, ``false_links``: Matula et al., Cell tracking accuracy measurement based
          on comparison of acyclic oriented graphs, PLoS ONE 10, e0144959, 2015, of py-ctcmetrics. A nucleus that is
          missing in one frame misses two links.
        - ``tracking_seg``: mean intersection over union of the reference nuclei with their matches, 0 without match
          (Maska et al., Bioinformatics 30, 1609-1617, 2014).
        - ``complete_tracks``: fraction of the reference tracks of at least two frames that are matched in all frames,
          without an identity switch.
        - ``identity_switches``: how often the track of a reference nucleus is neither that of its last match nor
          descends from it (mismatches of Bernardin and Stiefelhagen, Evaluating multiple object tracking performance:
          the CLEAR MOT metrics, EURASIP J. Image Video Process. 2008, 246309). A nucleus that several reference nuclei
          share is no match here.
    """
    frames = sorted(matches)
    if len(frames) < 2 or not any(reference.labels[frame].size for frame in frames):
        return dict.fromkeys(TRACK_METRICS, nan)
    if not any(found.labels[frame].size for frame in frames):
        links = float(_count_links(reference, frames))
        return dict(zip(TRACK_METRICS, (0.0, 0.0, 0.0, 0.0, links, 0.0), strict=True))
    from ctc_metrics.metrics import seg, tra
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations

    # py-ctcmetrics takes the labels of a frame to be ascending.
    true_labels, our_labels = ([np.sort(tracks.labels[frame]) for frame in frames] for tracks in (reference, found))
    true = [reference.of(frame, matches[frame].reference) for frame in frames]
    ours = [found.of(frame, matches[frame].found) for frame in frames]
    operations = count_acyclic_graph_correction_operations(
        _table(reference, frames), _table(found, frames), true_labels, our_labels, true, ours
    )
    switches, complete = _follow(reference, found, frames, true, ours)
    return {
        "tracking_tra": tra(**operations)[0],
        "tracking_seg": seg(true_labels, [matches[frame].iou for frame in frames]),
        "complete_tracks": complete,
        "identity_switches": float(switches),
        "missed_links": float(operations["EA"]),
        "false_links": float(operations["ED"]),
    }


def _table(tracks: Tracks, frames: Sequence[int]) -> Ids:
    """Return the CTC table of the tracks in some frames: label, first and last frame, parent or 0, (K, 4)."""
    spans: dict[int, list[int]] = {}
    for t, frame in enumerate(frames):
        for label in tracks.labels[frame].tolist():
            spans.setdefault(label, [t, t])[1] = t
    rows = []
    for label, (first, last) in spans.items():
        parent = tracks.parents.get(label, 0)
        rows.append((label, first, last, parent if parent in spans and spans[parent][1] < first else 0))
    return np.array(rows, np.int64)


def _count_links(tracks: Tracks, frames: Sequence[int]) -> int:
    within = sum(len(np.intersect1d(tracks.labels[a], tracks.labels[b])) for a, b in pairwise(frames))
    return within + int((_table(tracks, frames)[:, 3] > 0).sum())


def _follow(
    reference: Tracks, found: Tracks, frames: Sequence[int], true: Sequence[Ids], ours: Sequence[Ids]
) -> tuple[int, float]:
    """Follow each nucleus of the reference; return the identity switches and the fraction of complete tracks."""
    true_identity, our_identity = Identities(reference.parents), Identities(found.parents)
    last: dict[int, int] = {}
    lengths: Counter[int] = Counter()
    broken: set[int] = set()
    switches = 0
    for frame, matched, matches in zip(frames, true, ours, strict=True):
        counts = Counter(matches.tolist())
        current = {
            true_identity.of(r): our_identity.of(f)
            for r, f in zip(matched.tolist(), matches.tolist(), strict=True)
            if counts[f] == 1
        }
        for nucleus in map(true_identity.of, reference.labels[frame].tolist()):
            lengths[nucleus] += 1
            if nucleus not in current:
                broken.add(nucleus)
                continue
            identity = current[nucleus]
            if nucleus in last and not our_identity.descends(identity, last[nucleus]):
                switches += 1
                broken.add(nucleus)
            last[nucleus] = identity
    followed = [nucleus not in broken for nucleus, length in lengths.items() if length > 1]
    return switches, float(np.mean(followed)) if followed else nan


class Identities:
    """Identities of tracks: a track and its only continuation, after a gap, are the same nucleus."""

    def __init__(self, parents: Mapping[int, int]) -> None:
        self._parents = parents
        self._children = Counter(parents.values())

    def of(self, label: int) -> int:
        """Return the first track of the nucleus."""
        while label in self._parents and self._children[self._parents[label]] == 1:
            label = self._parents[label]
        return label

    def descends(self, label: int, ancestor: int) -> bool:
        """Return whether a nucleus is another one, or descends from it by divisions."""
        while label != ancestor and label in self._parents:
            label = self.of(self._parents[label])
        return label == ancestor
