"""Fixtures: a small store to train on, options for it, and functions that import VisCy."""

import importlib
from importlib.util import find_spec

import numpy as np
import pytest
from support.checkpoints import NO_VISCY
from support.figure_helpers import draw_no_figures, empty_training_figures
from support.stores import write_plate

from image_translation.training.options import TrainOptions

CHANNELS = ("Phase3D", "Nuclei")


def pytest_pycollect_makemodule():
    """Skip these tests, which import Lightning, where it is not installed."""
    if find_spec("viscy") is None:
        pytest.skip(NO_VISCY)


@pytest.fixture(scope="session")
def plate(tmp_path_factory):
    """Five fields of two frames; the target is the inverted source, 1000 times as bright."""
    movies = {}
    for number in range(5):
        coarse = np.random.default_rng(number).normal(size=(2, 1, 1, 8, 8))
        image = np.kron(coarse, np.ones((6, 6))).astype(np.float32)
        movies[f"A/{number + 1}/0"] = np.concatenate([image, 5000 - 1000 * image], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "p.zarr", movies, channels=CHANNELS)


@pytest.fixture(scope="session")
def stacks(tmp_path_factory):
    """Five fields of one frame of four planes; the target is the inverted source of the plane below."""
    movies = {}
    for number in range(5):
        coarse = np.random.default_rng(number).normal(size=(1, 1, 5, 4, 4))
        image = np.kron(coarse, np.ones((1, 1, 1, 16, 16))).astype(np.float32)
        movies[f"A/{number + 1}/0"] = np.concatenate([image[:, :, 1:], 5000 - 1000 * image[:, :, :-1]], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "s.zarr", movies, channels=CHANNELS)


@pytest.fixture(scope="session")
def options_at(plate):
    """Options for a training of three short rounds into a directory."""
    return lambda output: TrainOptions(
        str(plate), CHANNELS[:1], CHANNELS[1:], output, patch=32, loss=(0.5, 0.5, 0.0), steps=6,
        round_steps=2, batch_size=2, rate=3e-3, device="cpu",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _empty_figures(monkeypatch):
    """Leave figures empty, which would take longer than all else; those of wider fixtures are real."""
    empty_training_figures(monkeypatch)
    draw_no_figures(monkeypatch)


@pytest.fixture
def options(options_at, tmp_path):
    return options_at(tmp_path / "out")


@pytest.fixture(scope="session")
def staining_module(network_class):
    return importlib.import_module("image_translation.training.lightning_module").StainingModule


@pytest.fixture(scope="session")
def train(network_class):
    """Plan and run a training."""
    plan = importlib.import_module("image_translation.training.plan")
    run = importlib.import_module("image_translation.training.run")
    return lambda options: run.train(plan.make_plan(options))
