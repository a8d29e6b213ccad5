"""Training patches: alignment of source and target, normalisation, and dependence on seed and number only."""

import importlib
import pickle
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from support.stores import write_image, write_plate

from image_translation.omezarr.store import open_store
from image_translation.training.fields import FieldSelection, find_fields
from image_translation.training.options import TrainOptions
from image_translation.training.patches import PatchSampler

CHANNELS = ("Phase3D", "Nuclei")


@pytest.fixture(scope="module")
def patches_module():
    return importlib.import_module("image_translation.training.patches")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five fields; the target is 100 times the source plus 1000."""
    movies = {}
    for number in range(5):
        coarse = np.random.default_rng(number).normal(size=(2, 1, 1, 12, 14))
        image = np.kron(coarse, np.ones((8, 8))).astype(np.float32) + number
        movies[f"A/{number + 1}/0"] = np.concatenate([image, 100 * image + 1000], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "p.zarr", movies, channels=CHANNELS)


def data_module(patches_module, store, **changes):
    options = TrainOptions(
        str(store), CHANNELS[:1], CHANNELS[1:], store.parent / "out", patch=32, loss=(1.0, 0.0, 0.0), steps=6,
        round_steps=2, batch_size=4, augmentation="none",
    )  # fmt: skip
    options = replace(options, **changes)
    fields = find_fields(
        open_store(store),
        FieldSelection(
            options.source,
            options.target,
            patch=options.patch,
            z=options.planes,
            depth=options.depth,
            normalization=options.normalization or "mean_std",
        ),
    )
    return patches_module.StoreDataModule(fields, options)


def batches(data):
    loader = data.train_dataloader()
    for number in range(3):
        loader.sampler.set_epoch(number)
        yield from loader


def correlation(batch):
    a, b = (batch[side].numpy().ravel() for side in ("source", "target"))
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.parametrize(("augmentation", "least"), [("none", 0.9), ("weak", 0.85), ("strong", 0.6)])
def test_source_and_target_of_a_batch_are_aligned(patches_module, store, augmentation, least):
    data = list(batches(data_module(patches_module, store, augmentation=augmentation)))
    assert len(data) == 6
    for batch in data:
        assert batch["source"].shape == batch["target"].shape == (4, 1, 1, 32, 32)
        assert batch["source"].dtype == batch["target"].dtype == torch.float32
        assert all(torch.isfinite(side).all() for side in batch.values())
        assert type(batch["source"]) is torch.Tensor
        assert correlation(batch) > least


def test_target_intensities_are_only_interpolated(patches_module, store):
    fields = find_fields(open_store(store), FieldSelection(CHANNELS[:1], CHANNELS[1:], patch=32))
    truths = np.stack([fields.read(region)[1] for region in (*fields.train, *fields.held_out)])
    scale = fields.target_statistics["Nuclei"]
    low, high = ((value - scale.center) / scale.scale for value in (truths.min(), truths.max()))
    for batch in batches(data_module(patches_module, store, augmentation="strong")):
        assert batch["target"].min() >= low - 1e-3
        assert batch["target"].max() <= high + 1e-3


@pytest.mark.parametrize("augmentation", ["none", "strong"])
def test_batches_depend_on_the_seed(patches_module, store, augmentation):
    def sources(seed):
        data = data_module(patches_module, store, augmentation=augmentation, seed=seed)
        return torch.cat([batch["source"] for batch in batches(data)])

    first, again, other = sources(3), sources(3), sources(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rounds_do_not_depend_on_earlier_rounds(patches_module, store):
    expected = list(batches(data_module(patches_module, store, augmentation="strong")))
    loader = data_module(patches_module, store, augmentation="strong").train_dataloader()
    loader.sampler.set_epoch(2)
    for batch, same in zip(loader, expected[4:], strict=True):
        assert torch.equal(batch["source"], same["source"])


def test_sources_are_normalised_by_field_and_targets_over_all_fields(patches_module, store):
    held_out = list(data_module(patches_module, store, batch_size=1).val_dataloader())
    assert len(held_out) == 2
    fields = find_fields(open_store(store), FieldSelection(CHANNELS[:1], CHANNELS[1:], patch=32))
    for batch in held_out:
        assert batch["source"].shape == (1, 1, 1, 96, 112)
        assert abs(batch["source"].mean()) < 0.1
        assert batch["source"].std() == pytest.approx(1, abs=0.1)
    region, scale = fields.held_out[0], fields.target_statistics["Nuclei"]
    expected = (fields.read(region)[1, 0] - scale.center) / scale.scale
    np.testing.assert_allclose(held_out[0]["target"][0, 0, 0], expected, rtol=1e-4, atol=1e-4)


def test_sources_are_normalised_by_percentiles(patches_module, store):
    data = data_module(patches_module, store, batch_size=1, normalization="percentiles")
    for batch in data.val_dataloader():
        assert np.percentile(batch["source"], (1, 99)) == pytest.approx([0, 1], abs=0.1)


def test_all_fields_are_used_before_one_is_repeated(patches_module, store):
    data = data_module(patches_module, store, batch_size=1)
    patches = data.train_dataloader().dataset
    seen = {round(float(patches[number][0]["target"].mean()), 4) for number in range(8)}
    assert len(seen) == 8


def test_patches_are_cropped_more_often_at_bright_places(patches_module, tmp_path):
    data = np.random.default_rng(0).normal(size=(6, 2, 1, 128, 128)).astype(np.float32)
    data[:, 1] = 0.01
    data[:, 1, 0, 100, 100] = 50.0
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS)
    bright = [bool((batch["target"] > 1).any()) for batch in batches(data_module(patches_module, path, batch_size=1))]
    assert sum(bright) >= 5  # a patch covers a sixteenth of the field


def test_validation_fields_are_cropped_to_multiples_of_the_stride(patches_module, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {f"A/{n}/0": (1, 2, 1, 40 + 3 * n, 60) for n in range(1, 4)}
    movies = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    path = write_plate(tmp_path / "p.zarr", movies, channels=CHANNELS)
    data = data_module(patches_module, path)
    assert next(iter(data.train_dataloader()))["source"].shape == (4, 1, 1, 32, 32)
    for batch in data.val_dataloader():
        assert [side % 16 for side in batch["source"].shape[-2:]] == [0, 0]


def test_patches_can_be_pickled_for_worker_processes(patches_module, store):
    patches = data_module(patches_module, store, augmentation="strong").train_dataloader().dataset
    sent = pickle.loads(pickle.dumps(patches))
    assert torch.equal(sent[5][0]["source"], patches[5][0]["source"])


def test_simulated_data_have_the_shape_of_the_network_input(patches_module, tmp_path):
    options = TrainOptions("simulated", CHANNELS[:1], ("Nuclei", "Membrane"), tmp_path, patch=64, loss=(1.0, 0.0, 0.0))
    data = patches_module.SimulatedDataModule(replace(options, steps=2, round_steps=1, batch_size=2))
    (batch,) = data.train_dataloader()
    assert batch["source"].shape == (2, 1, 1, 64, 64)
    assert batch["target"].shape == (2, 2, 1, 64, 64)
    held_out = next(iter(data.val_dataloader()))
    assert held_out["source"].shape == (1, 1, 1, 256, 256)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Five fields of one frame of four planes; the target is the source times 1, 2, 3 or 4, by plane."""
    movies, gain = {}, np.arange(1, 5, dtype=np.float32).reshape(1, 1, 4, 1, 1)
    for number in range(5):
        coarse = np.random.default_rng(number).uniform(1, 2, size=(1, 1, 1, 12, 14))
        image = np.kron(coarse, np.ones((1, 1, 4, 8, 8))).astype(np.float32)
        movies[f"A/{number + 1}/0"] = np.concatenate([image, gain * image], axis=1)
    return write_plate(tmp_path_factory.mktemp("data") / "s.zarr", movies, channels=CHANNELS)


@pytest.mark.parametrize("augmentation", ["none", "weak", "strong"])
def test_planes_of_a_stack_are_augmented_alike_and_stay_in_order(patches_module, stacks, augmentation):
    data = data_module(patches_module, stacks, stack=3, augmentation=augmentation)
    scale = find_fields(
        open_store(stacks), FieldSelection(CHANNELS[:1], CHANNELS[1:], z="all", depth=3)
    ).target_statistics["Nuclei"]
    lowest = set()
    for batch in batches(data):
        assert batch["source"].shape == batch["target"].shape == (4, 1, 3, 32, 32)
        target = batch["target"].numpy() * scale.scale + scale.center
        for patch in target[:, 0]:
            first = int(np.round(1 / (patch[1] / patch[0] - 1).mean()))
            lowest.add(first)
            for number, plane in enumerate(patch):
                np.testing.assert_allclose(plane, patch[0] * (first + number) / first, rtol=1e-3)
        if augmentation != "strong":  # whose noise differs between planes
            source = batch["source"]
            assert torch.equal(source, source[:, :, :1].expand_as(source))
    assert lowest == {1, 2}


def test_stacks_depend_on_seed_and_number_only(patches_module, stacks):
    expected = list(batches(data_module(patches_module, stacks, stack=2, augmentation="strong")))
    loader = data_module(patches_module, stacks, stack=2, augmentation="strong").train_dataloader()
    loader.sampler.set_epoch(2)
    for batch, same in zip(loader, expected[4:], strict=True):
        assert all(torch.equal(batch[side], same[side]) for side in same)
    other = next(batches(data_module(patches_module, stacks, stack=2, augmentation="strong", seed=1)))
    assert not torch.equal(other["source"], expected[0]["source"])


def test_validation_stacks_are_cropped_to_multiples_of_the_stride(patches_module, stacks):
    held_out = list(data_module(patches_module, stacks, stack=3).val_dataloader())
    assert [tuple(batch["source"].shape) for batch in held_out] == [(1, 1, 3, 96, 96)] * 2


def test_simulated_stacks_have_the_shape_of_the_network_input(patches_module, tmp_path):
    options = TrainOptions("simulated", CHANNELS[:1], ("Nuclei", "Membrane"), tmp_path, patch=64, loss=(1.0, 0.0, 0.0))
    data = patches_module.SimulatedDataModule(replace(options, stack=3, steps=2, round_steps=1, batch_size=2))
    fields = data.train_dataloader().dataset
    assert fields[0][0]["source"].shape == (1, 3, 64, 64)
    assert fields[0][0]["target"].shape == (2, 3, 64, 64)
    assert next(iter(data.val_dataloader()))["source"].shape == (1, 1, 3, 256, 256)


def rounds(sampler, count):
    for number in range(count):
        sampler.set_epoch(number)
        yield list(sampler)


def test_item_numbers_continue_from_round_to_round():
    assert list(chain(*rounds(PatchSampler(3, 2), 2))) == list(range(12))


def test_items_of_a_round_do_not_depend_on_earlier_rounds():
    expected = list(rounds(PatchSampler(3, 2), 3))
    late = PatchSampler(3, 2)
    late.set_epoch(2)
    assert list(late) == expected[2]
    assert len(late) == len(expected[2])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_devices_share_the_items_of_each_step(world_size):
    items_of_devices = [
        list(chain(*rounds(PatchSampler(4, 2, rank=rank, world_size=world_size), 2))) for rank in range(world_size)
    ]
    assert sorted(chain(*items_of_devices)) == list(range(4 * 2 * 2 * world_size))
    steps = [sorted(chain(*(items[2 * step : 2 * step + 2] for items in items_of_devices))) for step in range(8)]
    assert list(chain(*steps)) == sorted(chain(*items_of_devices))
