from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from support.figure_helpers import draw, is_hatched, overlapping_texts, panels_of, random_stack, texts_of

from image_translation.figures.orthogonal import Sections, orthogonal_figure
from image_translation.figures.style import display_window

VOXEL = (3, 10, 20)


def views(volumes: dict[str, np.ndarray], voxel: tuple[int, int, int] = VOXEL, **options: Any) -> Figure:
    sections = {name: Sections.through(volume, voxel) for name, volume in volumes.items()}
    return draw(orthogonal_figure(sections, "Nuclei", voxel=voxel, plane="plane 7", **options))


def pixels(axes: Axes) -> np.ndarray:
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def inches(axes: Axes) -> tuple[float, float]:
    box = axes.get_window_extent()
    return box.height / axes.figure.dpi, box.width / axes.figure.dpi


def test_sections_go_through_the_voxel() -> None:
    volume = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    found = Sections.through(volume, (1, 2, 3))
    np.testing.assert_array_equal(found.xy, volume[1])
    np.testing.assert_array_equal(found.xz, volume[:, 2])
    np.testing.assert_array_equal(found.yz, volume[:, :, 3])
    assert found.xy[2, 3] == found.xz[1, 3] == found.yz[1, 2] == volume[1, 2, 3]


def test_views_are_drawn_in_order_with_lines_through_the_voxel() -> None:
    volumes = {name: random_stack(8, 40, 60, seed=k) for k, name in enumerate(("truth", "raw", "motion"))}
    phase = Sections.through(random_stack(8, 40, 60, seed=9), VOXEL)
    figure = views(volumes, phase=phase, pixel_size=0.5)
    panels = panels_of(figure)
    assert len(panels) == 4 * 3
    assert [axes.get_title() for axes in panels[::3]] == ["phase", "truth", "raw", "motion"]
    assert panels[9].title.get_fontweight() == "bold"
    assert panels[0].get_ylabel() == "XY, plane 7"
    for volume, first in zip(volumes.values(), (3, 6, 9), strict=True):
        xy, yz, xz = panels[first : first + 3]
        np.testing.assert_array_equal(pixels(xy), volume[3])
        np.testing.assert_array_equal(pixels(yz), volume[:, :, 20].T)
        np.testing.assert_array_equal(pixels(xz), volume[:, 10])
        for axes, (row, column) in ((xy, (10, 20)), (yz, (10, 3)), (xz, (3, 20))):
            horizontal, vertical = axes.lines[:2]
            assert list(horizontal.get_ydata()) == [row, row]
            assert list(vertical.get_xdata()) == [column, column]
    assert texts_of(panels[9]) == ["5 µm"]  # a sixth of 30 µm
    assert overlapping_texts(figure) == []


@pytest.mark.parametrize(("depth", "spacing"), [(15, 2.5), (60, 0.5), (60, 2.0), (3, 1.0)])
def test_sections_have_the_scale_of_the_plane(depth: int, spacing: float) -> None:
    figure = views({"raw": random_stack(depth, 50, 80)}, (1, 10, 20), z_spacing=spacing)
    xy, yz, xz = panels_of(figure)
    scale = inches(xy)[0] / 50
    assert inches(xy) == pytest.approx((50 * scale, 80 * scale))
    assert inches(yz) == pytest.approx((50 * scale, depth * spacing * scale))
    assert inches(xz) == pytest.approx((depth * spacing * scale, 80 * scale))
    left, right = xy.get_window_extent(), yz.get_window_extent()
    assert (left.y0, left.y1) == pytest.approx((right.y0, right.y1))  # rows of YZ continue those of XY
    below = xz.get_window_extent()
    assert (left.x0, left.x1) == pytest.approx((below.x0, below.x1))
    assert below.y1 < left.y0 < left.y1
    assert overlapping_texts(figure) == []


def test_all_sections_but_those_of_the_phase_share_one_display_window() -> None:
    dim, bright = random_stack(8, 40, 40), 50 + random_stack(8, 40, 40, seed=1)
    phase = Sections.through(1e6 * random_stack(8, 40, 40, seed=2), VOXEL)
    figure = views({"raw": dim, "motion": bright}, phase=phase)
    limits = [axes.images[0].get_clim() for axes in panels_of(figure)]
    parts = [part for volume in (dim, bright) for part in Sections.through(volume, VOXEL).parts]
    assert set(limits[3:]) == {display_window(parts)}
    assert set(limits[:3]) == {display_window(phase.parts)}


def test_missing_planes_and_movies_are_hatched() -> None:
    some, none = random_stack(8, 40, 40), np.full((8, 40, 40), np.nan, np.float32)
    some[5] = np.nan
    panels = panels_of(views({"raw": some, "window": none}))
    assert [is_hatched(axes) for axes in panels] == [False, True, True, True, True, True]
    assert [texts_of(axes).count("no frame") for axes in panels[3:]] == [1, 0, 0]


@pytest.mark.parametrize("shape", [(3, 1, 1), (10, 300, 7), (400, 20, 20), (3, 7, 300)])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_any_shape_and_number_of_movies(shape: tuple[int, int, int], count: int) -> None:
    volumes = {f"m{k}": random_stack(*shape, seed=k) for k in range(count)}
    figure = views(volumes, (1, 0, 0), z_spacing=1e-3 if shape[0] == 10 else 5.0)
    assert len(panels_of(figure)) == 3 * count
    assert 0.5 < figure.get_figheight() < 30
