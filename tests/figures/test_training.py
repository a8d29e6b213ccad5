import numpy as np
import pytest

from image_translation.figures.training import example_figure, learning_curve_figure


def history(count):
    return [
        {
            "step": 10.0 * n,
            "seconds": 1.0,
            "loss/train": 1 / n,
            "loss/validation": 1.2 / n + 0.01 * n**2,
            "pearson/$Nuclei": 1 - 1 / (n + 1),
            "pearson/Membrane": 0.5,
            "rate": 1e-3,
        }
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 2, 30])
def test_curves_show_every_validation_and_mark_the_best(count):
    figure = learning_curve_figure(history(count))
    losses, scores, rates = figure.axes
    train, held_out, best = losses.lines
    assert len(train.get_xdata()) == len(held_out.get_xdata()) == count
    assert best.get_ydata()[0] == min(held_out.get_ydata())
    assert len(scores.lines) == 2
    assert scores.get_legend().get_texts()[1].get_text() == "Membrane 0.500"
    assert len(rates.lines[0].get_xdata()) == count
    figure.canvas.draw()


def test_truth_and_prediction_share_a_display_window():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 32, 48)).astype(np.float32)
    example = {"source": truth[:1], "target": truth, "predicted": 2 * truth}
    figure = example_figure([example, example], ["Phase3D"], ["Nuclei", "Membrane"])
    assert len(figure.axes) == 10
    assert figure.axes[2].get_title() == "predicted, r = 1.000"
    true, predicted = (axes.images[0].get_clim() for axes in figure.axes[1:3])
    assert true == predicted
    figure.canvas.draw()
