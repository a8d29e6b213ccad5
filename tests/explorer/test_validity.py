"""Range of validity: accuracy of the prediction for perturbed images."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from image_translation.errors import UsageError
from image_translation.explorer.inspector import NetworkInput
from image_translation.explorer.perturbation import PERTURBATIONS
from image_translation.explorer.validity import (
    range_of_validity,
    sample_strengths,
    sweep,
    trial_figure,
    validity_figure,
)


class Identity:
    """A network whose prediction is its input."""

    spec = SimpleNamespace(output_channels=("Nuclei",))

    def run(self, network_input):
        return SimpleNamespace(prediction=network_input.image)


@pytest.fixture
def network_input():
    image = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    return NetworkInput(image, ("Phase3D",), image)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_strengths_cover_the_range_and_include_the_neutral_one(name):
    perturbation = PERTURBATIONS[name]
    found = sample_strengths(perturbation, 5)
    assert found == tuple(sorted(found))
    assert (found[0], found[-1]) == (perturbation.minimum, perturbation.maximum)
    assert perturbation.neutral in found


def test_the_correlation_falls_with_the_strength(network_input):
    trials = sweep(Identity(), network_input, PERTURBATIONS["noise"], (0.0, 0.5, 1.0, 2.0))
    found = [trial.pearson[0] for trial in trials]
    assert found[0] == pytest.approx(1)
    np.testing.assert_allclose(found, [1 / np.sqrt(1 + s**2) for s in (0.0, 0.5, 1.0, 2.0)], atol=0.03)


@pytest.mark.parametrize("name", ["shift", "magnification"])
def test_the_truth_is_transformed_with_the_image(network_input, name):
    assert all(trial.pearson[0] > 0.999 for trial in sweep(Identity(), network_input, PERTURBATIONS[name]))


@pytest.mark.parametrize("name", ["contrast", "brightness"])
def test_the_truth_is_not_changed(network_input, name):
    for trial in sweep(Identity(), network_input, PERTURBATIONS[name]):
        assert trial.truth is network_input.truth


def test_a_truth_is_required(network_input):
    with pytest.raises(UsageError, match="there is no truth: the movie lacks the channels Nuclei"):
        sweep(Identity(), NetworkInput(network_input.image, ("Phase3D",), None), PERTURBATIONS["blur"])


def test_the_range_reaches_to_the_first_failure_on_both_sides():
    trials = [SimpleNamespace(strength=s, pearson=(p,)) for s, p in enumerate((0.9, 0.1, 0.8, 0.9, 0.87, 0.2, 0.9))]
    assert range_of_validity(trials, 0, neutral=3) == (3, 4)
    assert range_of_validity(trials, 0, neutral=3, kept=0.85) == (2, 4)
    assert range_of_validity(trials, 0, neutral=3, kept=0.0) == (0, 6)


def test_figures_have_a_panel_for_each_perturbation_and_a_column_for_each_strength(network_input):
    trials = {
        name: sweep(Identity(), network_input, PERTURBATIONS[name], sample_strengths(PERTURBATIONS[name], 3))
        for name in PERTURBATIONS
    }
    figure = validity_figure(trials, ["$Nuclei"])
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == list(PERTURBATIONS)
    pictures = trial_figure(trials["blur"], 0, "$Nuclei")
    assert isinstance(pictures, Figure)
    assert len(pictures.axes) == 3 * len(trials["blur"])
    for drawn in (figure, pictures):
        drawn.canvas.draw()
