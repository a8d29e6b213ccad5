"""Compare the pixels of a movie with those that a network was trained with.

A network knows the size of cells in pixels only. Sizes are (Z, Y, X) in micrometres; None where they are unknown.
"""

from collections.abc import Mapping

from image_translation.errors import listing

PixelSize = tuple[float | None, float | None, float | None]

TOLERANCE = 0.1  # relative difference that is not worth a word


def describe_mismatch(movies: Mapping[str, PixelSize], network: PixelSize | None, *, stacks: bool) -> str | None:
    """Say that the pixels of a movie are not those of the training, and what to do.

    Parameters
    ----------
    movies
        Size of the pixels of each position, by its name.
    network
        Size of the pixels that the network was trained with.
    stacks
        Whether the network takes stacks; else the distance of planes does not matter.

    Returns
    -------
    str or None
        One line; None if no size that is known on both sides differs by more than 10 %.
    """
    if network is None:
        return None
    names: dict[PixelSize, list[str]] = {}
    for name, size in movies.items():
        if any(_differ(*pair) for pair in list(zip(size, network, strict=True))[0 if stacks else 1 :]):
            names.setdefault(size, []).append(name)
    if not names:
        return None
    trained = describe_size(network, stacks=stacks)
    found = [
        f"{describe_size(size, stacks=stacks)}{f' in {listing(own)}' if len(own) < len(movies) else ''}"
        for size, own in names.items()
    ]
    return (
        f"the network was trained with pixels of {trained}, and those of the movie are {' and '.join(found)}: cells "
        "of another size in pixels may be stained wrongly; smooth --resample brings the phase to the network's pixels, "
        "and the stain back"
    )


def describe_size(size: PixelSize, *, stacks: bool) -> str:
    """Write the size of pixels, such as ``0.25 x 0.1 x 0.1 um (z, y, x)``; without z unless `stacks`."""
    shown = size if stacks else size[1:]
    numbers = " x ".join("?" if one is None else f"{one:.4g}" for one in shown)
    return f"{numbers} um ({'z, y, x' if stacks else 'y, x'})"


def _differ(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and max(one, other) > (1 + TOLERANCE) * min(one, other)
