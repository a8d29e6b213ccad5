"""The look that all figures share: sizes, colours, and how an image with holes is shown.

Figures are at most 180 mm wide with type of 7 to 8 points, and the colours of the methods can be told apart with any
colour vision (Okabe and Ito 2008, Color Universal Design); each has its own marker and line style, too.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextToPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.metrics.rows import PHASE, RAW, TRUTH

WIDTH = 180 / 25.4  # inches
TITLE_TEXT, TEXT, SMALL = 9, 8, 7  # points
PLAIN: dict[str, Any] = {"fontsize": TEXT, "parse_math": False}  # names may hold dollar signs
PHASE_COLOURS, STAIN_COLOURS = "gray", "magma"
DISPLAY_PERCENTILES = (0.5, 99.8)
RECOMMENDED = "motion"


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn in every figure."""

    colour: str
    marker: str
    line: str = "-"
    width: float = 1.0


_LOOKS = {
    RAW: Look("#000000", "o"),
    "window": Look("#E69F00", "s"),
    "savgol": Look("#0072B2", "^"),
    "median": Look("#56B4E9", "v"),
    RECOMMENDED: Look("#D55E00", "*", width=1.9),
    "causal": Look("#CC79A7", "P"),
    TRUTH: Look("#009E73", "D", "--", 1.3),
    PHASE: Look("#7F7F7F", "X", ":", 1.3),
}
_OTHER_LOOKS = (Look("#8C6D1F", "<", "-."), Look("#4D4D9F", ">", "-."), Look("#005F45", "p", "-."))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Return the look of each method; one that is known looks the same everywhere."""
    others = cycle(_OTHER_LOOKS)
    return {method: _LOOKS.get(method) or next(others) for method in dict.fromkeys(methods)}


def style(axes: Axes) -> None:
    """Give a panel thin lines and small numbers."""
    axes.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    axes.spines[:].set_linewidth(0.6)


def frame_ticks() -> MaxNLocator:
    """Return ticks at whole frames."""
    return MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10])


def display_window(stacks: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the darkest and the brightest value that are shown of all images together."""
    values = np.concatenate([stack[np.isfinite(stack)] for stack in stacks])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, DISPLAY_PERCENTILES)
    return float(low), float(high) if high > low else float(low) + 1.0


def show(
    axes: Axes, image: NDArray[np.float32], window: tuple[float, float], colours: str, **options: Any
) -> AxesImage:
    """Draw an image, (Y, X) float32, over a hatched ground that shows through where pixels are not finite."""
    finite = np.isfinite(image)
    if not finite.all():
        ground: dict[str, Any] = {
            "facecolor": "0.93",
            "edgecolor": "0.7",
            "hatch": "////",
            "linewidth": 0,
            "zorder": -1,
        }
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, **ground))
    if not finite.any():
        write(axes, 0.5, 0.5, "no frame", va="center", bbox={"facecolor": "0.93", "edgecolor": "none", "pad": 1.5})
    masked = np.ma.masked_where(~finite, image)
    options = {"interpolation": "nearest"} | options
    return axes.imshow(masked, cmap=colours, vmin=window[0], vmax=window[1], **options)


def write(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write small text at a place in units of the panel, centred if not told otherwise."""
    look: dict[str, Any] = {"ha": "center", "fontsize": SMALL, "transform": axes.transAxes, "parse_math": False}
    axes.text(x, y, text, **look | options)


def bar_length(width: int, pixel_size: float) -> float:
    """Return a round length in micrometres, about a quarter of an image that is `width` pixels wide."""
    wanted = width * pixel_size / 4
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(power * max((step for step in (1, 2, 5) if step * power <= wanted), default=1))


def add_scale_bar(axes: Axes, width: int, pixel_size: float) -> None:
    """Draw a bar of a round length, see `bar_length`, in an image that is `width` pixels wide."""
    length = bar_length(width, pixel_size)
    start, stop = 0.92 - length / pixel_size / width, 0.92
    edge = [withStroke(linewidth=1.2, foreground="black")]
    axes.plot(
        [start, stop], [0.07, 0.07], transform=axes.transAxes, color="white", linewidth=2, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=3, foreground="black")],
    )  # fmt: skip
    # To the right, because the text may be longer than the bar.
    write(axes, stop, 0.1, f"{length:g} µm", ha="right", va="bottom", color="white", path_effects=edge)


def short_number(value: float) -> str:
    """Write a number in few characters whatever its size, such as 0.025, 1.5e5 and 6e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        text = f"{value:.4g}"
    else:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid of panels at exact places, in inches; much quicker than a layout that is solved for.

    Attributes
    ----------
    lefts, bottoms
        Left edge of each column and lower edge of each row, the first row on top.
    widths
        Widths of the columns.
    height
        Height of a row.
    """

    figure: Figure
    lefts: Sequence[float]
    bottoms: Sequence[float]
    widths: Sequence[float]
    height: float

    def panel(self, row: int, column: int) -> Axes:
        """Make the panel of a row and a column, without ticks."""
        axes = self.place(self.lefts[column], self.bottoms[row], self.widths[column], self.height)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def title(self, row: int, column: int, text: str) -> None:
        """Write a title above a panel."""
        size = self.figure.get_size_inches()
        x = (self.lefts[column] + self.widths[column] / 2) / size[0]
        y = (self.bottoms[row] + self.height + 0.04) / size[1]
        self.figure.text(x, y, text, ha="center", va="bottom", **PLAIN)

    def side_title(self, text: str) -> None:
        """Write a title upwards, to the left of all rows."""
        size = self.figure.get_size_inches()
        x = (self.lefts[0] - 0.05) / size[0]
        y = (self.bottoms[-1] + self.bottoms[0] + self.height) / 2 / size[1]
        self.figure.text(x, y, text, ha="right", va="center", rotation=90, **PLAIN)

    def bar(self, shown: AxesImage, first: int, last: int, label: str, **options: Any) -> None:
        """Add a colour bar to the right of the rows from the first to the last."""
        bottom = self.bottoms[last]
        height = self.bottoms[first] + self.height - bottom
        inset = min(height / 4, max(0.06, (height - 2.2) / 2))  # long bars are hard to read
        place = (self.lefts[-1] + self.widths[-1] + 0.06, bottom + inset, 0.09, height - 2 * inset)
        bar = self.figure.colorbar(shown, cax=self.place(*place, label="<colorbar>"), **options)
        bar.set_label(label, **PLAIN)
        bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
        bar.ax.yaxis.set_major_formatter(lambda value, _: short_number(value))
        bar.outline.set_linewidth(0.6)

    def place(self, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
        """Add a panel at a place in inches."""
        size = self.figure.get_size_inches()
        return self.figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]), **options)


def percent(share: float) -> str:
    """Write a share in percent, without the sign; what is little is not said to be nothing."""
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def wrap(text: str, width: float, size: float, most: int) -> list[str]:
    """Break a text into lines of this many inches, between words where it can be, and leave out what is too much."""
    lines: list[str] = []
    while text and len(lines) < most:
        fits = max(1, bisect_right(range(1, len(text) + 1), width, key=lambda end: text_length(text[:end], size)))
        if fits < len(text):
            breaks = [place + 1 for place in range(fits) if text[place] in " ._/-" and place > fits / 3]
            fits = breaks[-1] if breaks else fits
        lines.append(text[:fits].strip())
        text = text[fits:].lstrip()
    if text:
        lines[-1] = lines[-1][:-2] + "\N{HORIZONTAL ELLIPSIS}"
    return lines


def text_length(text: str, size: float) -> float:
    """Return the length of a text in inches, with something to spare for pixels that are coarse."""
    return (
        1.06 / 72 * float(TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0])
    )
