"""Which channel, planes and frames of an image are meant."""

from image_translation.errors import UsageError, listing
from image_translation.omezarr.metadata import parse_labels
from image_translation.omezarr.store import Position

PREFERRED_CHANNEL = "Phase3D"


def select_channel(position: Position, name: str | None) -> int:
    """Choose the channel to stain from.

    Parameters
    ----------
    position
        Image to choose from.
    name
        Name of the channel; None takes ``Phase3D`` if there is one, else the only channel.

    Raises
    ------
    UsageError
        If there is no such channel, or the choice is open.
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
        numbered = ", numbered because its labels do not name each channel once" if name in labels else ""
        raise UsageError(f"--channel {name} is not in {position.path}; it has {listing(position.channels)}{numbered}")
    return position.channels.index(name)


def select_planes(position: Position, z: str) -> tuple[int, ...]:
    """Choose the planes to stain.

    Parameters
    ----------
    position
        Image to choose from.
    z
        ``middle``, ``all``, or an index from 0.

    Raises
    ------
    UsageError
        If there is no such plane.
    """
    depth = position.shape[2]
    if z == "middle":
        return (depth // 2,)
    if z == "all":
        return tuple(range(depth))
    if z not in map(str, range(depth)):
        raise UsageError(f"--z {z:.20} is not in {position.path}; allowed are 0 to {depth - 1}, 'middle', and 'all'")
    return (int(z),)


def select_frames(position: Position, frames: tuple[int | None, int | None]) -> range:
    """Choose the frames to take.

    Parameters
    ----------
    position
        Image to choose from.
    frames
        Numbers of the first frame and of the one after the last; None for the ends of the movie.

    Raises
    ------
    UsageError
        If they are not in the movie.
    """
    count = position.shape[0]
    start, stop = frames
    if (start or 0) >= count or (stop or 0) > count:
        text = ":".join("" if number is None else str(number) for number in frames)
        raise UsageError(f"--frames {text} is not in {position.path}; it has the frames 0 to {count - 1}, so 0:{count}")
    return range(count)[start:stop]
