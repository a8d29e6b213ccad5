"""Options of an evaluation, and the checks that need nothing but the options."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError
from image_translation.extras import require_extra
from image_translation.sources.movie_metadata import MovieMetadata

METRICS, SCORE_CARD, SCORES = "metrics.csv", "score_card.csv", "scores.csv"


@dataclass(frozen=True)
class EvaluationOptions(MovieMetadata):
    """Options of an evaluation; see ``image-translation evaluate --help``.

    Attributes
    ----------
    predictions
        Stores, or results directories of ``smooth``; or names that `data.resolve` knows, as in the next three.
    raw, truth, phase
        Stores that the predictions are compared with; None if there is none, or if the provenance names it.
    positions
        Names or glob patterns; all positions when empty.
    channels
        Names of the channels to score; all of the raw prediction when empty.
    channel
        Name of the label-free channel of `phase`; None chooses the obvious one.
    by_number
        Pair frames, planes and pixels by number, whatever the coordinate transformations of the stores say.
    same
        Names that channels of the predictions have in the truth, where they differ, as pairs.
    objects
        Channels of the truth in which objects are found, and nuclei tracked; None takes those with names of nuclei.
    segmenter
        Method of finding objects, a key of `paired_scores.SEGMENTERS`.
    every
        Score only every Nth frame against the truth.
    rescale
        Rescale each prediction to the unit of the truth first.
    tracking
        Link nuclei over time, and compare their tracks with those of the truth, of raw if there is none.
    output
        Directory for tables and figures; None writes none.
    overwrite
        Replace existing tables.
    axes, interval, pixel_size
        What `truth` and `phase` do not say if they are TIFF; see ``movie_metadata.MovieMetadata``.
    """

    predictions: tuple[Path, ...]
    raw: Path | None = None
    truth: Path | None = None
    phase: Path | None = None
    positions: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    channel: str | None = None
    by_number: bool = False
    same: tuple[tuple[str, str], ...] = ()
    objects: tuple[str, ...] | None = None
    segmenter: str = "threshold"
    every: int = 1
    rescale: bool = True
    tracking: bool = False
    output: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Raise a ``UsageError`` if the options alone show that the evaluation cannot be done."""
        given = (("the prediction", path) for path in self.predictions)
        others = ((f"--{name}", path) for name in ("raw", "truth", "phase") if (path := getattr(self, name)))
        for what, path in (*given, *others):
            try:
                data.locate(path, kind="movie")
            except UsageError as error:
                raise UsageError(f"{what} {error}") from error
        self.check_metadata()
        if self.every < 1:
            raise UsageError(f"--every {self.every}: must be 1 or more")
        if self.segmenter == "cellpose" and find_spec("cellpose") is None:
            raise UsageError("--segmenter cellpose: is not installed; install it with uv pip install cellpose")
        if self.tracking:
            require_extra("--tracking", "tracking")
        of_truth = {
            "--same": self.same,
            "--objects": self.objects is not None and not self.tracking,
            "--segmenter": self.segmenter != "threshold",
            "--every": self.every != 1,
            "--keep-units": not self.rescale,
        }
        idle = [flag for flag, given in of_truth.items() if given and not self.truth]
        if idle:
            raise UsageError(f"{idle[0]}: applies to scores against the truth, and none is given; add --truth STORE")
        for name in (METRICS, SCORE_CARD, SCORES):
            if self.output and (self.output / name).exists() and not self.overwrite:
                raise UsageError(f"{self.output / name} exists; choose another -o, or replace it with --overwrite")
