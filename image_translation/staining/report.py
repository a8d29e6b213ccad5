"""The report of a run: the facts of the run, and an explanation of each figure for readers who are new to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from image_translation.figures.html_report import Section, write_html_report
from image_translation.files import file_stems
from image_translation.metrics.rows import RAW
from image_translation.metrics.score_card import ScoreCard
from image_translation.omezarr.registered import RegisteredPosition
from image_translation.staining.methods import RECOMMENDED
from image_translation.staining.phase_statistics import describe_normalization
from image_translation.staining.plan import Plan
from image_translation.staining.sections import relative_z_spacing
from image_translation.staining.series import Series
from image_translation.staining.writer import SeriesResult

REPORT = "report.html"
FILM = "comparison.mp4"


class _Text(NamedTuple):
    """Heading and explanation of a figure; ``{}`` is replaced by the channel, and by a sentence."""

    heading: str
    text: str


LEAD = (
    "A network has stained a label-free movie: it predicts fluorescence from the phase, each frame by itself. "
    "Because it does not see the neighbouring frames, its stain flickers. The methods below make the stain "
    "steady over time; each is scored by how much flicker it leaves, and by what it does to the cells."
)
SCORE_CARD = _Text(
    "Score card",
    "Methods from the best to the worst. Flicker is the change from frame to frame that motion does not explain "
    "(raw is 1, lower is steadier); the lines below it show whether the image is still correct, sharp and in "
    "time. Blue is better than raw, orange is worse, and a cross marks what is worse than allowed.",
)
TRADEOFF = _Text(
    "Flicker against fidelity",
    "Good methods lie in the shaded region, the farther to the left the better: steadier than raw, and no "
    "farther from the truth or, without truth, as rich in detail. Methods below it are blurred, ghosted or late; a "
    "hollow marker is worse than allowed in another line of the score card.",
)
COMPARISON = _Text(
    "The movies side by side",
    "The same region in the phase and in each movie. Look at a cell that does not move (it should "
    "not flicker), and at one that does (it should have no trail and no blurred edge).",
)
EXCERPT = (
    " The film shows frames {} to {}, around those of the figures below; none is left out between them, because cells "
    "that move in steps cannot be told from flicker. All frames are in the stores."
)
PLANES = " The values are means over {} planes; blank planes, and planes of background, do not count."
SHOWN_PLANE = " The film shows plane {}, the middle one of the planes {} to {}; so do the figures of frames below."
ORTHOGONAL = _Text(
    "{}: sections through the stack",
    "One frame, cut through a cell: in the plane of the film (XY), and across all planes beside it (YZ) and below it "
    "(XZ), along the blue lines. The first plane is at the left and at the top. A cell should be as continuous across "
    "planes as in the truth or in raw; a stripe along a plane is a plane that was stained otherwise than its "
    "neighbours. {}",
)
Z_SPACING = "All sections have the same scale; planes are {:.4g} µm apart."
NO_Z_SPACING = "The distance of the planes is not known: each is drawn one pixel thick."
PEARSON = _Text(
    "Correlation of each frame with the next",
    "The dashed or dotted line is that of the true stain or of the phase: cells move, so no true movie reaches 1. A "
    "method above that line is over-smoothed, one below it flickers.",
)
COMBINED = _Text(
    "{}: frame by frame",
    "Consecutive frames in which raw flickers strongly. Left: one of them, with a box around a moving cell and the "
    "path of the box; then a close-up that follows the cell. Flicker is a change of brightness or texture "
    "along a row; ghosts are faint copies beside the cell; blur is a loss of edges compared with raw. Right: how much "
    "each pixel changes from frame to frame; a change in raw that is not in the truth is flicker.",
)
DIFFERENCE = _Text(
    "{}: what changes, and what is lost",
    "Above: how much each pixel changes from one frame to the next; a uniform haze over the field is flicker, "
    "trails of cells are motion. {}",
)
WITH_TRUTH = (
    "Below: where the method is nearer to the truth than raw (violet), and where it is farther away (orange): "
    "orange outlines are cells that it has smeared."
)
WITHOUT_TRUTH = (
    "Below: the method minus raw in one frame; speckle is flicker that was removed, pairs of red and blue "
    "outlines are cells that were smeared."
)
KYMOGRAPH = _Text(
    "{}: one row of pixels over time",
    "Time runs down. A cell is a band that tilts as it moves; flicker is a horizontal stripe; a band that is wider or "
    "fainter than in raw has been smeared.",
)


def write_run_report(
    plan: Plan,
    series: Series,
    result: SeriesResult,
    card: ScoreCard,
    directory: Path,
    *,
    film: range,
    planes: Sequence[int] = (),
) -> None:
    """Write the report of the figures in a directory.

    Parameters
    ----------
    plan
        The run.
    series, result
        The series that the figures show, and its result.
    card
        Score card of the position; it may be empty.
    directory
        Directory of the figures, and of the report.
    film
        Numbers of the frames in the film.
    planes
        Numbers of the planes of the position that were stained.
    """
    channels = plan.spec.output_channels
    is_stack = len(planes) > 1
    text = SCORE_CARD.text + (PLANES.format(len(planes)) if is_stack else "")
    sections = [Section(SCORE_CARD.heading, text, directory / "score_card.png")]
    sections.append(Section(*TRADEOFF, directory / "tradeoff.png"))
    excerpt = EXCERPT.format(film.start, film.stop - 1) if len(film) < len(series.frames) else ""
    if is_stack:
        excerpt += SHOWN_PLANE.format(series.z, planes[0], planes[-1])
    sections.append(Section(COMPARISON.heading, COMPARISON.text + excerpt, directory / FILM))
    named = list(zip(channels, file_stems(channels), strict=True))
    below = WITH_TRUTH if series.truth else WITHOUT_TRUTH
    spacing = (
        Z_SPACING.format(series.position.levels[0].scale[2]) if relative_z_spacing(series.position) else NO_Z_SPACING
    )
    kinds = {"combined": (COMBINED, ""), "orthogonal": (ORTHOGONAL, spacing)}
    kinds |= {"difference": (DIFFERENCE, below), "kymograph": (KYMOGRAPH, "")}
    for kind, ((heading, text), sentence) in kinds.items():
        for channel, stem in named:
            # By replacement, because names may hold braces.
            file = directory / f"{stem}_{kind}.png"  # left out of the report if it was not drawn
            sections.append(Section(heading.replace("{}", channel), text.replace("{}", sentence), file))
    sections.append(Section(*PEARSON, directory / "corrcoef.png"))
    title = f"Virtual staining of {plan.store.path.name}"
    facts = _facts(plan, series, result)
    if is_stack:
        facts["planes"] = f"{planes[0]} to {planes[-1]}"
    write_html_report(directory / REPORT, title, [LEAD, *_verdict(card)], facts, sections)


def _verdict(card: ScoreCard) -> list[str]:
    if not card.ranking:
        return []
    best = card.ranking[0]
    verdict = "no method is shown to be better than the raw prediction" if best == RAW else f"{best} is the best here"
    said = [f"By the score card, {verdict}."]
    for method in card.ranking:
        failed = {
            entry.channel: ", ".join(column.replace("_", " ") for column in entry.failures)
            for entry in card.entries
            if entry.method == method and entry.failures
        }
        if failed:
            where = "; ".join(f"{columns} ({channel})" for channel, columns in failed.items())
            said.append(f"{method} is worse than allowed in {where}.")
        elif card.in_doubt(method):
            said.append(f"Whether {method} is better than raw cannot be told without truth: see the signs ? below.")
    return [" ".join(said)]


def _facts(plan: Plan, series: Series, result: SeriesResult) -> dict[str, str]:
    position, frames = series.position, series.frames
    methods = plan.options.method_parameters()
    facts = {
        "movie": plan.store.path.name,
        "position": position.name,
        "channel": position.channels[series.channel],
        "frames": f"{frames.start} to {frames.stop - 1} of {position.shape[0]}",
        "field": f"{position.shape[3]} x {position.shape[4]} pixels, plane {series.z}",
        "checkpoint": f"{plan.spec.path.name}: {plan.spec.description}",
        "stains": ", ".join(plan.spec.output_channels) + (", with their truth" if series.truth else ", without truth"),
        "normalised by": describe_normalization(plan),
        "methods": "; ".join(_method(name, parameters) for name, parameters in methods.items()),
    }
    if isinstance(position, RegisteredPosition):
        found = position.registration
        facts["registered"] = (
            f"jitter of {found.common:.2f} px (standard deviation) taken out of {', '.join(found.channels)}"
            if found.displaces
            else "no jitter found, no frame displaced"
        )
    if RECOMMENDED in methods:
        facts["recommended"] = RECOMMENDED
    if result.invalid:
        facts["invalid frames"] = ", ".join(map(str, result.invalid[:50]))
    return facts


def _method(name: str, parameters: object) -> str:
    if not isinstance(parameters, dict) or not parameters:
        return name
    values = ", ".join(f"{key} {value}" for key, value in parameters.items())
    return f"{name} ({values})"
