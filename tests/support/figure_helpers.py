"""Helpers for tests of figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from image_translation.figures import training
from image_translation.metrics.rows import Row
from image_translation.staining import run


def random_stack(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def draw(figure: Figure) -> Figure:
    """Render a figure, because many errors occur only then, and check its width."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.get_figwidth() <= 180 / 25.4 + 1e-6
    return figure


def overlapping_texts(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of overlapping texts, and texts that extend beyond the figure."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    undrawn = set()
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        beyond = [tick for tick in axis.majorTicks if not low <= tick.get_loc() <= high]
        undrawn |= {label for tick in beyond for label in (tick.label1, tick.label2)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in undrawn]
    boxes = [(text.get_text(), text.get_window_extent(renderer).padded(-1)) for text in texts]
    found = [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[:i] if one.overlaps(other)]
    width, height = figure.bbox.size
    return found + [(a, "outside") for a, one in boxes if one.x0 < 0 or one.y0 < 0 or one.x1 > width or one.y1 > height]


def panels_of(figure: Figure) -> list[Axes]:
    """Return the axes other than colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def is_hatched(axes: Axes) -> bool:
    return any(isinstance(patch, Rectangle) and patch.get_hatch() for patch in axes.patches)


def metric_rows(method: str, metric: str, numbers: Mapping[int, float], channel: str = "Nuclei") -> list[Row]:
    return [Row("0", method, channel, frame, metric, number) for frame, number in numbers.items()]


def draw_no_figures(patch: pytest.MonkeyPatch) -> None:
    """Let runs leave their figures out: a small movie is stained in a second, and drawn in ten."""
    patch.setattr(run, "write_figures", lambda *arguments, **_: arguments[-1].mkdir(exist_ok=True))


def empty_training_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures of a training empty: they take longer than a few steps of a small network."""
    for name in ("example_figure", "learning_curve_figure"):
        monkeypatch.setattr(training, name, lambda *_: Figure((1, 1)))
