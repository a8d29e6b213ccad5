"""Registration of a position before it is stained: its frames are read once, and the shifts found are kept."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError, listing
from image_translation.files import write_json
from image_translation.omezarr.registered import Registration, register
from image_translation.staining.plan import Plan
from image_translation.staining.progress import Progress, read_json
from image_translation.staining.series import Series
from image_translation.temporal import registration as estimation

_log = logging.getLogger(__name__)


def find_registration(plan: Plan, progress: Progress, on_frames: Callable[[int], object]) -> Registration:
    """Find the shifts that register the frames of a position, or read those that an earlier run has found.

    They are found in the middle one of the planes to be stained, and apply to all: a stage moves all planes alike.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    progress
        Progress of the position, where the shifts are kept.
    on_frames
        Called with the number of frames that were read.

    Raises
    ------
    RegistrationRefusedError
        If the frames do not show whether the stage jitters.
    DataError
        If a frame cannot be read.
    """
    found = _recorded(progress)
    if found is not None:
        on_frames(registration_frames(plan.series))
        return found
    first = plan.series[0]
    name = first.position.channels[first.channel]
    usable = [series for series in plan.series if not series.blank]
    if not usable:
        on_frames(registration_frames(plan.series))
        return Registration(estimation.METHOD, first.frames.start, (name,), (), 0.0, 0.0)
    series = usable[len(usable) // 2]
    channels = series.channels
    valid, shifts = _measure(series, channels, on_frames)
    try:
        jitter = estimation.estimate_jitter(shifts[0], valid)
    except estimation.RegistrationRefusedError as error:
        raise type(error)(f"--register: {series.position.path}: {error}; repeat without --register") from error
    along = [
        other for other, own in zip(channels[1:], shifts[1:], strict=True) if estimation.moves_along(shifts[0], own)
    ]
    found = Registration(
        method=estimation.METHOD,
        first_frame=series.frames.start,
        channels=(name, *(series.position.channels[channel] for channel in along)),
        # Rounded, so that what is written is exactly what is done.
        shifts=tuple((round(float(dy), 4), round(float(dx), 4)) for dy, dx in jitter.shifts + 0.0),
        common=round(jitter.common, 4),
        spread=round(jitter.spread, 4),
    )
    write_json(progress.registration, found.to_json())
    return found


def registration_frames(series: Sequence[Series]) -> int:
    """Return how many frames are read to register the series of a position."""
    return len(series[0].frames)


def registered(plan: Plan, registrations: Mapping[str, Registration]) -> Plan:
    """Return a plan whose positions are read registered, by the registration of each position by name."""

    def of(series: Series) -> Series:
        return replace(series, position=register(series.position, registrations[series.position.name]))

    return replace(plan, series=tuple(of(series) for series in plan.series))


def report(registrations: Mapping[str, Registration]) -> None:
    """Log what was registered."""
    moved = [f"{name} ({found.common:.2f} px)" for name, found in registrations.items() if found.displaces]
    still = [name for name, found in registrations.items() if not found.displaces]
    if moved:
        _log.info("registered, with the standard deviation of the jitter taken out: %s", listing(moved))
    if still:
        _log.warning("no jitter above %g px found, so not displaced: %s", estimation.NEGLIGIBLE, listing(still))


def _measure(
    series: Series, channels: Sequence[int], on_frames: Callable[[int], object]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Read the frames of a plane one by one.

    Returns
    -------
    valid : ndarray
        Whether the phase of each frame is valid, (T,) bool.
    shifts : ndarray
        Displacements of the tiles of each channel from frame to frame, (C, T - 1, N, 2) float64, in pixels.
    """
    tiles = estimation.count_tiles(series.position.shape[3:])
    shifts = np.full((len(channels), len(series.frames) - 1, tiles, 2), np.nan)
    valid = np.zeros(len(series.frames), bool)
    previous: list[NDArray[np.float32] | None] = [None] * len(channels)
    for number, t in enumerate(series.frames):
        for c, channel in enumerate(channels):
            image = series.position.read(t, channel, series.z)
            usable = normalize.is_valid(image)
            # Less the mean first, because float32 would lose the texture on a large offset.
            current = (image - image.mean(dtype=np.float64)).astype(np.float32) if usable else None
            before = previous[c]
            if current is not None and before is not None:
                shifts[c, number - 1] = estimation.tile_shifts(before, current)
            previous[c] = current
            if c == 0:
                valid[number] = usable
        on_frames(1)
    return valid, shifts


def _recorded(progress: Progress) -> Registration | None:
    try:
        recorded = read_json(progress.registration)
        return Registration.from_json(recorded) if recorded else None
    except (DataError, KeyError, TypeError, ValueError):
        return None  # found anew, and equal
