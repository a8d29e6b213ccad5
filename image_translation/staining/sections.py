"""What the orthogonal views show: a voxel in a cell, and sections of every movie through it, read plane by plane."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from image_translation.figures.orthogonal import Sections
from image_translation.figures.region_of_interest import Region, expand_region
from image_translation.metrics.objects import is_nuclear
from image_translation.metrics.rows import PHASE, RAW, TRUTH
from image_translation.omezarr.store import Position
from image_translation.staining.excerpt import CLOSE_UP, Excerpt, SideBySide
from image_translation.staining.plan import Plan
from image_translation.staining.series import Series

SIDE = 192  # pixels: side of the region that the sections show, at least
DEEPEST = 3.0  # depth of a stack relative to this side; the region of a deeper one is larger
_SIGMA = 3.0  # pixels: Gaussian before the brightest pixel of a cell is sought


def choose_pixel(excerpt: Excerpt, channels: Sequence[str]) -> tuple[int, int]:
    """Return the brightest pixel (y, x) of the cell of the close-ups, of its nucleus if nuclei are stained.

    Parameters
    ----------
    excerpt
        What the other figures show; the pixel is in its middle frame.
    channels
        Names of the channels.
    """
    channel = next((c for c, name in enumerate(channels) if is_nuclear(name)), 0)
    middle = len(excerpt.frames) // 2
    top, left = excerpt.corners[middle]
    box = excerpt.stains[RAW][middle, channel, top : top + CLOSE_UP, left : left + CLOSE_UP]
    smooth = gaussian_filter(np.nan_to_num(box, nan=float(np.nanmin(box)) if np.isfinite(box).any() else 0.0), _SIGMA)
    y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return excerpt.crop[0].start + top + int(y), excerpt.crop[1].start + left + int(x)


def read_sections(
    plan: Plan,
    planes: Sequence[Series],
    stores: Mapping[str, Path],
    frame: int,
    voxel: tuple[int, int, int],
    *,
    z_spacing: float,
    on_plane: Callable[[], object],
) -> tuple[dict[str, list[Sections]], tuple[int, int, int]]:
    """Read the sections through a voxel; never more than one plane of each movie is in memory.

    Parameters
    ----------
    plan
        The run.
    planes
        All series of a position, by z.
    stores
        Directory of the complete store of each method.
    frame
        Number of the frame.
    voxel
        Number of the series, and the pixel (y, x).
    z_spacing
        Distance of two planes in pixels.
    on_plane
        Called after each plane.

    Returns
    -------
    sections : dict
        Sections of each channel, by the name of the movie in display order; one for the phase, if it is valid anywhere.
    voxel : tuple of int
        The voxel (z, y, x) in them.
    """
    z, y, x = voxel
    shape = planes[0].position.shape[3:]
    side = round(min(max(SIDE, len(planes) * z_spacing / DEEPEST), max(shape)))
    region = expand_region((slice(y, y + 1), slice(x, x + 1)), shape, side)
    pixel = (y - region[0].start, x - region[1].start)
    parts: dict[str, _Parts] = {}
    for number, series in enumerate(planes):
        movies = SideBySide(plan, series, stores)
        order = [TRUTH, *movies.names] if TRUTH in movies.names else movies.names
        for name in (PHASE, *dict.fromkeys(order)):
            image = movies.phase(frame)[np.newaxis] if name == PHASE else movies.stain(name, frame)
            parts.setdefault(name, _Parts(region, pixel)).add(image, whole=number == z)
        on_plane()
    sections = {name: found.sections() for name, found in parts.items()}
    if not any(np.isfinite(part).any() for part in sections[PHASE][0].parts):
        del sections[PHASE]
    return sections, (z, *pixel)


def relative_z_spacing(position: Position) -> float | None:
    """Return the distance of two planes in pixels; None if one of the two sizes is not known."""
    size, spacing = position.pixel_size, position.levels[0].scale[2]
    if size is None or position.units.get("z") != "micrometer" or not 0 < spacing < math.inf:
        return None
    return spacing / size


class _Parts:
    """Collects the sections of one movie.

    Parameters
    ----------
    region, pixel
        The region that is shown, and the pixel (y, x) in it that the sections go through.
    """

    def __init__(self, region: Region, pixel: tuple[int, int]) -> None:
        self._region, self._pixel = region, pixel
        self._xy: NDArray[np.float32] | None = None
        self._xz: list[NDArray[np.float32]] = []
        self._yz: list[NDArray[np.float32]] = []

    def add(self, image: NDArray[np.float32], *, whole: bool) -> None:
        """Add the next plane, (C, Y, X); `whole` if it is the one that XY shows."""
        image = image[:, *self._region]
        # Copies, so that the plane can go.
        self._xz.append(image[:, self._pixel[0]].copy())
        self._yz.append(image[:, :, self._pixel[1]].copy())
        if whole:
            self._xy = image.copy()

    def sections(self) -> list[Sections]:
        """Return the sections of each channel."""
        assert self._xy is not None  # noqa: S101 - for the type checker
        xz, yz = np.stack(self._xz, axis=1), np.stack(self._yz, axis=1)
        return [Sections(*parts) for parts in zip(self._xy, xz, yz, strict=True)]
