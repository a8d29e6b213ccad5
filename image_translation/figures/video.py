"""Comparison video: phase, truth and all methods side by side, as an MP4 that browsers play."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import chain, islice
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

MAX_WIDTH, MAX_HEIGHT = 1600, 1200  # pixels
MAX_PANEL_WIDTH = 520  # pixels
MAX_MAGNIFICATION = 4  # of small fields, unless their panels were narrower than the next number
MIN_PANEL_WIDTH = 200  # pixels
GAP, LABEL_HEIGHT, HEADER_HEIGHT = 8, 28, 32  # pixels: between panels, above each of them, above all
DPI = 100
FRAME_RATE = 8  # frames per second
MAX_MEGABYTES = 5  # approximate; determines the bit rate
QUALITY, WORST_QUALITY = 22, 51  # quantisers of H.264; 6 more about halve the size
TRIAL_FRAMES = 8  # from which the size is estimated
BACKGROUND, FOREGROUND = "#15171A", "#F2F2F2"
# Blue and orange add up to white, and are safe for colour-blind readers. Further channels are not shown.
CHANNEL_COLOURS = ((0.1, 0.55, 1.0), (1.0, 0.5, 0.05), (0.0, 0.75, 0.45))
CHANNEL_COLOUR_NAMES = ("blue", "orange", "green")
# Every browser plays H.264; the other encoders are for builds of FFmpeg without libx264.
# x264 with one thread and one quantiser for all, because what it does in several threads, or to limit the bit rate, is
# not the same in each run; few frames in memory at a time.
ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "veryfast", "threads": "1", "x264-params": "rc-lookahead=5:bframes=0"}),
    ("libopenh264", {}),
    ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30"}),
    ("mpeg4", {"qscale": "4"}),
)

_Text = tuple[float, float, str, dict[str, Any]]


def grey_image(image: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Convert an image (Y, X) float32 to grey RGB (Y, X, 3) uint8, scaled to a display window."""
    return np.repeat(_to_uint8(image, window)[..., np.newaxis], 3, axis=2)


def composite_image(image: NDArray[np.float32], windows: Sequence[tuple[float, float]]) -> NDArray[np.uint8]:
    """Merge channels into an RGB image, each in its own colour; a single channel is grey.

    Parameters
    ----------
    image
        Image of shape (C, Y, X), float32; channels beyond the number of colours are ignored.
    windows
        Display window of each channel.

    Returns
    -------
    NDArray[np.uint8]
        RGB image of shape (Y, X, 3).
    """
    if len(image) == 1:
        return grey_image(image[0], windows[0])
    merged = np.zeros((*image.shape[1:], 3), dtype=np.float32)
    for channel, window, colour in zip(image, windows, CHANNEL_COLOURS, strict=False):
        merged += _to_uint8(channel, window)[..., np.newaxis] * np.asarray(colour, dtype=np.float32)
    return np.minimum(merged, 255).astype(np.uint8)


def write_video(
    path: Path,
    names: Sequence[str],
    size: tuple[int, int],
    frames: Iterable[tuple[str, Mapping[str, NDArray[np.uint8]]]],
    *,
    n_frames: int,
    legend: str = "",
) -> None:
    """Write movies side by side as one video, frame by frame.

    Parameters
    ----------
    path
        File to write.
    names
        Names of the movies, in reading order.
    size
        Height and width of their images, in pixels.
    frames
        Title of each frame, and the RGB image (Y, X, 3) of each movie by name; panels of missing ones are hatched.
    n_frames
        Number of frames, which determines the quality, so that the file has `MAX_MEGABYTES` or less.
    legend
        Meaning of the colours, shown in the upper right corner.

    Raises
    ------
    DataError
        FFmpeg has no suitable encoder.
    """
    layout = _Layout(names, size, legend)
    drawn = (layout.draw(title, images) for title, images in frames)
    trial = list(islice(drawn, TRIAL_FRAMES))
    quantizer = _choose_quantizer(trial, n_frames)
    # With the protocol, because FFmpeg would take what is before a colon in the path for one.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(f"file:{path}", "w", format="mp4", options=options) as file:
        _encode(file, chain(trial, drawn), layout.background.shape, n_frames, quantizer)


def _choose_quantizer(trial: Sequence[NDArray[np.uint8]], n_frames: int) -> int:
    """Return a quantiser with which a film that goes on like its first frames is small enough."""
    quantizer = QUALITY
    while trial and quantizer < WORST_QUALITY:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as file:
            _encode(file, trial, trial[0].shape, n_frames, quantizer)
        excess = len(buffer.getvalue()) * max(1.0, n_frames / len(trial)) / (MAX_MEGABYTES * 1e6)
        if excess <= 1:
            break
        quantizer = min(WORST_QUALITY, quantizer + math.ceil(6 * math.log2(excess)))
    return quantizer


def _encode(
    file: Any, images: Iterable[NDArray[np.uint8]], shape: Sequence[int], n_frames: int, quantizer: int
) -> None:
    stream = _add_stream(file, shape, n_frames, quantizer)
    for image in images:
        file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    file.mux(stream.encode())


class _Layout:
    """Positions of the panels, and the parts that are the same in all frames: background, names, legend."""

    def __init__(self, names: Sequence[str], size: tuple[int, int], legend: str) -> None:
        columns = {1: 1, 2: 2, 4: 2}.get(len(names), 3 if len(names) <= 6 else 4)
        rows = -(-len(names) // columns)
        available = (MAX_HEIGHT - HEADER_HEIGHT) / rows - LABEL_HEIGHT - GAP, (MAX_WIDTH - GAP) / columns - GAP
        scale = min(available[0] / size[0], min(available[1], MAX_PANEL_WIDTH) / size[1])
        scale = min(scale, max(MAX_MAGNIFICATION, MIN_PANEL_WIDTH / size[1]))
        self._size = (max(16, round(size[0] * scale)), max(16, round(size[1] * scale)))
        height, width = self._size
        self._corners = {}
        for number, name in enumerate(names):
            row, column = divmod(number, columns)
            y = HEADER_HEIGHT + row * (height + LABEL_HEIGHT + GAP) + LABEL_HEIGHT
            self._corners[name] = (y, GAP + column * (width + GAP))
        shape = (HEADER_HEIGHT + rows * (height + LABEL_HEIGHT + GAP), max(360, columns * (width + GAP) + GAP))
        self._shape = tuple(-(-side // 2) * 2 for side in shape)  # encoders require even sizes
        texts: list[_Text] = [
            (x + 2, y - LABEL_HEIGHT // 2, name, {"weight": "bold" if name == RECOMMENDED else "normal"})
            for name, (y, x) in self._corners.items()
        ]
        self.background = _draw_texts(
            self._shape, [*texts, (self._shape[1] - GAP, HEADER_HEIGHT // 2, legend, {"ha": "right"})]
        )
        self._missing = _draw_missing_frame(self._size)

    def draw(self, title: str, images: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Draw a frame, (height, width, 3) uint8."""
        canvas = self.background.copy()
        header = (HEADER_HEIGHT, self._shape[1] // 2)
        canvas[: header[0], : header[1]] = _draw_texts(header, [(GAP + 2, HEADER_HEIGHT // 2, title, {})])
        height, width = self._size
        for name, (y, x) in self._corners.items():
            image = images.get(name)
            canvas[y : y + height, x : x + width] = self._missing if image is None else _resize(image, self._size)
        return canvas


def _to_uint8(image: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    shown = np.clip(np.nan_to_num(image, nan=low), low, high)  # first, because extreme values would overflow
    return np.clip((shown - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def _resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if image.shape[:2] == size:
        return image
    interpolation = cv2.INTER_AREA if image.shape[0] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=interpolation), dtype=np.uint8)


def _draw_missing_frame(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the placeholder of a missing frame: hatching and, where it fits, a label."""
    y, x = np.indices(size)
    stripes = np.where((x + y) % 16 < 2, 95, 60).astype(np.uint8)
    image = np.repeat(stripes[..., np.newaxis], 3, axis=2)
    if size[0] < 2 * LABEL_HEIGHT or size[1] < 90:
        return image
    label = _draw_texts((LABEL_HEIGHT, 84), [(42, LABEL_HEIGHT // 2, "no frame", {"ha": "center"})])
    top, left = (size[0] - label.shape[0]) // 2, (size[1] - label.shape[1]) // 2
    image[top : top + label.shape[0], left : left + label.shape[1]] = label
    return image


def _draw_texts(shape: Sequence[int], texts: Iterable[_Text]) -> NDArray[np.uint8]:
    """Draw texts at positions x, y in pixels on the background; return (height, width, 3) uint8."""
    height, width = shape
    # Slightly larger, because older Matplotlib rounds down, 977.9999 to 977, and encoders require even sizes.
    figure = Figure(((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    for x, y, text, options in texts:
        defaults: dict[str, Any] = {
            "va": "center_baseline",
            "fontsize": 12.5,
            "color": FOREGROUND,
            "parse_math": False,
        }
        figure.text(x / width, 1 - y / height, text, **defaults | options)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:height, :width, :3].copy()  # type: ignore[no-untyped-call]


def _add_stream(file: Any, shape: Sequence[int], n_frames: int, quantizer: int) -> Any:
    """Add a stream of the first available encoder; those without the quantiser get a bit rate."""
    for name, options in ENCODERS:
        try:
            codec = av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        stream = file.add_stream(codec.name, rate=FRAME_RATE, options=dict(options))
        stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE)
        if name == "libx264":
            stream.options |= {"qp": str(quantizer)}
        else:
            stream.bit_rate = int(MAX_MEGABYTES * 4e6 / max(2.0, n_frames / FRAME_RATE))  # per second
        return stream
    raise DataError("FFmpeg as built into PyAV has no encoder for MP4; install another build of av")
