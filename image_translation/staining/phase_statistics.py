"""The statistics that the phase of a position is normalised by: those of this run, and of an earlier one."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from image_translation import normalize
from image_translation.normalize import Statistics
from image_translation.omezarr.frame_statistics import (
    FrameStatistics,
    stored_timepoint_statistics,
    timepoint_statistics,
)
from image_translation.omezarr.statistics import dataset_statistics, field_statistics, stored_dataset_statistics
from image_translation.omezarr.store import PROVENANCE_KEY, Position
from image_translation.staining.fingerprints import EarlierPrediction
from image_translation.staining.plan import Plan

NORMALIZATION, FRAMES = "normalization", "frame_statistics"  # keys of the provenance
FURTHER = "further_normalization"  # statistics of the further input channels

_log = logging.getLogger(__name__)


def describe_normalization(plan: Plan) -> str:
    """Return the method, and what its statistics are pooled over if not a field of view."""
    over = {
        "fov": "",
        "timepoint": " over each frame",
        "dataset": " over all positions of the store",
    }[plan.statistics_over]
    window = plan.options.statistics_window
    return f"{plan.normalization}{over}" + (f", medians of {window} frames" if window > 1 else "")


def statistics_frames(plan: Plan) -> int:
    """Return how many frames of a position are read for statistics before it is stained."""
    return len(plan.series[0].frames) if plan.statistics_over == "timepoint" else 0


def find_dataset_statistics(plan: Plan, earlier: Mapping[str, EarlierPrediction]) -> Statistics | None:
    """Return the statistics of all positions together; None if they are not to be normalised by them.

    Parameters
    ----------
    plan
        The complete run.
    earlier
        Predictions by an earlier run, by position. Its statistics remain where the new ones agree with them.
    """
    if plan.statistics_over != "dataset":
        return None
    first = plan.series[0]
    channel = first.position.channels[first.channel]
    found = dataset_statistics(plan.store, channel, plan.normalization, plan.options.statistics)
    known = [stored_statistics(one.position) for one in earlier.values() if one.frames]
    return next((each.overall for each in known if each and found.agrees_with(each.overall)), found)


def further_statistics(plan: Plan) -> tuple[FrameStatistics, ...]:
    """Return the statistics of the further input channels of a position, if the network takes several channels."""
    position, source = plan.series[0].position, plan.options.statistics
    found = (field_statistics(position, channel, plan.normalization, source) for channel in plan.series[0].more)
    return tuple(map(FrameStatistics, found))


def find_statistics(plan: Plan, dataset: Statistics | None, on_frames: Callable[[int], object]) -> FrameStatistics:
    """Return the statistics to normalise a position by, of its first input channel.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    dataset
        Result of `find_dataset_statistics`.
    on_frames
        Called with the number of frames that were read, in all `statistics_frames`.

    Raises
    ------
    UsageError
        If stored ones are asked for, and there are none.
    DataError
        If no frame can be read.
    """
    if dataset is not None:
        return FrameStatistics(dataset)
    first = plan.series[0]
    if plan.statistics_over == "timepoint":
        return timepoint_statistics(
            first.position, first.channel, plan.normalization, plan.options.statistics, frames=first.frames,
            window=plan.options.statistics_window, root=_root(plan), on_frames=on_frames,
        )  # fmt: skip
    return FrameStatistics(field_statistics(first.position, first.channel, plan.normalization, plan.options.statistics))


def reuse(
    statistics: FrameStatistics, earlier: EarlierPrediction | None, name: str
) -> tuple[FrameStatistics, EarlierPrediction | None]:
    """Return the statistics to normalise by, and what of an earlier prediction was normalised alike.

    Statistics of a movie that has grown differ by the sampled frames. Those of the earlier run remain where the new
    ones agree with them; elsewhere, all frames are predicted anew. Statistics of single frames must be equal.

    Parameters
    ----------
    statistics
        Those of this run.
    earlier
        The earlier prediction, if any.
    name
        Name of the position, for messages.
    """
    known = stored_statistics(earlier.position) if earlier and earlier.frames else None
    if earlier is None or known is None:
        return statistics, None
    if statistics.frames or known.frames:
        same = frozenset(t for t in earlier.frames if statistics.shares(known, t))
        if len(same) < len(earlier.frames):
            _log.warning(
                "%s: the statistics of %d frames that have not changed themselves are others now, because those near "
                "them have changed: they are stained anew", name, len(earlier.frames) - len(same),
            )  # fmt: skip
        return statistics, replace(earlier, frames=same) if same else None
    if statistics.overall.agrees_with(known.overall):
        return known, earlier
    now, before = statistics.overall, known.overall
    _log.warning(
        "%s: the statistics of the phase have changed (centre %.4g, scale %.4g; %.4g, %.4g before): all its frames are "
        "stained anew", name, now.center, now.scale, before.center, before.scale,
    )  # fmt: skip
    return statistics, None


def stored_statistics(result: Position) -> FrameStatistics | None:
    """Read from the provenance of a result what its phase was normalised by; None if it does not say."""
    try:
        provenance = result.attributes[PROVENANCE_KEY]
        frames = {"frames": provenance[FRAMES]} if FRAMES in provenance else {}
        return FrameStatistics.from_json({**provenance[NORMALIZATION], **frames})
    except (KeyError, TypeError, ValueError):
        return None


def still_stored(plan: Plan, name: str, result: Position, frames: frozenset[int]) -> frozenset[int]:
    """Return those of some frames whose statistics the movie still holds, or which were normalised by estimated ones.

    Parameters
    ----------
    plan
        The complete run.
    name
        Name of the position.
    result
        The position in a store of results.
    frames
        Numbers of the frames.
    """
    used = stored_statistics(result)
    if used is None or used.overall.source != "metadata":
        return frames
    first = plan.groups[name][0]
    if plan.statistics_over == "timepoint":
        window, root = plan.options.statistics_window, _root(plan)
        now = stored_timepoint_statistics(
            first.position, first.channel, plan.normalization, frames=first.frames, window=window, root=root
        )
        return frozenset(t for t in frames if now.shares(used, t))
    channel = first.position.channels[first.channel]
    if plan.statistics_over == "dataset":
        known = stored_dataset_statistics(plan.store, channel, plan.normalization)
    else:
        known = normalize.from_metadata(first.position.attributes, channel, plan.normalization)
    same = known and (known.center, known.scale) == (used.overall.center, used.overall.scale)
    return frames if same else frozenset()


def _root(plan: Plan) -> Mapping[str, Any] | None:
    """Return the attributes of the root of a store of several positions."""
    return None if plan.store.layout == "fov" else plan.store.attributes
