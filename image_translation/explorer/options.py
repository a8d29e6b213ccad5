"""Options of the command ``inspect -o``, and the checks that need nothing but the options."""

from dataclasses import dataclass
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError
from image_translation.files import require_directory
from image_translation.frame import Crop, check_frame_range
from image_translation.normalize import Method
from image_translation.sources.movie_metadata import MovieMetadata

OVERVIEW, COMPARISON, CHANGE, STAGE, TABLE = (
    "overview.png", "comparison.png", "change.png", "stage.png", "features.csv",
)  # fmt: skip


@dataclass(frozen=True)
class InspectOptions(MovieMetadata):
    """Options of the inspection of a network; see ``image-translation inspect --help``.

    Attributes
    ----------
    checkpoint, movie
        Paths, or names that `data.resolve` knows.
    output
        Directory for the figures and the table.
    position
        Name of the position; None if the movie has only one.
    time
        Index of the frame.
    z
        Plane: an index or ``middle``.
    channels
        Names of the input channels; empty uses those of the checkpoint, or the default.
    crop
        Part of the field; None is the full field.
    compare
        Index of a second frame, to be shown in the same colours.
    frames
        Indices of the first frame whose change is measured, and of the one after the last.
    stage
        Name of a stage whose components are shown one by one; None for no such figure.
    normalization, head_pool, device
        As for ``smooth``.
    overwrite
        Replace existing files.
    axes, interval, pixel_size
        What a TIFF movie does not say; see ``movie_metadata.MovieMetadata``.
    """

    checkpoint: str
    movie: str
    output: Path
    position: str | None = None
    time: int = 0
    z: str = "middle"
    channels: tuple[str, ...] = ()
    crop: Crop | None = None
    compare: int | None = None
    frames: tuple[int | None, int | None] = (None, None)
    stage: str | None = None
    normalization: Method | None = None
    head_pool: bool | None = None
    device: str = "auto"
    overwrite: bool = False

    def check(self) -> None:
        """Raise a ``UsageError`` if the options alone show that the inspection is impossible."""
        check_frame_range(self.frames)
        self.check_metadata()
        data.locate(self.checkpoint, kind="checkpoint")
        data.locate(self.movie, kind="movie")
        require_directory(self.output)
        for name in (OVERVIEW, COMPARISON, CHANGE, STAGE, TABLE):
            if (self.output / name).exists() and not self.overwrite:
                raise UsageError(f"{self.output / name} exists; choose another -o, or replace it with --overwrite")
