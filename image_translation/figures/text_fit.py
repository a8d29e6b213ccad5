"""Words that fit the room there is on a figure."""

from bisect import bisect_right

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath


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
