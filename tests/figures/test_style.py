import pytest

from image_translation.figures.style import _SPARE_STYLES, RECOMMENDED, format_number, method_styles


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
