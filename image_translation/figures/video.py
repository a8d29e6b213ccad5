"""A movie of movies: phase, truth and every method side by side, with their names, as an MP4 for any browser."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.errors import DataError
from image_translation.figures.style import RECOMMENDED

WIDTH, HEIGHT = 1600, 1200  # pixels, at most
PANEL = 520  # pixels, at most: width of a panel
GAP, LABEL, HEADER = 8, 28, 32  # pixels: between panels, above each of them, above all
DPI = 100
RATE = 8  # frames per second
MEGABYTES = 5  # that a movie may have; it becomes coarser then
GROUND, INK = "#15171A", "#F2F2F2"
# Azure and orange make white, and are told apart with any colour vision. More channels than these are not shown.
COLOURS = ((0.1, 0.55, 1.0), (1.0, 0.5, 0.05), (0.0, 0.75, 0.45))
COLOUR_NAMES = ("blue", "orange", "green")
# H.264 is what every browser plays; the others are for builds of FFmpeg without it.
ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "faster", "crf": "20"}),
    ("libopenh264", {}),
    ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30"}),
    ("mpeg4", {"qscale": "4"}),
)

_Text = tuple[float, float, str, dict[str, Any]]


def grey(image: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Turn an image (Y, X) float32 into a grey picture (Y, X, 3), white at the upper end of the display window."""
    return np.repeat(_scaled(image, window)[..., np.newaxis], 3, axis=2)


def composite(image: NDArray[np.float32], windows: Sequence[tuple[float, float]]) -> NDArray[np.uint8]:
    """Turn channels into one picture, each in a colour of its own, or in grey if there is only one.

    Parameters
    ----------
    image
        Image of shape (C, Y, X), float32; channels that there is no colour for are left out.
    windows
        Values of each channel that are black and full colour.

    Returns
    -------
    NDArray[np.uint8]
        Picture of shape (Y, X, 3).
    """
    if len(image) == 1:
        return grey(image[0], windows[0])
    picture = np.zeros((*image.shape[1:], 3), dtype=np.float32)
    for channel, window, colour in zip(image, windows, COLOURS, strict=False):
        picture += _scaled(channel, window)[..., np.newaxis] * np.asarray(colour, dtype=np.float32)
    return np.minimum(picture, 255).astype(np.uint8)


def write_movie(
    path: Path,
    names: Sequence[str],
    size: tuple[int, int],
    pictures: Iterable[tuple[str, Mapping[str, NDArray[np.uint8]]]],
    *,
    n_frames: int,
    legend: str = "",
) -> None:
    """Write movies side by side as one; only one frame at a time is in memory.

    Parameters
    ----------
    path
        File to write.
    names
        Of the movies, in the order of reading.
    size
        Height and width of their pictures, in pixels.
    pictures
        For each frame its title, and the picture (Y, X, 3) of each movie by name. A movie that is not there is hatched.
    n_frames
        How many there will be, from which follows how many bytes each may have.
    legend
        What the colours mean, in the upper right corner.

    Raises
    ------
    DataError
        If no encoder is there.
    """
    layout = _Layout(names, size, legend)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        stream = _add_stream(file, layout.ground.shape, n_frames)
        for title, shown in pictures:
            frame = av.VideoFrame.from_ndarray(layout.draw(title, shown), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


class _Layout:
    """Where the panels are, and all that stays the same: ground, names, legend."""

    def __init__(self, names: Sequence[str], size: tuple[int, int], legend: str) -> None:
        columns = {1: 1, 2: 2, 4: 2}.get(len(names), 3 if len(names) <= 6 else 4)
        rows = -(-len(names) // columns)
        room = (HEIGHT - HEADER) / rows - LABEL - GAP, (WIDTH - GAP) / columns - GAP
        scale = min(room[0] / size[0], min(room[1], PANEL) / size[1])
        self._size = (max(16, round(size[0] * scale)), max(16, round(size[1] * scale)))
        height, width = self._size
        self._corners = {}
        for number, name in enumerate(names):
            row, column = divmod(number, columns)
            y = HEADER + row * (height + LABEL + GAP) + LABEL
            self._corners[name] = (y, GAP + column * (width + GAP))
        whole = (HEADER + rows * (height + LABEL + GAP), max(360, columns * (width + GAP) + GAP))
        self._shape = tuple(-(-side // 2) * 2 for side in whole)  # the encoder wants even sizes
        texts: list[_Text] = [
            (x + 2, y - LABEL // 2, name, {"weight": "bold" if name == RECOMMENDED else "normal"})
            for name, (y, x) in self._corners.items()
        ]
        self.ground = _draw_texts(self._shape, [*texts, (self._shape[1] - GAP, HEADER // 2, legend, {"ha": "right"})])
        self._hatched = _hatched(self._size)

    def draw(self, title: str, pictures: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Draw a frame, (height, width, 3) uint8."""
        canvas = self.ground.copy()
        room = (HEADER, self._shape[1] // 2)
        canvas[: room[0], : room[1]] = _draw_texts(room, [(GAP + 2, HEADER // 2, title, {})])
        height, width = self._size
        for name, (y, x) in self._corners.items():
            picture = pictures.get(name)
            canvas[y : y + height, x : x + width] = self._hatched if picture is None else _resized(picture, self._size)
        return canvas


def _scaled(image: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    scaled = (np.nan_to_num(image, nan=low) - low) * (255 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if picture.shape[:2] == size:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=how), dtype=np.uint8)


def _hatched(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw what stands for a frame that is not there, with words."""
    y, x = np.indices(size)
    stripes = np.where((x + y) % 16 < 2, 95, 60).astype(np.uint8)
    picture = np.repeat(stripes[..., np.newaxis], 3, axis=2)
    if size[0] < 2 * LABEL or size[1] < 90:
        return picture
    words = _draw_texts((LABEL, 84), [(42, LABEL // 2, "no frame", {"ha": "center"})])
    top, left = (size[0] - words.shape[0]) // 2, (size[1] - words.shape[1]) // 2
    picture[top : top + words.shape[0], left : left + words.shape[1]] = words
    return picture


def _draw_texts(shape: Sequence[int], texts: Iterable[_Text]) -> NDArray[np.uint8]:
    """Draw texts on the ground, (height, width, 3) uint8, at places x, y in pixels."""
    height, width = shape
    figure = Figure((width / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    canvas = FigureCanvasAgg(figure)
    for x, y, text, options in texts:
        look: dict[str, Any] = {"va": "center_baseline", "fontsize": 12.5, "color": INK, "parse_math": False} | options
        figure.text(x / width, 1 - y / height, text, **look)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:height, :width, :3].copy()  # type: ignore[no-untyped-call]


def _add_stream(file: Any, shape: tuple[int, ...], n_frames: int) -> Any:
    for name, options in ENCODERS:
        try:
            codec = av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        stream = file.add_stream(codec.name, rate=RATE, options=dict(options))
        stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], "yuv420p"
        stream.time_base = Fraction(1, RATE)
        most = int(MEGABYTES * 8e6 / max(2.0, n_frames / RATE))  # bits per second
        if name == "libx264":
            stream.options |= {"maxrate": str(most), "bufsize": str(most)}
        else:
            stream.bit_rate = most // 2
        return stream
    raise DataError("FFmpeg, as PyAV brings it, has no encoder for an MP4; install another build of av")
