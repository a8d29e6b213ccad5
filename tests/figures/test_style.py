import numpy as np
import pytest

from image_translation.figures.style import (
    _SPARE_STYLES,
    RECOMMENDED,
    display_window,
    display_windows,
    format_number,
    method_styles,
)


def test_known_methods_are_those_of_the_options():
    from image_translation.staining import methods

    assert methods.RECOMMENDED == RECOMMENDED
    known = method_styles(methods.METHODS)
    assert set(known) == set(methods.METHODS)
    assert not {style.colour for style in known.values()} & {style.colour for style in _SPARE_STYLES}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.025, "0.025"),
        (-1.5, "-1.5"),
        (8000, "8000"),
        (150000, "1.5e5"),
        (-0.0006, "-6e-4"),
        (-3e-9, "-3e-9"),
    ],
)
def test_numbers_are_formatted_in_few_characters(value, text):
    assert format_number(value) == text.replace("-", "\N{MINUS SIGN}")


def test_a_truth_in_another_unit_has_a_window_of_its_own() -> None:
    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    shared, windows = display_windows({"raw": [ramp], "motion": [0.9 * ramp], "truth": [1.5 * ramp]})
    assert set(windows.values()) == {shared}
    assert shared[1] > 1
    shared, windows = display_windows({"raw": [7 * ramp], "motion": [6 * ramp], "truth": [ramp]})
    assert windows["raw"] == windows["motion"] == shared
    assert windows["truth"] == display_window([ramp]) != shared
    assert set(display_windows({"truth": [ramp]})[1].values()) == {display_window([ramp])}
