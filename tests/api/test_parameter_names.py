"""Errors of the checks that Python shares with the commands name parameters, not options."""

import pytest

from image_translation.api.parameter_names import parameter_names
from image_translation.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("of_the_command", "in_python"),
    [
        ("--z 7 is not in array", "z 7 is not in array"),
        ("--statistics-window 2: must be odd", "statistics_window 2: must be odd"),
        ("needs --statistics-over timepoint", "needs statistics_over timepoint"),
        ("leave it out of --methods", "leave it out of smooth"),
        ("--keep-units: applies to", "rescale: applies to"),
        ("a--b.tif -- lost: my--z", "a--b.tif -- lost: my--z"),
    ],
)
@pytest.mark.parametrize("kind", [UsageError, DataError])
def test_options_become_parameters(kind: type[UsageError | DataError], of_the_command: str, in_python: str) -> None:
    @parameter_names()
    def fail() -> None:
        raise kind(of_the_command) from OSError("disk")

    with pytest.raises(kind) as raised:
        fail()
    assert str(raised.value) == in_python
    assert isinstance(raised.value.__cause__, OSError)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ValueError, match="--z"), parameter_names():
        raise ValueError("--z")
