"""The options of the command ``simulate``."""

from pathlib import Path
from typing import Any

import pytest

from image_translation.cli import main
from image_translation.data import simulated
from image_translation.simulation.spec import MovieSpec


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ([], {"flicker": 1.0}),
        (["--flicker", "0"], {"flicker": 0.0}),
        (["--noise", "0.1"], {"flicker": 1.0, "noise": 0.1}),
        (["--stage-jitter", "2"], {"flicker": 0.0, "stage_jitter": 2.0}),
        (["--flicker", "1", "--focus-jitter", "0.2"], {"flicker": 1.0, "focus_jitter": 0.2}),
        (
            ["--motion", "stream", "--optics", "reconstructed", "--cells", "domes", "--detaching", "1"],
            {"flicker": 1.0, "motion": "stream", "optics": "reconstructed", "cells": "domes", "detaching": 1.0},
        ),
        (["--planes", "9", "--plane-spacing", "1.5"], {"flicker": 1.0, "planes": 9, "plane_spacing": 1.5}),
        (["--texture-jitter", "1", "--gain-jitter", "0.1"], {"texture_jitter": 1.0, "gain_jitter": 0.1}),
    ],
)
def test_options_are_fields_and_a_cause_of_flicker_comes_alone(
    arguments: list[str], fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    specs: list[MovieSpec] = []
    monkeypatch.setattr(simulated, "write_simulated_movie", lambda spec, _path: specs.append(spec))
    assert main(["simulate", "-o", str(tmp_path / "movie.ome.zarr"), *arguments]) == 0
    assert specs == [MovieSpec(**{"flicker": 0.0} | fields)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size", "1000000x1000000"], 2, "a frame of 1000000 x 1000000 pixels: needs"),
        (["--planes", "1000000000"], 2, "a frame of 256 x 256 pixels in 1000000000 planes: needs"),
        (["--frames", "1000000000"], 2, "GiB are free; simulate fewer or smaller frames"),
        (["--frames", "20000000000", "--positions", "9"], 2, "GiB are free; simulate fewer or smaller frames"),
    ],
)
def test_what_cannot_fit_is_refused_before_it_begins(
    arguments: list[str], code: int, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["simulate", "-o", str(tmp_path / "movie.ome.zarr"), *arguments]) == code
    assert message in caplog.messages[-1]
    assert not list(tmp_path.iterdir())
