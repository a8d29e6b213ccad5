"""The grid that the network sees: that of the movie, or with ``--resample`` that of its training."""

from collections.abc import Iterable

from image_translation.errors import UsageError, listing
from image_translation.network.loading import ModelSpec
from image_translation.network.pixel_size import PixelSize, describe_size
from image_translation.network.resampling import Resampling
from image_translation.network.sliding_window import StackWindow
from image_translation.omezarr.store import Position
from image_translation.staining.options import SmoothOptions


def stack_window(spec: ModelSpec, options: SmoothOptions) -> StackWindow | None:
    """Return how the network is slid along z; None if it takes single planes."""
    architecture = spec.architecture
    if architecture.in_stack_depth == 1:
        return None
    return StackWindow(
        architecture.in_stack_depth, architecture.out_stack_depth, pad=options.z_pad, reverse=options.z_reversed
    )


def network_grid(position: Position, spec: ModelSpec, options: SmoothOptions) -> Resampling:
    """Return how an image is brought to the pixels of the network; not at all without ``--resample``.

    Raises
    ------
    UsageError
        If it is to be, and the size of pixels is unknown, or differs too much.
    """
    depth, height, width = position.shape[2:]
    if not options.resample:
        return Resampling.none((depth, height, width))
    stacks = spec.architecture.in_stack_depth > 1 and depth > 1  # a single plane is refused by `series`
    trained = _known(spec.pixel_size or (None, None, None), stacks=stacks)
    if not trained:
        raise UsageError(
            f"--resample: the size of the pixels that {spec.path} was trained with is not known"
            f"{f', only {describe_size(spec.pixel_size, stacks=stacks)}' if spec.pixel_size else ''}; state it in "
            f'{spec.path.name}.json beside it, as {{"pixel_size": [z, y, x]}} in micrometres'
        )
    size = _known(position.voxel_size, stacks=stacks)
    if not size:
        axes = "zyx" if stacks else "yx"
        sizes = dict(zip("zyx", position.voxel_size, strict=True))
        raise UsageError(
            f"--resample: the size of the pixels of {position.path} along {listing([a for a in axes if not sizes[a]])} "
            "is not known; state it in the metadata of the movie, as the scale of each dataset's "
            "coordinateTransformations, with the unit micrometer of the axis; a scale of exactly 1 in y or x counts as "
            "unknown. Of a TIFF movie, give it with --pixel-size"
        )
    return Resampling.between((depth, height, width), size, trained)


def planes_seen(planes: Iterable[int], window: StackWindow, grid: Resampling) -> frozenset[int]:
    """Return the planes of a movie that a network sees to predict some of them."""
    depth = grid.network_shape[0]
    return frozenset(grid.seen(window.sources(grid.needed(planes), depth)))


def describe_grid(position: Position, spec: ModelSpec, grid: Resampling) -> str:
    """Say how an image is brought to the pixels of the network, for ``--dry-run``."""
    stacks = spec.architecture.in_stack_depth > 1
    first = 0 if stacks else 1
    before, after = (" x ".join(map(str, shape[first:])) for shape in (grid.shape, grid.network_shape))
    own = describe_size(position.voxel_size, stacks=stacks)
    trained = describe_size(spec.pixel_size or (None, None, None), stacks=stacks)
    return f"the phase is brought from pixels of {own} to {trained}, {before} to {after} pixels, and the stain back"


def _known(size: PixelSize, *, stacks: bool) -> tuple[float, float, float] | None:
    """Return the size of pixels if all of it is known; in z, 1 for a network that does not see it."""
    z, y, x = size
    z = z if stacks else 1.0
    return None if z is None or y is None or x is None else (z, y, x)
