"""The regime of validity: an image disturbed more and more, and how far the prediction still holds."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from image_translation.errors import UsageError
from image_translation.explorer.inspector import NetworkInput
from image_translation.explorer.perturbation import DISTURBANCES
from image_translation.explorer.validity import range_of_validity, strengths, sweep
from image_translation.explorer.validity_figures import plot_trials, plot_validity


class Copy:
    """A network whose prediction is its input."""

    spec = SimpleNamespace(output_channels=("Nuclei",))

    def see(self, shown):
        return SimpleNamespace(prediction=shown.image)


@pytest.fixture
def shown():
    image = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    return NetworkInput(image, ("Phase3D",), image)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_strengths_cover_what_makes_sense_and_hold_the_neutral_one(name):
    disturbance = DISTURBANCES[name]
    found = strengths(disturbance, 5)
    assert found == tuple(sorted(found))
    assert (found[0], found[-1]) == (disturbance.least, disturbance.most)
    assert disturbance.neutral in found


def test_undisturbed_it_holds_and_more_is_worse(shown):
    trials = sweep(Copy(), shown, DISTURBANCES["noise"], (0.0, 0.5, 1.0, 2.0))
    found = [trial.pearson[0] for trial in trials]
    assert found[0] == pytest.approx(1)
    np.testing.assert_allclose(found, [1 / np.sqrt(1 + s**2) for s in (0.0, 0.5, 1.0, 2.0)], atol=0.03)


@pytest.mark.parametrize("name", ["shift", "magnification"])
def test_the_truth_moves_with_the_image(shown, name):
    assert all(trial.pearson[0] > 0.999 for trial in sweep(Copy(), shown, DISTURBANCES[name]))


@pytest.mark.parametrize("name", ["contrast", "brightness"])
def test_the_truth_keeps_its_values(shown, name):
    for trial in sweep(Copy(), shown, DISTURBANCES[name]):
        assert trial.truth is shown.truth


def test_without_a_truth_there_is_nothing_to_measure(shown):
    with pytest.raises(UsageError, match="the truth is not known: the movie has no channels Nuclei"):
        sweep(Copy(), NetworkInput(shown.image, ("Phase3D",), None), DISTURBANCES["blur"])


def test_the_range_reaches_to_the_first_failure_on_both_sides():
    trials = [SimpleNamespace(strength=s, pearson=(p,)) for s, p in enumerate((0.9, 0.1, 0.8, 0.9, 0.87, 0.2, 0.9))]
    assert range_of_validity(trials, 0, neutral=3) == (3, 4)
    assert range_of_validity(trials, 0, neutral=3, kept=0.85) == (2, 4)
    assert range_of_validity(trials, 0, neutral=3, kept=0.0) == (0, 6)


def test_figures_have_a_panel_for_each_disturbance_and_a_column_for_each_strength(shown):
    trials = {name: sweep(Copy(), shown, DISTURBANCES[name], strengths(DISTURBANCES[name], 3)) for name in DISTURBANCES}
    figure = plot_validity(trials, ["$Nuclei"])
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == list(DISTURBANCES)
    pictures = plot_trials(trials["blur"], 0, "$Nuclei")
    assert isinstance(pictures, Figure)
    assert len(pictures.axes) == 3 * len(trials["blur"])
    for drawn in (figure, pictures):
        drawn.canvas.draw()
