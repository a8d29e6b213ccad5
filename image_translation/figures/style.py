"""Style and layout shared by all figures: sizes, colours, images with missing pixels, scale bars, panel grids, text.

Figures are at most 180 mm wide, with text of 7 to 9 points. The palette of the methods is safe for colour-blind readers
(Okabe and Ito 2008, Color Universal Design); each method also has its own marker or line style.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextToPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.metrics.rows import PHASE, RAW, TRUTH

FIGURE_WIDTH = 180 / 25.4  # inches, at most
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 9, 8, 7  # points
PLAIN_TEXT: dict[str, Any] = {"fontsize": TEXT_SIZE, "parse_math": False}  # names may contain dollar signs
PHASE_CMAP, STAIN_CMAP = "gray", "magma"
MISSING: dict[str, Any] = {"facecolor": "0.93", "edgecolor": "0.7", "hatch": "////", "linewidth": 0}
DISPLAY_PERCENTILES = (0.5, 99.8)
_OTHER_UNIT = 2.0  # ratio of spreads from which the truth is evidently in another unit than a prediction
RECOMMENDED = "motion"


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """Colour, marker and line of a method, the same in every figure."""

    colour: str
    marker: str
    linestyle: str = "-"
    linewidth: float = 1.0


_METHOD_STYLES = {
    RAW: MethodStyle("#000000", "o"),
    "window": MethodStyle("#E69F00", "s"),
    "savgol": MethodStyle("#0072B2", "^"),
    "median": MethodStyle("#56B4E9", "v"),
    RECOMMENDED: MethodStyle("#D55E00", "*", linewidth=1.9),
    "causal": MethodStyle("#CC79A7", "P"),
    TRUTH: MethodStyle("#009E73", "D", "--", 1.3),
    PHASE: MethodStyle("#7F7F7F", "X", ":", 1.3),
}
_SPARE_STYLES = (
    MethodStyle("#8C6D1F", "<", "-."),
    MethodStyle("#4D4D9F", ">", "-."),
    MethodStyle("#005F45", "p", "-."),
)


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """Return the style of each method: fixed for known methods, the next spare one for others."""
    spare = cycle(_SPARE_STYLES)
    return {method: _METHOD_STYLES.get(method) or next(spare) for method in dict.fromkeys(methods)}


def style_axes(axes: Axes) -> None:
    """Set thin spines and ticks, and small tick labels."""
    axes.tick_params(labelsize=SMALL_SIZE, width=0.6, length=2.5)
    axes.spines[:].set_linewidth(0.6)


def style_colour_bar(bar: Colorbar, label: str) -> None:
    """Label a colour bar, and style its axes."""
    bar.set_label(label, **PLAIN_TEXT)
    style_axes(bar.ax)


def frame_locator() -> MaxNLocator:
    """Return a tick locator for frame numbers, at integers only."""
    return MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10])


def display_window(stacks: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the lower and the upper display limit shared by images: percentiles of all their finite values."""
    values = np.concatenate([stack[np.isfinite(stack)] for stack in stacks])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, DISPLAY_PERCENTILES)
    return float(low), float(high) if high > low else float(low) + 1.0


def display_windows(
    movies: Mapping[str, Sequence[NDArray[np.float32]]],
) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    """Return the display window that movies share, and that of each one, by name.

    They are the same, but for a truth in evidently another unit, as that of a network which was trained on normalised
    targets: if the spread of its pixels differs from that of all others by more than a factor of two, it has its own.
    """
    others = [image for name, images in movies.items() if name != TRUTH for image in images]
    everything = [image for images in movies.values() for image in images]
    if TRUTH not in movies or not others:
        shared = display_window(everything)
        return shared, dict.fromkeys(movies, shared)
    predicted, truth = display_window(others), display_window(movies[TRUTH])
    ratio = (truth[1] - truth[0]) / (predicted[1] - predicted[0])
    if 1 / _OTHER_UNIT <= ratio <= _OTHER_UNIT:
        shared = display_window(everything)
        return shared, dict.fromkeys(movies, shared)
    return predicted, dict.fromkeys(movies, predicted) | {TRUTH: truth}


def show_image(
    axes: Axes,
    image: NDArray[np.float32],
    window: tuple[float, float],
    cmap: str,
    *,
    label: bool = True,
    **options: Any,
) -> AxesImage:
    """Draw an image, (Y, X) float32; pixels that are not finite are hatched, and an empty image may be labelled."""
    finite = np.isfinite(image)
    if not finite.all():
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=-1, **MISSING))
    if label and not finite.any():
        add_text(axes, 0.5, 0.5, "no frame", va="center", bbox={"facecolor": "0.93", "edgecolor": "none", "pad": 1.5})
    masked = np.ma.masked_where(~finite, image)
    options = {"interpolation": "nearest"} | options
    return axes.imshow(masked, cmap=cmap, vmin=window[0], vmax=window[1], **options)


def add_text(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Add small text at a position in axes coordinates, horizontally centred by default."""
    defaults: dict[str, Any] = {
        "ha": "center",
        "fontsize": SMALL_SIZE,
        "transform": axes.transAxes,
        "parse_math": False,
    }
    axes.text(x, y, text, **defaults | options)


def scale_bar_length(width: int, pixel_size: float) -> float:
    """Return a round length in micrometres, at most a quarter of an image that is `width` pixels wide."""
    longest = width * pixel_size / 4
    power = 10.0 ** np.floor(np.log10(longest))
    return float(power * max((step for step in (1, 2, 5) if step * power <= longest), default=1))


def add_scale_bar(axes: Axes, width: int, pixel_size: float) -> None:
    """Draw a labelled scale bar in an image that is `width` pixels wide; `pixel_size` is in micrometres."""
    length = scale_bar_length(width, pixel_size)
    start, stop = 0.92 - length / pixel_size / width, 0.92
    edge = [withStroke(linewidth=1.2, foreground="black")]
    axes.plot(
        [start, stop], [0.07, 0.07], transform=axes.transAxes, color="white", linewidth=2, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=3, foreground="black")],
    )  # fmt: skip
    # Right-aligned, because the label may be longer than the bar.
    add_text(axes, stop, 0.1, f"{length:g} µm", ha="right", va="bottom", color="white", path_effects=edge)


def format_number(value: float) -> str:
    """Format a number in a few characters, such as 0.025, 1.5e5 or 6e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        text = f"{value:.4g}"
    else:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, slots=True)
class PanelGrid:
    """Grid of panels at fixed positions, in inches; much faster than a constrained layout.

    Attributes
    ----------
    figure
        Figure to which the panels are added.
    lefts, bottoms
        Left edge of each column and lower edge of each row, from the top row down.
    widths
        Width of each column.
    height
        Height of the rows.
    """

    figure: Figure
    lefts: Sequence[float]
    bottoms: Sequence[float]
    widths: Sequence[float]
    height: float

    def add_panel(self, row: int, column: int) -> Axes:
        """Add a panel without ticks and spines."""
        axes = self.add_axes(self.lefts[column], self.bottoms[row], self.widths[column], self.height)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def add_title(self, row: int, column: int, text: str) -> None:
        """Add a title above a panel."""
        size = self.figure.get_size_inches()
        x = (self.lefts[column] + self.widths[column] / 2) / size[0]
        y = (self.bottoms[row] + self.height + 0.04) / size[1]
        self.figure.text(x, y, text, ha="center", va="bottom", **PLAIN_TEXT)

    def add_side_title(self, text: str) -> None:
        """Add a vertical title to the left of all rows."""
        size = self.figure.get_size_inches()
        x = (self.lefts[0] - 0.05) / size[0]
        y = (self.bottoms[-1] + self.bottoms[0] + self.height) / 2 / size[1]
        self.figure.text(x, y, text, ha="right", va="center", rotation=90, **PLAIN_TEXT)

    def add_colour_bar(self, shown: AxesImage, first: int, last: int, label: str) -> None:
        """Add a colour bar of an image to the right of rows `first` to `last`."""
        bottom = self.bottoms[last]
        height = self.bottoms[first] + self.height - bottom
        inset = min(height / 4, max(0.06, (height - 2.2) / 2))  # long bars are hard to read
        left = self.lefts[-1] + self.widths[-1] + 0.06
        axes = self.add_axes(left, bottom + inset, 0.09, height - 2 * inset, label="<colorbar>")
        bar = self.figure.colorbar(shown, cax=axes)
        style_colour_bar(bar, label)
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
        bar.ax.yaxis.set_major_formatter(lambda value, _: format_number(value))

    def add_axes(self, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
        """Add axes at a position in inches."""
        size = self.figure.get_size_inches()
        return self.figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]), **options)


def format_percent(fraction: float) -> str:
    """Format a fraction as a percentage without the sign; a small one is "<1", not "0"."""
    return "<1" if 0 < fraction < 0.005 else f"{100 * fraction:.0f}"


def wrap_text(text: str, width: float, size: float, max_lines: int) -> list[str]:
    """Wrap text of a font size in points to a width in inches, at word boundaries if possible; truncate the rest."""
    lines: list[str] = []
    while text and len(lines) < max_lines:
        fits = max(1, bisect_right(range(1, len(text) + 1), width, key=lambda end: text_width(text[:end], size)))
        if fits < len(text):
            breaks = [place + 1 for place in range(fits) if text[place] in " ._/-" and place > fits / 3]
            fits = breaks[-1] if breaks else fits
        lines.append(text[:fits].strip())
        text = text[fits:].lstrip()
    if text:
        lines[-1] = lines[-1][:-2] + "\N{HORIZONTAL ELLIPSIS}"
    return lines


def text_width(text: str, size: float) -> float:
    """Return the width of a text in inches, plus a margin of 6 % for rendering at low resolution."""
    return (
        1.06 / 72 * float(TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0])
    )
