"""Training: equal seeds give equal weights, interrupted or not; checkpoints can be used by all commands."""

import csv
import logging
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from support.paths import files_with

from image_translation.cli.commands import main
from image_translation.errors import DataError, UsageError
from image_translation.network.loading import build_network, read_spec
from image_translation.omezarr.store import open_store
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec


def load_weights(path):
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def history(directory):
    with (directory / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def uninterrupted(train, options_at, tmp_path_factory):
    """The result of a training with the default options."""
    return train(options_at(tmp_path_factory.mktemp("uninterrupted") / "out"))


@pytest.mark.slow
def test_equal_seeds_give_equal_weights(train, options, uninterrupted, tmp_path):
    first, again, other = (
        load_weights(result.best.with_name("last.ckpt"))
        for result in (
            uninterrupted,
            train(options),
            train(replace(options, output=tmp_path / "other", seed=1)),
        )
    )
    assert equal(first, again)
    assert not equal(first, other)


@pytest.mark.slow
def test_no_file_of_a_training_names_a_folder(uninterrupted, options_at):
    written = uninterrupted.best.parent
    assert {path.name for path in written.iterdir()} >= {"best.ckpt", "last.ckpt", "training.json", "logs"}
    folders = {str(path.parent) for path in (written, Path(options_at(written).data))}
    for text in (*folders, written.parent.name):
        assert files_with(written, text) == []


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [3, 4, 5])
def test_interrupted_training_resumes_to_the_same_weights(
    train, staining_module, options, uninterrupted, monkeypatch, *, stopped
):
    step, taken = staining_module.training_step, []

    def interrupted(network, batch, number):
        taken.append(number)
        if len(taken) > stopped:
            raise KeyboardInterrupt
        return step(network, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(staining_module, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(options)
    assert [row["step"] for row in history(options.output)] == ["2.0", "4.0"][: stopped // 2]
    resumed = train(options)
    assert equal(load_weights(options.output / "last.ckpt"), load_weights(uninterrupted.best.with_name("last.ckpt")))
    assert equal(load_weights(resumed.best), load_weights(uninterrupted.best))
    kept = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in run.history] for run in (resumed, uninterrupted)
    ]
    assert kept[0] == kept[1]
    assert [row["step"] for row in history(options.output)] == ["2.0", "4.0", "6.0"]


@pytest.mark.slow
def test_relation_of_source_and_target_is_learned_and_other_commands_use_the_checkpoint(
    train, options, plate, tmp_path, caplog
):
    result = train(replace(options, steps=60, round_steps=30, augmentation="weak"))
    assert result.history[-1]["pearson/Nuclei"] > 0.9
    assert result.history[-1]["loss/validation"] < 0.5 * result.history[0]["loss/train"]
    directory = options.output
    made = "best.ckpt last.ckpt history.csv curves.png examples.png statistics.json training.json logs"
    assert {path.name for path in directory.iterdir()} >= set(made.split())
    assert list((directory / "logs").glob("events*"))
    for name in ("best", "last"):
        spec, state = read_spec(directory / f"{name}.ckpt")
        assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei",))
        assert (spec.normalization, spec.normalization_source) == ("mean_std", "checkpoint")
        assert not spec.notes
        build_network(spec, state)
    metadata = torch.load(directory / "best.ckpt", weights_only=True)["image_translation"]
    assert metadata["training"]["versions"]["viscy"]
    assert metadata["training"]["seed"] == 0
    assert len(metadata["data_sha256"]) == 64
    assert metadata["output_statistics"]["Nuclei"]["mean"] == pytest.approx(5000, abs=200)

    caplog.clear()
    stained = tmp_path / "stained"
    command = ["smooth", "-c", result.best, "-m", plate, "-o", stained, "--methods", "raw", "--position", "A/1/0"]
    assert main(list(map(str, command))) == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert main(["evaluate", str(stained / "raw.ome.zarr"), "--truth", str(plate), "--every", "2"]) == 0
    predicted, truth = (open_store(path).position("A/1/0") for path in (stained / "raw.ome.zarr", plate))
    pair = predicted.read(0, 0, 0), truth.read(0, 1, 0)
    assert np.corrcoef(*(image.ravel() for image in pair))[0, 1] > 0.9


@pytest.mark.slow
def test_finished_training_is_kept_and_not_replaced_without_overwrite(train, options):
    result = train(options)
    before = result.best.stat().st_mtime_ns
    again = train(options)
    assert again.history == result.history
    assert result.best.stat().st_mtime_ns == before
    other = replace(options, steps=2, rate=1e-3)
    with pytest.raises(
        UsageError, match=r"contains a training with other options \(steps was 6, rate was 0.003\); choose"
    ):
        train(other)
    assert result.best.stat().st_mtime_ns == before
    assert len(train(replace(other, overwrite=True)).history) == 1
    assert len(list((options.output / "logs").glob("events*"))) == 1


@pytest.mark.slow
def test_resuming_with_other_images_is_refused(train, options, plate, tmp_path):
    moved = shutil.copytree(plate, tmp_path / "mine.zarr")
    given = replace(options, data=str(moved), steps=2)
    train(given)
    shutil.rmtree(moved / "A" / "1" / "0" / "0" / "0")  # a frame of one position is lost
    with pytest.raises(UsageError, match="its training started with other images"):
        train(given)


@pytest.mark.slow
def test_training_from_a_checkpoint_stops_early_without_improvement(train, options, tmp_path):
    both = replace(options, source=("Nuclei",), target=("Phase3D",), steps=20, rate=1e-9, patience=2, half=True)
    first = train(
        replace(both, steps=2, rate=1e-3, patience=None, half=False, precision="bf16", output=tmp_path / "first")
    )
    result = train(replace(both, initial=str(first.best)))
    assert len(result.history) < both.rounds
    before, after = load_weights(first.best), load_weights(result.best)
    assert all(weight.dtype == torch.float16 for weight in after.values())
    assert all(torch.allclose(after[name].float(), before[name], atol=1e-3, rtol=1e-2) for name in before)
    assert read_spec(result.best)[0].output_channels == ("Phase3D",)


@pytest.mark.slow
def test_training_on_simulated_fields_in_both_directions(train, options, monkeypatch):
    monkeypatch.setattr("image_translation.training.patches._SIMULATED_VALIDATION_FIELDS", 2)
    for source, target in ((("Phase3D",), ("Nuclei", "Membrane")), (("Nuclei", "Membrane"), ("Phase3D",))):
        output = options.output / target[0]
        result = train(
            replace(
                options,
                data="simulated",
                source=source,
                target=target,
                steps=1,
                round_steps=1,
                output=output,
            )
        )
        assert np.isfinite(result.history[0][f"pearson/{target[0]}"])
        assert "not for research" in read_spec(result.best)[0].description


@pytest.fixture(scope="module")
def trained_on_stacks(train, options_at, stacks, tmp_path_factory):
    """Options and result of a training of two rounds on stacks of 3 planes."""
    output = tmp_path_factory.mktemp("stacks") / "out"
    given = replace(options_at(output), data=str(stacks), stack=3, steps=4)
    return given, train(given)


@pytest.mark.slow
def test_training_on_stacks_resumes_to_the_same_weights(
    train, staining_module, trained_on_stacks, tmp_path, monkeypatch
):
    given, whole = trained_on_stacks
    step, taken = staining_module.training_step, []

    def interrupted(network, batch, number):
        taken.append(number)
        if len(taken) > 3:
            raise KeyboardInterrupt
        return step(network, batch, number)

    stopped = replace(given, output=tmp_path / "stopped")
    with monkeypatch.context() as patched:
        patched.setattr(staining_module, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(stopped)
    assert [row["step"] for row in history(stopped.output)] == ["2.0"]
    train(stopped)
    assert equal(load_weights(stopped.output / "last.ckpt"), load_weights(whole.best.with_name("last.ckpt")))


@pytest.mark.slow
def test_checkpoint_of_a_training_on_stacks_can_be_used(train, trained_on_stacks, stacks, tmp_path, caplog):
    given, whole = trained_on_stacks
    stored = torch.load(whole.best, weights_only=True)["hyper_parameters"]
    assert (stored["architecture"], stored["model_config"]["head_pool"]) == ("UNeXt2", True)
    spec, state = read_spec(whole.best)
    assert (spec.architecture.in_stack_depth, spec.architecture.out_stack_depth) == (3, 3)
    assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei",))
    assert (spec.normalization, spec.supplied, spec.notes) == ("mean_std", (), ())
    build_network(spec, state)
    further = train(
        replace(given, initial=str(whole.best), steps=1, round_steps=1, rate=1e-9, output=tmp_path / "more")
    )
    after = load_weights(further.best)
    assert all(torch.allclose(after[name], weight, atol=1e-6) for name, weight in load_weights(whole.best).items())

    caplog.clear()
    command = [
        "smooth",
        "-c",
        whole.best,
        "-m",
        stacks,
        "-o",
        tmp_path / "o",
        "--methods",
        "raw",
        "--position",
        "A/1/0",
    ]
    assert main(list(map(str, command))) == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert open_store(tmp_path / "o" / "raw.ome.zarr").position("A/1/0").shape == (1, 1, 4, 64, 64)


@pytest.mark.slow
def test_network_for_stacks_learns_from_adjacent_planes(train, options, stacks):
    result = train(
        replace(options, data=str(stacks), stack=2, steps=60, round_steps=60, augmentation="weak", batch_size=4)
    )
    # Half the planes have their source in the stack, so that at most the square root of a half can be reached, and
    # nothing by a network that sees single planes.
    assert result.history[-1]["pearson/Nuclei"] > 0.4


def test_training_ends_with_an_error_if_the_loss_is_nan(train, staining_module, options, monkeypatch):
    def broken(network, batch, number):
        loss = network(batch["source"]).mean() * torch.nan
        network.log("loss/train", loss, on_epoch=True, on_step=True)
        return loss

    monkeypatch.setattr(staining_module, "training_step", broken)
    with pytest.raises(DataError, match="the loss is nan at step 2: the learning rate is too high"):
        train(options)


def standardised(image):
    return (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("name", "given", "wanted", "least"),
    [
        ("demo_phase2fluor.ckpt", slice(0, 1), slice(1, 3), (0.93, 0.91)),
        ("demo_fluor2phase.ckpt", slice(1, 3), slice(0, 1), (0.8,)),
    ],
)
def test_bundled_checkpoint_predicts_an_unseen_movie(name, given, wanted, least):
    path = files("image_translation") / "data" / "checkpoints" / name
    assert path.stat().st_size < 3e6
    network = build_network(*read_spec(path))
    frame = Movie(MovieSpec(seed=1234, frames=2, flicker=1.0)).frame(1)
    source = torch.from_numpy(standardised(frame[given]))[None, :, None]
    with torch.inference_mode():
        predicted = network(source)[0, :, 0].numpy()
    for mine, truth, bound in zip(predicted, frame[wanted], least, strict=True):
        assert np.corrcoef(mine.ravel(), truth.ravel())[0, 1] > bound
        assert mine.std() == pytest.approx(truth.std(), rel=0.3)
