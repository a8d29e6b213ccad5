"""What is asked of an inspection, and what the arguments alone show to be wrong."""

from dataclasses import dataclass
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError
from image_translation.frame import Crop, require_frames
from image_translation.normalize import Method

OVERVIEW, COMPARISON, CHANGE, STAGE, TABLE = (
    "overview.png", "comparison.png", "change.png", "stage.png", "features.csv",
)  # fmt: skip


@dataclass(frozen=True)
class InspectOptions:
    """Arguments of the command; see ``image-translation inspect --help``.

    Attributes
    ----------
    checkpoint, movie
        Paths, or names that `data.resolve` knows.
    output
        Directory for figures and table.
    position
        Name of the image; None if there is but one.
    time
        Number of the frame.
    z
        Plane: an index or ``middle``.
    channels
        What the network is shown; empty chooses the obvious ones.
    crop
        Part of the field; None takes the whole.
    compare
        Number of a second frame, to be shown in the same colours.
    frames
        Numbers of the first frame whose change is measured, and of the one after the last.
    stage
        Name of a stage whose components are to be shown one by one; None for no such figure.
    normalization, device
        As for ``smooth``.
    overwrite
        Replace files that are there.
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
    device: str = "auto"
    overwrite: bool = False

    def check(self) -> None:
        """Raise a ``UsageError`` if the arguments alone show that it cannot be done."""
        require_frames(self.frames)
        data.locate(self.checkpoint, kind="checkpoint")
        data.locate(self.movie, kind="movie")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"-o {self.output}: is a file; give a directory, which is made where there is none")
        for name in (OVERVIEW, COMPARISON, CHANGE, STAGE, TABLE):
            if (self.output / name).exists() and not self.overwrite:
                raise UsageError(f"{self.output / name} exists; choose another -o, or replace it with --overwrite")
