"""Selection of the channel, planes and frames of an image by command line options."""

import re
from collections.abc import Sequence

from image_translation.errors import UsageError, listing
from image_translation.omezarr.metadata import parse_labels
from image_translation.omezarr.store import Position

PREFERRED_CHANNEL = "Phase3D"
MIDDLE, ALL = "middle", "all"  # planes


def select_channel(position: Position, name: str | None) -> int:
    """Select the input channel.

    Parameters
    ----------
    position
        Image.
    name
        Name of the channel; None selects ``Phase3D`` or, without it, the only channel.

    Raises
    ------
    UsageError
        If the channel does not exist, or if no name is given for several channels.
    """
    if name is None:
        if PREFERRED_CHANNEL in position.channels:
            return position.channels.index(PREFERRED_CHANNEL)
        if len(position.channels) == 1:
            return 0
        raise UsageError(
            f"{position.path} has the channels {listing(position.channels)}; choose one with --channel NAME"
        )
    if name not in position.channels:
        labels = parse_labels(position.attributes.get("ome", position.attributes))
        numbered = ", numbered because its labels are not unique" if name in labels else ""
        raise UsageError(f"--channel {name} is not in {position.path}; it has {listing(position.channels)}{numbered}")
    return position.channels.index(name)


def select_inputs(position: Position, names: Sequence[str], count: int, trained: Sequence[str]) -> tuple[int, ...]:
    """Select the input channels of a network.

    Parameters
    ----------
    position
        Image.
    names
        Names of channels, in the order of the network's inputs. If empty, those that the network was trained with; if
        the image lacks them and the network has one input, the default of `select_channel`.
    count
        Number of the network's inputs.
    trained
        Names of the channels that it was trained with; empty if unknown.

    Raises
    ------
    UsageError
        If a channel does not exist, or the number of channels is not that of the inputs.
    """
    if not names and trained and set(trained) <= set(position.channels):
        names = trained
    if not names and count == 1:
        return (select_channel(position, None),)
    if len(names) != count:
        wanted = f"{count} channels" if count > 1 else "one channel"
        raise UsageError(
            f"the network takes {wanted} ({', '.join(trained) or 'of unknown names'}), not "
            f"{', '.join(names) or 'none'}; choose among those of {position.path} with --channel: "
            f"{', '.join(position.channels)}"
        )
    return tuple(select_channel(position, name) for name in names)


def select_planes(position: Position, z: str) -> tuple[int, ...]:
    """Select planes.

    Parameters
    ----------
    position
        Image.
    z
        ``middle``, ``all``, an index from 0, or ``START:STOP``, the indices of the first plane and of the one after the
        last, either of which may be left out.

    Raises
    ------
    UsageError
        If a plane does not exist.
    """
    depth = position.shape[2]
    if z == MIDDLE:
        return (depth // 2,)
    if z == ALL:
        return tuple(range(depth))
    limits = re.fullmatch(r"([0-9]{0,9}):([0-9]{0,9})", z)
    if limits:
        start, stop = int(limits[1] or 0), int(limits[2] or depth)
        if start < stop <= depth:
            return tuple(range(start, stop))
    if z not in map(str, range(depth)):
        raise UsageError(
            f"--z {z:.20} is not in {position.path}; allowed are 0 to {depth - 1}, a range such as 0:{depth}, "
            "'middle', and 'all'"
        )
    return (int(z),)


def select_frames(position: Position, frames: tuple[int | None, int | None]) -> range:
    """Select frames.

    Parameters
    ----------
    position
        Image.
    frames
        Index of the first frame and of the one after the last; None for the ends of the movie.

    Raises
    ------
    UsageError
        If the movie does not contain these frames.
    """
    count = position.shape[0]
    start, stop = frames
    if (start or 0) >= count or (stop or 0) > count:
        text = ":".join("" if number is None else str(number) for number in frames)
        raise UsageError(
            f"--frames {text} is not in {position.path}; it has the frames 0 to {count - 1}, which are 0:{count}"
        )
    return range(count)[start:stop]
