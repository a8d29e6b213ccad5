"""Options of the tracking of nuclei, and the checks that need nothing but the options."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError
from image_translation.extras import require_extra
from image_translation.files import require_directory


@dataclass(frozen=True)
class TrackingOptions:
    """Options of the tracking of nuclei; see ``image-translation track --help``.

    Attributes
    ----------
    source
        Results directory of ``smooth``, or an OME-Zarr store, or a name that `data.resolve` knows.
    method
        Whose store of the results is tracked; None takes ``motion``, and ``raw`` where that is missing.
    channel
        Name of the channel of nuclei; None takes ``Nuclei``, or the only one with a name of nuclei.
    positions
        Names or glob patterns; all positions when empty.
    z
        The plane, as `omezarr.selection.select_planes` reads it.
    diameter
        Diameter of a typical nucleus, in pixels; None estimates it.
    reach
        Farthest that a nucleus moves from a frame to the next, in pixels; None takes the diameter.
    output
        Directory for everything that is written; None writes labels into the store, and the rest to ``tracks`` beside
        it.
    overwrite
        Replace what other options gave.
    """

    source: Path
    method: str | None = None
    channel: str | None = None
    positions: tuple[str, ...] = ()
    z: str = "middle"
    diameter: float | None = None
    reach: float | None = None
    output: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Raise a ``UsageError`` if the options alone show that nothing can be tracked."""
        require_extra("track", "tracking")
        data.locate(self.source, kind="movie")
        for name in ("diameter", "reach"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise UsageError(f"--{name} {value}: must be a number of pixels above 0")
        if self.output:
            require_directory(self.output)
