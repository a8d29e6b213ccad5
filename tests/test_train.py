"""Training: patches that fit together, and a checkpoint that says what it expects and runs no code."""

import importlib
from importlib.resources import files

import numpy as np
import pytest
import torch

from image_translation.errors import UsageError
from image_translation.patches import Batches
from image_translation.simulate import Movie, MovieSpec

TINY = {"steps": 2, "batch_size": 1, "patch": 32, "pool": 2, "dims": (4, 8, 16, 32)}


def first_batch(direction, seed=0):
    return next(iter(Batches(direction, batch_size=3, patch=64, pool=2, seed=seed)))


@pytest.mark.parametrize(("direction", "inputs", "outputs"), [("phase2fluor", 1, 2), ("fluor2phase", 2, 1)])
def test_batches_have_the_layout_of_the_network(direction, inputs, outputs):
    batch = first_batch(direction)
    assert batch["source"].shape == (3, inputs, 1, 64, 64)
    assert batch["target"].shape == (3, outputs, 1, 64, 64)
    assert batch["source"].dtype == batch["target"].dtype == torch.float32
    assert all(torch.isfinite(side).all() for side in batch.values())


def test_batches_depend_on_the_seed_alone():
    once, again, other = (first_batch("phase2fluor", seed)["source"] for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_source_and_target_show_the_same_place():
    batch = next(iter(Batches("fluor2phase", batch_size=8, patch=128, pool=4, seed=3)))
    nuclei, phase = (batch[side][:, 0].numpy().ravel() for side in ("source", "target"))
    assert np.corrcoef(nuclei, phase)[0, 1] > 0.6


def test_fields_change_while_training():
    batches = iter(Batches("phase2fluor", batch_size=1, patch=256, pool=1, seed=0))
    stains = [next(batches)["target"] for _ in range(3)]
    first, second, third = (torch.sort(stain.flatten()).values for stain in stains)  # the same for a turned field
    assert torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.fixture(scope="module")
def train():
    return importlib.import_module("image_translation.train")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"direction": "phase2dapi"}, "direction is 'phase2dapi'; choose one of phase2fluor, fluor2phase"),
        ({"patch": 100}, "patch is 100; it must be a multiple of 16 up to 256"),
        ({"patch": 272}, "patch is 272"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"pool": 0}, "pool is 0"),
    ],
)
def test_bad_argument_names_the_value_and_the_rule(train, tmp_path, wrong, named):
    with pytest.raises(UsageError, match=named):
        train.train_demo(**({"direction": "phase2fluor", "output": tmp_path / "a.ckpt"} | wrong))
    assert not list(tmp_path.iterdir())


def test_stripped_checkpoint_keeps_no_optimizer(train):
    full = {
        "epoch": 1,
        "global_step": 7,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {"model.weight": torch.ones(2)},
        "optimizer_states": [{}],
        "loops": {},
    }
    small = train.strip_checkpoint(full, "fluor2phase", {"in_channels": 2}, {"steps": 7})
    assert set(small) == {
        "epoch",
        "global_step",
        "pytorch-lightning_version",
        "state_dict",
        "hyper_parameters",
        "image_translation",
    }
    assert small["state_dict"]["model.weight"].dtype == torch.float16
    assert small["hyper_parameters"] == {"architecture": "UNeXt2_2D", "model_config": {"in_channels": 2}}
    told = small["image_translation"]
    assert told["input_channels"] == ["Nuclei", "Membrane"]
    assert told["output_channels"] == ["Phase3D"]
    assert told["normalization"] == "mean_std"
    assert told["training"] == {"steps": 7}


@pytest.mark.slow
def test_training_is_repeatable_and_loads_without_code(train, tmp_path):
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train.train_demo("phase2fluor", tmp_path / "new" / name, seed=seed, **TINY)
    first, again, other = (
        torch.load(tmp_path / "new" / name, weights_only=True) for name in ("first", "again", "other")
    )
    assert first["image_translation"] == again["image_translation"]
    assert first["global_step"] == 2
    same = [torch.equal(weight, again["state_dict"][name]) for name, weight in first["state_dict"].items()]
    assert all(same)
    assert not all(torch.equal(weight, other["state_dict"][name]) for name, weight in first["state_dict"].items())

    network = train.VSUNet(**first["hyper_parameters"])
    network.load_state_dict(first["state_dict"])
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 1, 32, 48)).shape == (1, 2, 1, 32, 48)


def test_rate_warms_up_and_falls_to_zero(train):
    network = train._DemoNet(train._model_config("phase2fluor", TINY["dims"]), steps=100)
    parts = network.configure_optimizers()
    rates = []
    for _ in range(100):
        rates.append(parts["optimizer"].param_groups[0]["lr"])
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
    peak = train._PEAK_RATE
    np.testing.assert_allclose(rates[:5], peak * np.arange(1, 6) / 5)
    assert np.argmax(rates) in {4, 5}
    assert (np.diff(rates[5:]) < 0).all()
    assert rates[52] == pytest.approx(peak / 2, rel=0.02)
    assert rates[-1] < 0.001 * peak


def standardised(image):
    return (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("name", "given", "wanted", "least"),
    [
        ("demo_phase2fluor.ckpt", slice(0, 1), slice(1, 3), (0.9, 0.85)),
        ("demo_fluor2phase.ckpt", slice(1, 3), slice(0, 1), (0.8,)),
    ],
)
def test_bundled_checkpoint_works_on_an_unseen_movie(train, name, given, wanted, least):
    path = files("image_translation") / "checkpoints" / name
    checkpoint = torch.load(path, weights_only=True)
    assert path.stat().st_size < 3e6
    network = train.VSUNet(**checkpoint["hyper_parameters"]).eval()
    network.load_state_dict(checkpoint["state_dict"])
    frame = Movie(MovieSpec(seed=1234, frames=2)).frame(1)
    source = torch.from_numpy(standardised(frame[given]))[None, :, None]
    with torch.inference_mode():
        predicted = network(source)[0, :, 0].numpy()
    for mine, truth, bound in zip(predicted, frame[wanted], least, strict=True):
        assert np.corrcoef(mine.ravel(), truth.ravel())[0, 1] > bound
        assert mine.std() == pytest.approx(truth.std(), rel=0.3)
