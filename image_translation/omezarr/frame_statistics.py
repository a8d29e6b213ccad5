"""Statistics of single frames to normalise a movie by, and their medians over neighbouring frames."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError, UsageError, listing
from image_translation.normalize import Statistics
from image_translation.omezarr.store import Position

SAMPLED_PLANES = 8  # of a frame
_POINTS = 256  # along the shorter side: of a single frame, fewer samples would make a movie flicker
NOTHING = Statistics(0.0, 1.0, "none")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """Statistics to normalise each frame of a movie by.

    Attributes
    ----------
    overall
        Statistics of all frames, or the medians of those of single frames.
    start
        Number of the first frame that has statistics of its own.
    frames
        Statistics of single frames, None for one without valid pixels; empty if all are normalised by `overall`.
    """

    overall: Statistics
    start: int = 0
    frames: tuple[Statistics | None, ...] = ()

    def of(self, t: int) -> Statistics:
        """Return the statistics of a frame by its number; ``DataError`` if it had no valid pixels."""
        if not self.frames:
            return self.overall
        found = self.own(t)
        if found is None:
            msg = (
                f"frame {t} was blank when its statistics were estimated, and has pixels now; is its disk or network "
                "share connected all the time? Repeat the command"
            )
            raise DataError(msg)
        return found

    def shares(self, other: "FrameStatistics", t: int) -> bool:
        """Return whether a frame is normalised exactly as by other statistics."""
        if not self.frames or not other.frames:
            return self == other
        own, others = ((each.center, each.scale) if each else None for each in (self.own(t), other.own(t)))
        return own == others

    def own(self, t: int) -> Statistics | None:
        """Return the statistics of a single frame; None if it has none."""
        number = t - self.start
        return self.frames[number] if 0 <= number < len(self.frames) else None

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON values: those of `overall`, and "frames" if there are any."""
        content = asdict(self.overall)
        if self.frames:
            content["frames"] = {
                "start": self.start,
                "center": [each and each.center for each in self.frames],
                "scale": [each and each.scale for each in self.frames],
            }
        return content

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Restore what `to_json` returned; ``KeyError``, ``TypeError`` or ``ValueError`` if the values are others."""
        overall = Statistics(**{key: value for key, value in values.items() if key != "frames"})
        block = values.get("frames")
        if block is None:
            return cls(overall)
        pairs = zip(block["center"], block["scale"], strict=True)
        frames = tuple(None if c is None else Statistics(float(c), float(s), overall.source) for c, s in pairs)
        return cls(overall, int(block["start"]), frames)


def by_frame(found: Sequence[Statistics | None], frames: range, *, start: int = 0, window: int = 1) -> FrameStatistics:
    """Combine the statistics of single frames; with a window, by medians over neighbouring frames.

    The statistics of a single frame follow what happens to be in it, so that a movie normalised by them flickers.
    Medians of centre and scale over neighbouring frames follow slow changes, and ignore single frames that differ.

    Parameters
    ----------
    found
        Statistics of consecutive frames, None for those without valid pixels.
    frames
        Numbers of the frames that are to be normalised.
    start
        Number of the first frame of `found`, which may begin before, and end after, `frames`.
    window
        Number of frames in the centred window, odd; only those that have statistics take part, and at the ends of the
        movie there are fewer.

    Returns
    -------
    FrameStatistics
        A frame without statistics of its own has none.
    """
    half = window // 2

    def around(t: int) -> Statistics | None:
        place = t - start
        own = found[place]
        if own is None or not half:
            return own
        return _medians([each for each in found[max(place - half, 0) : place + half + 1] if each])

    combined = tuple(around(t) for t in frames)
    known = [each for each in combined if each]
    return FrameStatistics(_medians(known), frames.start, combined) if known else FrameStatistics(NOTHING)


def _medians(found: Sequence[Statistics]) -> Statistics:
    center, scale = (float(np.median(values)) for values in ([s.center for s in found], [s.scale for s in found]))
    return Statistics(center, scale, found[0].source, any(each.degenerate for each in found))


def timepoint_statistics(
    position: Position,
    channel: int,
    method: normalize.Method,
    source: normalize.Source = "auto",
    *,
    frames: range,
    window: int = 1,
    root: Mapping[str, Any] | None = None,
    on_frames: Callable[[int], object] = lambda _: None,
) -> FrameStatistics:
    """Return the statistics of each frame of a field of view, from the metadata of the store or estimated.

    They are estimated from the valid ones of some planes of the frame, whichever are selected. Stored ones are used for
    all frames or for none, because the two differ a little.

    Parameters
    ----------
    position, channel
        Image, and index of the channel.
    method
        Normalisation method.
    source
        "stored", "estimated", or "auto": the stored ones if they are of this position alone, all valid frames have
        them, and they agree with the pixels.
    frames
        Numbers of the frames; neighbours outside take part in their windows.
    window
        See `by_frame`.
    root
        Attributes of the root of a plate, read if those of the position have none.
    on_frames
        Called with the number of frames that were read.

    Raises
    ------
    UsageError
        If stored ones are asked for, and a frame that is valid has none.
    """
    if method == "none":
        on_frames(len(frames))
        return FrameStatistics(NOTHING)
    name = position.channels[channel]
    wide = with_neighbours(frames, window, position.shape[0])
    stored = _stored(position, name, method, wide, root)
    if source == "stored":
        missing = [t for t in frames if stored[t - wide.start] is None and list(_samples(position, channel, t))]
        if missing:
            raise UsageError(
                f"--statistics stored: {position.path} holds no usable timepoint_statistics for {method} of the "
                f"channel {name} for the frames {listing(missing)}; choose auto or estimated"
            )
        on_frames(len(frames))
        return by_frame(stored, frames, start=wide.start, window=window)
    if source == "auto" and root and stored == _read(root, name, method, wide):
        stored = [None] * len(wide)  # those of plates are pooled over all positions
    estimated: list[Statistics | None] = []
    lacking = differing = 0
    for t, known in zip(wide, stored, strict=True):
        samples = list(_samples(position, channel, t))
        found = normalize.estimate(samples, method) if samples else None
        estimated.append(found)
        if found and known is None:
            lacking += 1
        elif found and known and not found.degenerate:
            differing += not normalize.explains(known, samples, method)
        if t in frames:
            on_frames(1)
    if source == "auto" and any(stored) and not lacking and not differing:
        return by_frame(stored, frames, start=wide.start, window=window)
    if source == "auto" and any(stored):
        _log.warning(
            "%s: the statistics that the store holds for the time points of %s are not used: %d of %d frames have "
            "none, and those of %d disagree with the pixels. smooth --statistics stored takes them anyway",
            position.path, name, lacking, len(wide), differing,
        )  # fmt: skip
    return by_frame(estimated, frames, start=wide.start, window=window)


def stored_timepoint_statistics(
    position: Position,
    channel: int,
    method: normalize.Method,
    *,
    frames: range,
    window: int = 1,
    root: Mapping[str, Any] | None = None,
) -> FrameStatistics:
    """Return the statistics of frames that the store holds; the parameters are those of `timepoint_statistics`."""
    wide = with_neighbours(frames, window, position.shape[0])
    stored = _stored(position, position.channels[channel], method, wide, root)
    return by_frame(stored, frames, start=wide.start, window=window)


def with_neighbours(frames: range, window: int, length: int) -> range:
    """Return frames with those before and after that lie in their windows, in a movie of some length."""
    return range(max(frames.start - window // 2, 0), min(frames.stop + window // 2, length))


def _stored(
    position: Position, name: str, method: normalize.Method, frames: range, root: Mapping[str, Any] | None
) -> list[Statistics | None]:
    """Read the statistics of frames.

    VisCy pools those in the root of a plate over all positions. Those in a position were copies of them up to version
    0.4, and are of the position alone since then.
    """
    found = _read(position.attributes, name, method, frames)
    return found if any(found) else _read(root or {}, name, method, frames)


def _read(attributes: Mapping[str, Any], name: str, method: normalize.Method, frames: range) -> list[Statistics | None]:
    return [normalize.from_metadata(attributes, name, method, "timepoint", t) for t in frames]


def _samples(position: Position, channel: int, t: int) -> Iterator[NDArray[np.float64]]:
    """Yield samples of the valid ones of some planes of a frame; of all its planes, if none of them is valid."""
    depth = position.shape[2]
    some = np.unique(np.linspace(0, depth - 1, min(depth, SAMPLED_PLANES)).round().astype(int)).tolist()
    for planes in (some, [z for z in range(depth) if z not in some]):
        found = False
        for z in planes:
            try:
                image = position.read(t, channel, z)
            except DataError:  # reported when the frame is stained, if it is
                continue
            if normalize.is_valid(image):
                found = True
                yield normalize.grid_sample(image, _POINTS)
        if found:
            return
