"""Figures of a run: choose what to show from the finished stores, draw and save it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.figures.metrics import adjacent_pearson_figure, tradeoff_figure
from image_translation.figures.movies import combined_figure, difference_figure, kymograph_figure
from image_translation.figures.orthogonal import orthogonal_figure
from image_translation.figures.region_of_interest import expand_region
from image_translation.figures.score_card import score_card_figure
from image_translation.figures.style import display_window
from image_translation.figures.video import CHANNEL_COLOUR_NAMES, composite_image, grey_image, write_video
from image_translation.files import file_stems
from image_translation.metrics.difference_maps import DifferenceMaps
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row
from image_translation.metrics.score_card import ScoreCard, score_cards
from image_translation.omezarr.store import Position
from image_translation.staining.excerpt import (
    CLOSE_UP,
    Excerpt,
    SideBySide,
    choose_excerpt,
    choose_frames_around,
    choose_run,
)
from image_translation.staining.figure_work import FIGURE_WORK, FILM_FRAMES, KYMOGRAPH_FRAMES, MIN_PLANES, POSITIONS
from image_translation.staining.plan import Plan
from image_translation.staining.report import FILM, write_run_report
from image_translation.staining.sections import choose_pixel, read_sections, relative_z_spacing
from image_translation.staining.series import Series
from image_translation.staining.writer import SeriesResult

FIELD = 512  # pixels: side of the region shown in the film
DPI = 250
SECONDS = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}

_log = logging.getLogger(__name__)


def write_figures(
    plan: Plan,
    stores: Mapping[str, Path],
    results: Sequence[SeriesResult],
    directory: Path,
    *,
    on_frames: Callable[[int], object] = lambda _: None,
) -> None:
    """Draw and save the figures of the first positions.

    Of a stack, the score card is that of all planes, the orthogonal view shows sections through all of them, and the
    other figures and the film show the middle one.

    Parameters
    ----------
    plan
        The run.
    stores
        Directory of the complete store of each method.
    results
        Result of each series of the plan, in the same order.
    directory
        Output directory; with several positions, each has a directory of its own in it.
    on_frames
        Called with the work that was done, in the unit of `figure_work.figure_work`.
    """
    planes: dict[str, list[tuple[Series, SeriesResult]]] = {}
    for series, result in zip(plan.series, results, strict=True):
        planes.setdefault(series.position.name, []).append((series, result))
    directories = [directory / stem for stem in file_stems(planes)] if len(planes) > 1 else [directory]
    for place, stack in list(zip(directories, planes.values(), strict=True))[:POSITIONS]:
        series, result = stack[len(stack) // 2]
        place.mkdir(parents=True, exist_ok=True)
        _save(adjacent_pearson_figure(result.rows), place / "corrcoef.png")
        on_frames(FIGURE_WORK)
        rows = [row for _, one in stack for row in one.rows]
        card = next(iter(score_cards(rows)), ScoreCard(series.position.name, (), (), ()))
        _save(tradeoff_figure(card, truth=bool(series.truth)), place / "tradeoff.png")
        on_frames(FIGURE_WORK)
        _save(score_card_figure(card), place / "score_card.png")
        on_frames(FIGURE_WORK)
        members = [one for one, _ in stack]
        film = _write_images(plan, series, stores, result, place, planes=members, on_frames=on_frames)
        if len(film) < len(series.frames):
            _log.info(
                "%s shows %d consecutive frames of %d: %d to %d, around those of the other figures",
                place / FILM, len(film), len(series.frames), film.start, film.stop - 1,
            )  # fmt: skip
        write_run_report(plan, series, result, card, place, film=film, planes=[one.z for one in members])


def _write_images(
    plan: Plan,
    series: Series,
    stores: Mapping[str, Path],
    result: SeriesResult,
    directory: Path,
    *,
    planes: Sequence[Series],
    on_frames: Callable[[int], object],
) -> range:
    """Draw the figures that show images, of one plane of a position; return the numbers of the frames in the film."""
    movies = SideBySide(plan, series, stores)
    excerpt = choose_excerpt(movies, result.invalid, _excess_change(result.rows))
    times = choose_run(movies.frames, KYMOGRAPH_FRAMES, result.invalid)
    maps, lines = DifferenceMaps(movies.delays), dict[str, list[NDArray[np.float32]]]()
    for t in times:
        stains = {name: image[:, *excerpt.crop] for name, image in movies.stains(t).items()}
        maps.add(stains)
        for name, image in stains.items():
            lines.setdefault(name, []).append(image[:, excerpt.row].copy())
        on_frames(1)
    change, gain = maps.mean_change(), maps.error_reduction() if series.truth else excerpt.less_raw()
    channels, size = plan.spec.output_channels, series.position.pixel_size
    labels = [f"frame {t}" for t in excerpt.frames]
    close_up_change = excerpt.close_up_change()
    for c, (channel, stem) in enumerate(zip(channels, file_stems(channels), strict=True)):
        images = {name: stack[:, c] for name, stack in excerpt.stains.items()}
        figure = combined_figure(
            images, labels, channel, excerpt.phase,
            change={name: image[c] for name, image in close_up_change.items()},
            corners=excerpt.corners, side=CLOSE_UP, pixel_size=size,
        )  # fmt: skip
        _save(figure, directory / f"{stem}_combined.png")
        on_frames(FIGURE_WORK)
        kymographs = {name: np.stack(line)[:, c] for name, line in lines.items()}
        figure = kymograph_figure(kymographs, channel, first_frame=times.start, pixel_size=size)
        _save(figure, directory / f"{stem}_kymograph.png")
        on_frames(FIGURE_WORK)
        if change:
            figure = difference_figure(
                {name: image[c] for name, image in change.items()},
                {name: image[c] for name, image in gain.items()},
                channel, against_truth=bool(series.truth), pixel_size=size,
            )  # fmt: skip
            _save(figure, directory / f"{stem}_difference.png")
        on_frames(FIGURE_WORK)
    if len(planes) >= MIN_PLANES:
        _write_orthogonal(plan, planes, stores, excerpt, directory, on_frames=on_frames)
    film = choose_frames_around(excerpt.frames, movies.frames, FILM_FRAMES)
    _write_comparison(movies, excerpt, series.position, channels, directory / FILM, frames=film, on_frames=on_frames)
    return film


def _write_orthogonal(
    plan: Plan,
    planes: Sequence[Series],
    stores: Mapping[str, Path],
    excerpt: Excerpt,
    directory: Path,
    *,
    on_frames: Callable[[int], object],
) -> None:
    channels, middle, position = plan.spec.output_channels, len(planes) // 2, planes[0].position
    frame, place = excerpt.frames[len(excerpt.frames) // 2], (middle, *choose_pixel(excerpt, channels))
    spacing = relative_z_spacing(position) or 1.0
    sections, voxel = read_sections(
        plan, planes, stores, frame, place, z_spacing=spacing, on_plane=lambda: on_frames(1)
    )
    phase = sections.pop(PHASE, [None])[0]
    for c, (channel, stem) in enumerate(zip(channels, file_stems(channels), strict=True)):
        figure = orthogonal_figure(
            {name: parts[c] for name, parts in sections.items()}, channel, phase,
            voxel=voxel, plane=f"plane {planes[middle].z}", z_spacing=spacing, pixel_size=position.pixel_size,
        )  # fmt: skip
        _save(figure, directory / f"{stem}_orthogonal.png")
        on_frames(FIGURE_WORK)


def _write_comparison(
    movies: SideBySide,
    excerpt: Excerpt,
    position: Position,
    channels: Sequence[str],
    path: Path,
    *,
    frames: range,
    on_frames: Callable[[int], object],
) -> None:
    crop = expand_region(excerpt.crop, position.shape[3:], FIELD)
    phase_window = display_window([excerpt.phase])
    windows = [excerpt.window(c) for c in range(len(channels))]

    def images() -> Iterator[tuple[str, dict[str, NDArray[np.uint8]]]]:
        for t in frames:
            phase = movies.phase(t)[crop]
            shown = {PHASE: grey_image(phase, phase_window)} if np.isfinite(phase).any() else {}
            for name, image in movies.stains(t).items():
                if np.isfinite(image).any():
                    shown[name] = composite_image(image[:, *crop], windows)
            yield f"frame {t}{_time(position, t)}", shown
            on_frames(1)

    methods = [name for name in movies.names if name != TRUTH]
    names = [PHASE, *([TRUTH] if TRUTH in movies.names else []), *methods]
    legend = ", ".join(f"{channel}: {colour}" for channel, colour in zip(channels, CHANNEL_COLOUR_NAMES, strict=False))
    size = (crop[0].stop - crop[0].start, crop[1].stop - crop[1].start)
    legend = legend if len(channels) > 1 else channels[0]
    write_video(path, names, size, images(), n_frames=len(frames), legend=legend)


def _excess_change(rows: Sequence[Row]) -> dict[int, float]:
    """Return, by frame, how much lower the adjacent-frame correlation of raw is than that of the truth or the phase."""
    rows = [row for row in rows if row.metric == "adjacent_pearson" and isfinite(row.value)]
    reference = TRUTH if any(row.method == TRUTH for row in rows) else PHASE
    excess: dict[int, float] = {}
    for row in rows:
        if row.method in {RAW, reference} and row.frame is not None:
            sign = -1 if row.method == RAW else 1
            excess[row.frame] = excess.get(row.frame, 0.0) + sign * row.value
    return excess


def _time(position: Position, frame: int) -> str:
    """Return the time of a frame as text, where it is known; writers put a scale of exactly 1 where it is not."""
    interval = position.levels[0].scale[0] * SECONDS.get(position.units.get("t", ""), 0.0)
    if not 0 < interval < inf or position.levels[0].scale[0] == 1:
        return ""
    seconds = round(frame * interval)
    if interval < 60:
        return f"    {seconds // 60} min {seconds % 60:02d} s"
    return f"    {seconds // 3600} h {seconds // 60 % 60:02d} min"


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI)
