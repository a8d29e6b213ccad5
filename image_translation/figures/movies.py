"""Figures of movies: consecutive frames with close-ups, kymographs, and maps of change and error."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.figures.style import (
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    RECOMMENDED,
    STAIN_CMAP,
    TEXT_SIZE,
    PanelGrid,
    add_scale_bar,
    add_text,
    display_window,
    display_windows,
    frame_locator,
    show_image,
    style_axes,
    style_colour_bar,
)
from image_translation.metrics.rows import RAW

GAP, MARGIN, BAR, TITLE = 0.03, 0.24, 0.84, 0.2  # inches: between panels, for row names, for colour bars, for titles
CHANGE_CMAP, GAIN_CMAP, DIFFERENCE_CMAP = "viridis", "PuOr", "RdBu_r"
BOX_COLOUR = "#56B4E9"


def combined_figure(
    images: Mapping[str, NDArray[np.float32]],
    labels: Sequence[str],
    channel: str,
    phase: NDArray[np.float32] | None = None,
    *,
    change: Mapping[str, NDArray[np.float32]],
    corners: Sequence[tuple[int, int]],
    side: int,
    pixel_size: float | None = None,
) -> Figure:
    """Show movies in rows: an overview of the middle frame, and a close-up of every frame that follows a cell.

    All movies but the phase share one display window; see `style.display_windows`.

    Parameters
    ----------
    images
        K consecutive frames of each movie, (K, Y, X) float32, in display order. Pixels that are not finite are hatched;
        a frame without finite pixels is labelled.
    labels
        Titles of the K frames.
    channel
        Name of the channel.
    phase
        The K input frames, (K, Y, X) float32.
    change
        Mean change of each movie from frame to frame, (y, x) float32, in the close-up of the middle frame; empty for a
        single frame.
    corners
        Upper left corner (y, x) of the close-up in each frame; the close-up lies within the frame.
    side
        Height and width of the close-up in pixels; cropped to the frame size.
    pixel_size
        Pixel size in micrometres, for scale bars.
    """
    height, width = next(iter(images.values())).shape[1:]
    sides = (min(side, height), min(side, width))
    names = [*(["phase"] if phase is not None else []), *images]
    grid = _overview_grid(len(names), len(labels) + bool(change), height / width, sides[0] / sides[1])
    window, windows = display_windows({name: [stack] for name, stack in images.items()})
    middle = len(labels) // 2
    change_window = (0.0, display_window(change.values())[1]) if change else (0.0, 1.0)
    for row, name in enumerate(names):
        is_phase = phase is not None and row == 0
        stack = phase if phase is not None and row == 0 else images[name]
        display = (display_window([stack]), PHASE_CMAP) if is_phase else (windows[name], STAIN_CMAP)
        own_scale = not is_phase and windows[name] != window
        panels = [grid.add_panel(row, column) for column in range(len(labels) + 1)]
        overview = show_image(panels[0], stack[middle], *display)
        if not own_scale:
            shown = overview  # what the colour bar is for
        for axes, image, (y, x) in zip(panels[1:], stack, corners, strict=True):
            show_image(axes, image[y : y + sides[0], x : x + sides[1]], *display)
        if name in change:
            changes = show_image(grid.add_panel(row, len(labels) + 1), change[name], change_window, CHANGE_CMAP)
        _draw_box(panels[0], corners, middle, sides)
        label = f"{name},\nown scale" if own_scale else name
        panels[0].set_ylabel(label, **PLAIN_TEXT, fontweight=_weight(name), labelpad=3)
        if row == 0:
            panels[0].set_title(f"field, {labels[middle]}", **PLAIN_TEXT)
            for axes, label in zip(panels[1:], labels, strict=True):
                axes.set_title(label, **PLAIN_TEXT)
        if row == len(names) - len(images) and change:
            grid.add_title(row, len(labels) + 1, "mean change")
        if is_phase:
            grid.add_colour_bar(shown, 0, 0, "phase (a.u.)")
    if pixel_size is not None:
        add_scale_bar(panels[0], width, pixel_size)
        add_scale_bar(panels[1], sides[1], pixel_size)
    first = len(names) - len(images)
    half = first + (len(images) + 1) // 2
    grid.add_colour_bar(shown, first, max(first, half - 1) if change else len(names) - 1, f"{channel} (a.u.)")
    if change and half < len(names):
        grid.add_colour_bar(changes, half, len(names) - 1, "change (a.u.)")
    return grid.figure


def kymograph_figure(
    images: Mapping[str, NDArray[np.float32]], channel: str, *, first_frame: int = 0, pixel_size: float | None = None
) -> Figure:
    """Show one row of pixels over time, one panel per movie; flicker appears as horizontal stripes.

    Parameters
    ----------
    images
        The row in each movie, (T, X) float32; T may differ. Frames that are missing or not finite are hatched.
    channel
        Name of the channel.
    first_frame
        Number of the first frame.
    pixel_size
        Pixel size in micrometres.
    """
    figure = Figure((FIGURE_WIDTH, 2.8), layout="constrained")
    panels = figure.subplots(1, len(images), squeeze=False, sharex=True, sharey=True)[0]
    window, windows = display_windows({name: [image] for name, image in images.items()})
    longest = max(len(image) for image in images.values())
    scale = pixel_size or 1.0
    for axes, (method, image) in zip(panels, images.items(), strict=True):
        padded = np.pad(image, ((0, longest - len(image)), (0, 0)), constant_values=np.nan)
        extent = (-0.5 * scale, (image.shape[1] - 0.5) * scale, first_frame + longest - 0.5, first_frame - 0.5)
        panel = show_image(axes, padded, windows[method], STAIN_CMAP, aspect="auto", extent=extent)
        own_scale = windows[method] != window
        if not own_scale:
            shown = panel  # what the colour bar is for
        axes.set_title(f"{method}, own scale" if own_scale else method, **PLAIN_TEXT, fontweight=_weight(method))
        style_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    figure.supxlabel(f"position along a line ({'µm' if pixel_size else 'pixels'})", fontsize=TEXT_SIZE)
    panels[0].yaxis.set_major_locator(frame_locator())
    panels[0].set_ylabel("frame", fontsize=TEXT_SIZE)
    bar = figure.colorbar(shown, ax=list(panels), fraction=0.05, aspect=30, pad=0.01)
    style_colour_bar(bar, f"{channel} (a.u.)")
    return figure


def difference_figure(
    change: Mapping[str, NDArray[np.float32]],
    gain: Mapping[str, NDArray[np.float32]],
    channel: str,
    *,
    against_truth: bool,
    pixel_size: float | None = None,
) -> Figure:
    """Show where movies change from frame to frame, and where methods improve or degrade the raw prediction.

    Parameters
    ----------
    change
        Mean absolute change of each pixel from frame to frame, (Y, X) float32, of each movie.
    gain
        With truth, error of raw minus error of each method, (Y, X) float32, positive where the method is nearer to the
        truth; without truth, the method minus raw in one frame.
    channel
        Name of the channel.
    against_truth
        Whether `gain` is relative to the truth.
    pixel_size
        Pixel size in micrometres, for a scale bar.
    """
    names = list(change)
    height, width = next(iter(change.values())).shape
    grid = _even_grid(2 if gain else 1, len(names), height / width)
    window = (0.0, display_window(change.values())[1])
    for column, name in enumerate(names):
        axes = grid.add_panel(0, column)
        shown = show_image(axes, change[name], window, CHANGE_CMAP)
        axes.set_title(name, **PLAIN_TEXT, fontweight=_weight(name))
        if column == 0 and pixel_size is not None:
            add_scale_bar(axes, width, pixel_size)
    grid.add_colour_bar(shown, 0, 0, "change (a.u.)")
    grid.add_side_title(channel)
    if gain:
        limit = max(1e-12, *(abs(end) for end in display_window(gain.values())))
        cmap = GAIN_CMAP if against_truth else DIFFERENCE_CMAP
        for name, image in gain.items():
            shown = show_image(grid.add_panel(1, names.index(name)), image, (-limit, limit), cmap)
        grid.add_colour_bar(shown, 1, 1, "gain (a.u.)" if against_truth else "minus raw (a.u.)")
        _add_colour_key(
            grid.add_panel(1, names.index(RAW)) if RAW in names and RAW not in gain else None, against_truth
        )
    return grid.figure


def _add_colour_key(axes: Axes | None, against_truth: bool) -> None:  # noqa: FBT001 - private
    """Explain the colours in the otherwise empty panel of raw."""
    if axes is None:
        return
    if against_truth:
        add_text(axes, 0.5, 0.66, "nearer to the\ntruth than raw", va="center", color="#542788")
        add_text(axes, 0.5, 0.34, "farther from it", va="center", color="#B35806")
    else:
        add_text(axes, 0.5, 0.66, "brighter\nthan raw", va="center", color="#B2182B")
        add_text(axes, 0.5, 0.34, "darker\nthan raw", va="center", color="#2166AC")


def _weight(name: str) -> str:
    return "bold" if name == RECOMMENDED else "normal"


def _draw_box(axes: Axes, corners: Sequence[tuple[int, int]], middle: int, sides: tuple[int, int]) -> None:
    """Draw the outline of the close-up of the middle frame, and the path of its centre."""
    y, x = corners[middle]
    box = Rectangle((x - 0.5, y - 0.5), sides[1], sides[0], fill=False, edgecolor=BOX_COLOUR, linewidth=0.9)
    axes.add_patch(box)
    ys, xs = zip(*corners, strict=True)
    path = (np.array(xs) + sides[1] / 2, np.array(ys) + sides[0] / 2)
    axes.plot(*path, color=BOX_COLOUR, linewidth=0.7)


def _overview_grid(n_rows: int, n_frames: int, overview: float, close_up: float) -> PanelGrid:
    """Lay out rows of an overview and close-ups, given their aspect ratios (height / width)."""
    overview, close_up = np.clip([overview, close_up], 0.25, 4)
    available = FIGURE_WIDTH - MARGIN - BAR - (n_frames + 1) * GAP - 0.05
    height = min(1.25, available / (1 / overview + n_frames / close_up))
    widths = [height / overview, *[height / close_up] * n_frames]
    lefts = MARGIN + np.cumsum([0, widths[0] + GAP + 0.05, *[widths[1] + GAP] * (n_frames - 1)])
    return _grid(n_rows, [float(left) for left in lefts], widths, height)


def _even_grid(n_rows: int, n_columns: int, aspect_ratio: float) -> PanelGrid:
    """Lay out a grid of panels of one aspect ratio (height / width)."""
    aspect_ratio = float(np.clip(aspect_ratio, 0.25, 4))
    width = min(2.2, (FIGURE_WIDTH - MARGIN - BAR - n_columns * GAP) / n_columns)
    lefts = [MARGIN + column * (width + GAP) for column in range(n_columns)]
    return _grid(n_rows, lefts, [width] * n_columns, width * aspect_ratio)


def _grid(n_rows: int, lefts: list[float], widths: list[float], height: float) -> PanelGrid:
    size = (lefts[-1] + widths[-1] + BAR, n_rows * (height + GAP) + TITLE + 0.04)
    bottoms = [size[1] - TITLE - (row + 1) * height - row * GAP for row in range(n_rows)]
    return PanelGrid(Figure(size), lefts, bottoms, widths, height)
