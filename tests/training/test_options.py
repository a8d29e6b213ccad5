"""Options of a training: checks, rounds, and agreement with the command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from image_translation.cli.commands import main
from image_translation.errors import UsageError
from image_translation.training.options import TrainOptions

VALID = TrainOptions("simulated", ("Phase3D",), ("Nuclei",), Path("no/such/place"))


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"source": ()}, "--source : give one or more channels"),
        ({"target": ("Nuclei", "Nuclei")}, "--target Nuclei Nuclei: give one or more channels, each once"),
        ({"target": ("Phase3D",)}, "--target Phase3D: is also a source"),
        ({"target": ("DAPI",)}, "--target DAPI: simulated fields need Phase3D on one side, and Nuclei and Membrane"),
        ({"source": ("Nuclei",), "target": ("Membrane",)}, "simulated fields need Phase3D on one side"),
        ({"steps": 0}, "--steps 0: must be 1 or more"),
        ({"round_steps": -3}, "--round -3: must be 1"),
        ({"round_steps": 0}, "--round 0: must be 1"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"devices": 0}, "--devices 0"),
        ({"patience": 0}, "--patience 0"),
        ({"seed": -1}, "--seed and --workers must be 0 or more"),
        ({"patch": 200}, "--patch 200: must be a multiple of 16"),
        ({"patch": 288}, "--patch 288: simulated fields have only 256 pixels"),
        ({"patch": 160}, "--patch 160: MS-DSSIM has five scales and needs patches of at least 176"),
        ({"stack": 1}, "--stack 1: must be 2 planes or more; leave it out for single planes"),
        ({"stack": 5, "patch": 208}, "--patch 208: must be a multiple of 32 pixels with --stack"),
        ({"stack": 5, "patch": 160}, "--patch 160: MS-DSSIM has five scales and needs patches of at least 192"),
        ({"rate": 0.0}, "--rate 0: must lie between 0 and 1"),
        ({"loss": (0.0, 0.0, 0.0)}, "--loss 0 0 0: weights"),
        ({"loss": (1.0, -1.0, 0.0)}, "--loss 1 -1 0: weights"),
        ({"normalization": "zscore"}, "--normalization zscore: must be one of"),
        ({"size": "huge"}, "--size huge: must be one of small, full"),
        ({"augmentation": "wild"}, "--augmentation wild: must be one of none, weak, strong"),
        ({"initial": "no/such.ckpt"}, "no/such.ckpt"),
        ({"data": "no/such/store"}, "no/such/store"),
        ({"positions": ("A/1/0",)}, "simulated data have no positions"),
        ({"output": Path(__file__)}, "is a file; give a directory"),
    ],
)
def test_error_names_the_value_and_the_rule(invalid, message):
    VALID.check()
    with pytest.raises(UsageError) as caught:
        replace(VALID, **invalid).check()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "round_steps", "expected"),
    [(4000, None, (20, 200)), (30, None, (15, 2)), (10, 4, (3, 4)), (3, 100, (1, 3))],
)
def test_steps_are_rounded_up_to_complete_rounds(steps, round_steps, expected):
    options = replace(VALID, steps=steps, round_steps=round_steps)
    assert (options.rounds, options.steps_per_round) == expected
    assert options.request()["steps"] >= steps


def test_small_patches_are_allowed_without_ms_dssim():
    replace(VALID, patch=64, loss=(0.5, 0.5, 0.0)).check()


def test_stacks_are_in_the_request_only_where_they_are_asked_for():
    assert "stack" not in VALID.request()
    assert VALID.request()["z"] == "middle"
    stacks = replace(VALID, stack=5).request()
    assert (stacks["stack"], stacks["z"]) == (5, "all")


def test_command_line_has_the_defaults_of_the_options(monkeypatch):
    seen = []

    def stop(options):
        seen.append(options)
        raise UsageError("stop")

    monkeypatch.setattr(TrainOptions, "check", stop)
    assert main(["train", "simulated", "--source", "Phase3D", "--target", "Nuclei", "-o", "no/such/place"]) == 2
    assert seen == [VALID]
