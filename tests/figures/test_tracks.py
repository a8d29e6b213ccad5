import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from support.figure_helpers import draw, overlapping_texts, random_stack

from image_translation.figures.tracks import TrackRows, tracks_figure


def rows() -> TrackRows:
    """A nucleus that divides after frame 1, one that is missed in frame 2, and one that begins in frame 3."""
    lives = {1: (0, 1), 2: (0, 1, 3), 3: (2, 3), 4: (2, 3), 5: (3,)}
    places = sorted((t, track) for track, frames in lives.items() for t in frames)
    frame, track = np.array(places).T
    return TrackRows(
        frame, 10.0 * track, 5.0 + 4 * frame, track, np.where(np.isin(track, (3, 4)), 1, track), {3: 1, 4: 1}
    )


def test_tracks_are_drawn_in_the_colours_of_their_lineages() -> None:
    figure = draw(tracks_figure(random_stack(60, 80), 3, rows(), length=5, channel="Nuclei", pixel_size=0.5))
    image, bars = figure.axes
    (paths,) = [item for item in image.collections if isinstance(item, LineCollection)]
    ends = {
        tuple(path[-1]): to_hex(colour) for path, colour in zip(paths.get_segments(), paths.get_colors(), strict=True)
    }
    assert set(ends) == {(9, 10), (17, 20), (17, 30), (17, 40), (17, 50)}
    assert ends[17, 30] == ends[17, 40] == ends[9, 10] != ends[17, 20]
    daughters = [path for path in paths.get_segments() if tuple(path[-1]) in {(17, 30), (17, 40)}]
    assert all(tuple(path[0]) == (9, 10) for path in daughters)  # from where their mother was
    assert "frame 3" in image.get_title()
    assert bars.get_title() == "5 tracks, 1 division"
    assert overlapping_texts(figure) == []


def test_bars_have_gaps_and_mothers_lie_between_their_daughters() -> None:
    figure = draw(tracks_figure(random_stack(60, 80), 3, rows(), length=5, invalid=[4]))
    bars = figure.axes[1]
    (lines,) = [item for item in bars.collections if isinstance(item, LineCollection)]
    horizontal = {(a[0], b[0]): a[1] for a, b in lines.get_segments() if a[1] == b[1]}
    lives = {(round(a + 0.4), round(b - 0.4)): place for (a, b), place in horizontal.items()}
    assert {(0, 1), (3, 3), (2, 3)} == set(lives)
    places = sorted({(a[1], round(a[0] + 0.4), round(b[0] - 0.4)) for a, b in lines.get_segments() if a[1] == b[1]})
    assert places == [(0, 2, 3), (1, 0, 1), (2, 2, 3), (3, 0, 1), (3, 3, 3), (4, 3, 3)]
    assert bars.get_title().endswith("invalid frames in grey")


@pytest.mark.parametrize("shape", [(40, 200), (200, 40)])
def test_a_movie_without_nuclei_is_drawn(shape: tuple[int, int]) -> None:
    nothing = np.zeros(0)
    empty = TrackRows(nothing.astype(int), nothing, nothing, nothing.astype(int), nothing.astype(int), {})
    figure = draw(tracks_figure(random_stack(*shape), 0, empty, length=1, channel="Nuclei"))
    assert figure.axes[1].get_title() == "0 tracks, 0 divisions"
    assert overlapping_texts(figure) == []
