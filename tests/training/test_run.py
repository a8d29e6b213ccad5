"""Training: one seed gives the same weights, interrupted or not; checkpoints say what they expect and run no code."""

import csv
import importlib
import logging
import shutil
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from filelock import FileLock
from support.stores import write_plate

from image_translation.cli.commands import main
from image_translation.errors import DataError, UsageError
from image_translation.network.loading import build, read_spec
from image_translation.omezarr.store import open_store
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec
from image_translation.training.options import TrainOptions

CHANNELS = ("Phase3D", "Nuclei")


@pytest.fixture(scope="module")
def train(network_class):
    return importlib.import_module("image_translation.training.run")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five fields of two frames; the target is the source upside down, 1000 times as bright."""
    movies = {}
    for number in range(5):
        coarse = np.random.default_rng(number).normal(size=(2, 1, 1, 8, 8))
        image = np.kron(coarse, np.ones((6, 6))).astype(np.float32)
        movies[f"A/{number + 1}/0"] = np.concatenate([image, 5000 - 1000 * image], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "p.zarr", movies, channels=CHANNELS)


@pytest.fixture
def options(store, tmp_path):
    return TrainOptions(
        str(store), CHANNELS[:1], CHANNELS[1:], tmp_path / "out", patch=32, loss=(0.5, 0.5, 0.0), steps=6,
        round_steps=2, batch_size=2, rate=3e-3, device="cpu",
    )  # fmt: skip


def weights(path):
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(train, options, tmp_path):
    last = [
        weights(train.train(replace(options, output=tmp_path / name, seed=seed)).best.with_name("last.ckpt"))
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    ]
    assert equal(last[0], last[1])
    assert not equal(last[0], last[2])


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [3, 4, 5])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(train, options, tmp_path, monkeypatch, stopped):
    whole = train.train(replace(options, output=tmp_path / "whole"))
    step, taken = train.StainingNetwork.training_step, []

    def interrupted(network, batch, number):
        taken.append(number)
        if len(taken) > stopped:
            raise KeyboardInterrupt
        return step(network, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(train.StainingNetwork, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.train(options)
    assert [row["step"] for row in history(options.output)] == ["2.0", "4.0"][: stopped // 2]
    resumed = train.train(options)
    assert equal(weights(options.output / "last.ckpt"), weights(tmp_path / "whole" / "last.ckpt"))
    assert equal(weights(resumed.best), weights(whole.best))
    kept = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.history] for run in (resumed, whole)]
    assert kept[0] == kept[1]
    assert [row["step"] for row in history(options.output)] == ["2.0", "4.0", "6.0"]


@pytest.mark.slow
def test_what_a_target_says_of_its_source_is_learned_and_every_command_uses_it(train, options, store, tmp_path, caplog):
    done = train.train(replace(options, steps=60, round_steps=30, augmentation="weak"))
    assert done.history[-1]["pearson/Nuclei"] > 0.9
    assert done.history[-1]["loss/validation"] < 0.5 * done.history[0]["loss/train"]
    folder = options.output
    made = "best.ckpt last.ckpt history.csv curves.png examples.png statistics.json training.json logs"
    assert {path.name for path in folder.iterdir()} >= set(made.split())
    assert list((folder / "logs").glob("events*"))
    for name in ("best", "last"):
        spec, state = read_spec(folder / f"{name}.ckpt")
        assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei",))
        assert (spec.normalization, spec.normalization_source) == ("mean_std", "checkpoint")
        assert not spec.notes
        build(spec, state)
    told = torch.load(folder / "best.ckpt", weights_only=True)["image_translation"]
    assert told["training"]["versions"]["viscy"]
    assert told["training"]["seed"] == 0
    assert len(told["data_sha256"]) == 64
    assert told["output_statistics"]["Nuclei"]["mean"] == pytest.approx(5000, abs=200)

    caplog.clear()
    stained = tmp_path / "stained"
    command = ["smooth", "-c", done.best, "-m", store, "-o", stained, "--methods", "raw", "--position", "A/1/0"]
    assert main(list(map(str, command))) == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert main(["evaluate", str(stained / "raw.ome.zarr"), "--truth", str(store), "--every", "2"]) == 0
    predicted, truth = (open_store(path).position("A/1/0") for path in (stained / "raw.ome.zarr", store))
    pair = predicted.read(0, 0, 0), truth.read(0, 1, 0)
    assert np.corrcoef(*(image.ravel() for image in pair))[0, 1] > 0.9


@pytest.mark.slow
def test_a_finished_training_is_left_as_it_is_and_another_is_not_replaced(train, options):
    done = train.train(options)
    before = done.best.stat().st_mtime_ns
    again = train.train(options)
    assert again.history == done.history
    assert done.best.stat().st_mtime_ns == before
    other = replace(options, steps=2, rate=1e-3)
    with pytest.raises(UsageError, match=r"holds a training of other options \(steps was 6, rate was 0.003\); choose"):
        train.train(other)
    assert done.best.stat().st_mtime_ns == before
    assert len(train.train(replace(other, overwrite=True)).history) == 1
    assert len(list((options.output / "logs").glob("events*"))) == 1


@pytest.mark.slow
def test_other_images_under_the_same_name_are_noticed(train, options, store, tmp_path):
    moved = shutil.copytree(store, tmp_path / "mine.zarr")
    given = replace(options, data=str(moved), steps=2)
    train.train(given)
    shutil.rmtree(moved / "A" / "1" / "0" / "0" / "0")  # a frame of one position is lost
    with pytest.raises(UsageError, match="its training began with other images"):
        train.train(given)


def test_a_channel_that_is_silent_everywhere_leaves_the_gradients_finite(train):
    from timm.layers.grn import GlobalResponseNorm  # takes seconds

    from image_translation.training.lightning_module import replace_response_norms

    network = torch.nn.Sequential(GlobalResponseNorm(4, channels_last=True))
    replace_response_norms(network)
    image = torch.zeros(1, 8, 8, 4, requires_grad=True)
    network(image).sum().backward()
    assert torch.isfinite(image.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters())


@pytest.mark.slow
def test_it_begins_from_a_checkpoint_and_stops_where_nothing_improves(train, options, tiny_checkpoint, tmp_path):
    given = replace(options, target=("Nuclei",), source=("Phase3D",), initial=str(tiny_checkpoint))
    with pytest.raises(UsageError, match=r"predicts 2 channels \(Nuclei, Membrane\), and --target names 1"):
        train.train(given)
    both = replace(options, source=("Nuclei",), target=("Phase3D",), steps=20, rate=1e-9, patience=2, half=True)
    first = train.train(replace(both, steps=2, rate=1e-3, patience=None, half=False, output=tmp_path / "first"))
    done = train.train(replace(both, initial=str(first.best)))
    assert len(done.history) < both.rounds
    begun, ended = weights(first.best), weights(done.best)
    assert all(weight.dtype == torch.float16 for weight in ended.values())
    assert all(torch.allclose(ended[name].float(), begun[name], atol=1e-3, rtol=1e-2) for name in begun)
    assert read_spec(done.best)[0].output_channels == ("Phase3D",)


@pytest.mark.slow
def test_simulated_fields_are_trained_on_in_either_direction(train, options):
    for source, target in ((("Phase3D",), ("Nuclei", "Membrane")), (("Nuclei", "Membrane"), ("Phase3D",))):
        output = options.output / target[0]
        done = train.train(
            replace(
                options,
                data="simulated",
                source=source,
                target=target,
                steps=1,
                round_steps=1,
                output=output,
                precision="bf16",
            )
        )
        assert np.isfinite(done.history[0][f"pearson/{target[0]}"])
        assert "no model for science" in read_spec(done.best)[0].description


def test_a_loss_that_is_no_number_ends_the_training(train, options, monkeypatch):
    def broken(network, batch, number):
        loss = network(batch["source"]).mean() * torch.nan
        network.log("loss/train", loss, on_epoch=True, on_step=True)
        return loss

    monkeypatch.setattr(train.StainingNetwork, "training_step", broken)
    with pytest.raises(DataError, match="the loss is nan at step 2: the learning rate is too high"):
        train.train(options)


def test_two_trainings_do_not_share_a_directory(train, options):
    options.output.mkdir()
    with FileLock(options.output / ".lock"), pytest.raises(UsageError, match="another training is writing to"):
        train.train(options)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"device": "cuda:9"}, "there is no such device"), ({"precision": "fp16"}, "not on the CPU")]
)
def test_what_the_machine_cannot_do_is_refused_before_anything_is_written(train, options, wrong, named):
    with pytest.raises(UsageError, match=named):
        train.train(replace(options, **wrong))
    assert not options.output.exists()


def test_rate_warms_up_and_falls_to_zero(train):
    network = train.StainingNetwork(
        {"in_channels": 1, "out_channels": 1, "encoder_blocks": [1, 1], "dims": [4, 8], "stem_kernel_size": [1, 2, 2],
         "in_stack_depth": 1, "decoder_conv_blocks": 1},
        loss=(1.0, 0.0, 0.0), rate=1e-3, steps=100, targets=("Nuclei",), told={},
    )  # fmt: skip
    parts = network.configure_optimizers()
    rates = []
    for _ in range(100):
        rates.append(parts["optimizer"].param_groups[0]["lr"])
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
    assert np.argmax(rates) == 5
    assert rates[5] == pytest.approx(1e-3)
    assert (np.diff(rates[5:]) < 0).all()
    assert rates[52] == pytest.approx(0.5e-3, rel=0.02)
    assert rates[-1] < 1e-6


def standardised(image):
    return (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("name", "given", "wanted", "least"),
    [
        ("demo_phase2fluor.ckpt", slice(0, 1), slice(1, 3), (0.93, 0.91)),
        ("demo_fluor2phase.ckpt", slice(1, 3), slice(0, 1), (0.8,)),
    ],
)
def test_bundled_checkpoint_works_on_an_unseen_movie(name, given, wanted, least):
    path = files("image_translation") / "checkpoints" / name
    assert path.stat().st_size < 3e6
    network = build(*read_spec(path))
    frame = Movie(MovieSpec(seed=1234, frames=2)).frame(1)
    source = torch.from_numpy(standardised(frame[given]))[None, :, None]
    with torch.inference_mode():
        predicted = network(source)[0, :, 0].numpy()
    for mine, truth, bound in zip(predicted, frame[wanted], least, strict=True):
        assert np.corrcoef(mine.ravel(), truth.ravel())[0, 1] > bound
        assert mine.std() == pytest.approx(truth.std(), rel=0.3)
