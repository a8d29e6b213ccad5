"""Patches of a store: sources and targets stay together, and a patch is a function of seed and number alone."""

import importlib
import pickle
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from support.stores import write_image, write_plate

from image_translation.omezarr.store import open_store
from image_translation.training.fields import Choice, find_fields
from image_translation.training.options import TrainOptions
from image_translation.training.patches import Draws

CHANNELS = ("Phase3D", "Nuclei")


@pytest.fixture(scope="module")
def training_data():
    return importlib.import_module("image_translation.training.patches")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five fields; the target is the source, at another scale: 100 times, 1000 more."""
    movies = {}
    for number in range(5):
        coarse = np.random.default_rng(number).normal(size=(2, 1, 1, 12, 14))
        image = np.kron(coarse, np.ones((8, 8))).astype(np.float32) + number
        movies[f"A/{number + 1}/0"] = np.concatenate([image, 100 * image + 1000], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "p.zarr", movies, channels=CHANNELS)


def module(training_data, store, **changes):
    options = TrainOptions(
        str(store), CHANNELS[:1], CHANNELS[1:], store.parent / "out", patch=32, loss=(1.0, 0.0, 0.0), steps=6,
        round_steps=2, batch_size=4, augmentation="none",
    )  # fmt: skip
    options = replace(options, **changes)
    fields = find_fields(open_store(store), Choice(options.source, options.target, patch=options.patch))
    return training_data.StoreData(fields, options)


def batches(data):
    loader = data.train_dataloader()
    for number in range(3):
        loader.sampler.set_epoch(number)
        yield from loader


def correlation(batch):
    a, b = (batch[side].numpy().ravel() for side in ("source", "target"))
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.parametrize(("augmentation", "least"), [("none", 0.9), ("weak", 0.85), ("strong", 0.6)])
def test_batches_have_the_layout_of_the_network_and_one_geometry(training_data, store, augmentation, least):
    drawn = list(batches(module(training_data, store, augmentation=augmentation)))
    assert len(drawn) == 6
    for batch in drawn:
        assert batch["source"].shape == batch["target"].shape == (4, 1, 1, 32, 32)
        assert batch["source"].dtype == batch["target"].dtype == torch.float32
        assert all(torch.isfinite(side).all() for side in batch.values())
        assert type(batch["source"]) is torch.Tensor
        assert correlation(batch) > least


def test_intensities_of_targets_are_only_interpolated(training_data, store):
    fields = find_fields(open_store(store), Choice(CHANNELS[:1], CHANNELS[1:], patch=32))
    truths = np.stack([fields.read(window)[1] for window in (*fields.train, *fields.held_out)])
    scale = fields.outputs["Nuclei"]
    low, high = ((value - scale.center) / scale.scale for value in (truths.min(), truths.max()))
    for batch in batches(module(training_data, store, augmentation="strong")):
        assert batch["target"].min() >= low - 1e-3
        assert batch["target"].max() <= high + 1e-3


@pytest.mark.parametrize("augmentation", ["none", "strong"])
def test_batches_are_a_function_of_the_seed(training_data, store, augmentation):
    def drawn(seed):
        data = module(training_data, store, augmentation=augmentation, seed=seed)
        return torch.cat([batch["source"] for batch in batches(data)])

    first, again, other = drawn(3), drawn(3), drawn(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_later_round_does_not_depend_on_those_before(training_data, store):
    whole = list(batches(module(training_data, store, augmentation="strong")))
    loader = module(training_data, store, augmentation="strong").train_dataloader()
    loader.sampler.set_epoch(2)
    for batch, expected in zip(loader, whole[4:], strict=True):
        assert torch.equal(batch["source"], expected["source"])


def test_sources_are_normalised_by_field_and_targets_by_all(training_data, store):
    held_out = list(module(training_data, store, batch_size=1).val_dataloader())
    assert len(held_out) == 2
    fields = find_fields(open_store(store), Choice(CHANNELS[:1], CHANNELS[1:], patch=32))
    for batch in held_out:
        assert batch["source"].shape == (1, 1, 1, 96, 112)
        assert abs(batch["source"].mean()) < 0.1
        assert batch["source"].std() == pytest.approx(1, abs=0.1)
    window, scale = fields.held_out[0], fields.outputs["Nuclei"]
    expected = (fields.read(window)[1] - scale.center) / scale.scale
    np.testing.assert_allclose(held_out[0]["target"][0, 0, 0], expected, rtol=1e-4, atol=1e-4)


def test_all_fields_come_before_one_comes_again(training_data, store):
    data = module(training_data, store, batch_size=1)
    patches = data.train_dataloader().dataset
    seen = {round(float(patches[number][0]["target"].mean()), 4) for number in range(8)}
    assert len(seen) == 8


def test_bright_places_are_drawn_more_often(training_data, tmp_path):
    data = np.random.default_rng(0).normal(size=(6, 2, 1, 128, 128)).astype(np.float32)
    data[:, 1] = 0.01
    data[:, 1, 0, 100, 100] = 50.0
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS)
    bright = [bool((batch["target"] > 1).any()) for batch in batches(module(training_data, path, batch_size=1))]
    assert sum(bright) >= 5  # a patch is a sixteenth of the field


def test_held_out_fields_of_any_size_are_cut_to_the_stride_of_the_network(training_data, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {f"A/{n}/0": (1, 2, 1, 40 + 3 * n, 60) for n in range(1, 4)}
    movies = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    path = write_plate(tmp_path / "p.zarr", movies, channels=CHANNELS)
    data = module(training_data, path)
    assert next(iter(data.train_dataloader()))["source"].shape == (4, 1, 1, 32, 32)
    for batch in data.val_dataloader():
        assert [side % 16 for side in batch["source"].shape[-2:]] == [0, 0]


def test_what_processes_read_from_can_be_sent_to_them(training_data, store):
    patches = module(training_data, store, augmentation="strong").train_dataloader().dataset
    sent = pickle.loads(pickle.dumps(patches))
    assert torch.equal(sent[5][0]["source"], patches[5][0]["source"])


def test_simulated_data_have_the_layout_of_the_network(training_data, tmp_path):
    options = TrainOptions("simulated", CHANNELS[:1], ("Nuclei", "Membrane"), tmp_path, patch=64, loss=(1.0, 0.0, 0.0))
    data = training_data.SimulatedData(replace(options, steps=2, round_steps=1, batch_size=2))
    (batch,) = data.train_dataloader()
    assert batch["source"].shape == (2, 1, 1, 64, 64)
    assert batch["target"].shape == (2, 2, 1, 64, 64)
    held_out = next(iter(data.val_dataloader()))
    assert held_out["source"].shape == (1, 1, 1, 256, 256)


def rounds(draws, count):
    for number in range(count):
        draws.set_epoch(number)
        yield list(draws)


def test_items_are_counted_on_from_round_to_round():
    assert list(chain(*rounds(Draws(3, 2), 2))) == list(range(12))


def test_a_round_is_the_same_whether_or_not_those_before_it_were_run():
    whole = list(rounds(Draws(3, 2), 3))
    late = Draws(3, 2)
    late.set_epoch(2)
    assert list(late) == whole[2]
    assert len(late) == len(whole[2])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_devices_share_each_step_without_gap_or_overlap(world):
    dealt = [list(chain(*rounds(Draws(4, 2, rank=rank, world=world), 2))) for rank in range(world)]
    assert sorted(chain(*dealt)) == list(range(4 * 2 * 2 * world))
    steps = [sorted(chain(*(items[2 * step : 2 * step + 2] for items in dealt))) for step in range(8)]
    assert list(chain(*steps)) == sorted(chain(*dealt))
