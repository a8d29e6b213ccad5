"""Simulated fields and patches: shapes, and dependence on seed and number only."""

import numpy as np
import pytest
import torch

from image_translation.training.simulated_fields import SimulatedFields, SimulatedPatches, SimulatedValidationSet

PHASE, STAINS = ("Phase3D",), ("Nuclei", "Membrane")


def patches(source=PHASE, target=STAINS, *, seed=0, batch_size=4, patch=64, pool=2, depth=1):
    fields = SimulatedFields(source, target, seed=seed, cache_size=pool + 1, depth=depth)
    return SimulatedPatches(fields, batch_size=batch_size, patch=patch, pool=pool, seed=seed)


@pytest.mark.parametrize(("source", "target"), [(PHASE, STAINS), (STAINS, PHASE), (PHASE, ("Membrane",))])
def test_patches_have_the_shape_of_the_network_input(source, target):
    (sample,) = patches(source, target)[0]
    assert sample["source"].shape == (len(source), 1, 64, 64)
    assert sample["target"].shape == (len(target), 1, 64, 64)
    assert sample["source"].dtype == sample["target"].dtype == torch.float32
    assert all(torch.isfinite(side).all() for side in sample.values())


def test_patches_depend_only_on_seed_and_number():
    forwards, backwards, other = patches(seed=1), patches(seed=1), patches(seed=2)
    numbers = [0, 5, 17]
    first = [forwards[number][0]["source"] for number in numbers]
    again = [backwards[number][0]["source"] for number in reversed(numbers)][::-1]
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0][0]["source"])


def test_source_and_target_show_the_same_place():
    for number in range(4):
        (sample,) = patches(STAINS, PHASE, patch=128, seed=3)[number]
        nuclei, phase = (sample[side][0].numpy().ravel() for side in ("source", "target"))
        assert np.corrcoef(nuclei, phase)[0, 1] > 0.4


def test_target_is_the_requested_stain():
    both, membrane = patches(PHASE, STAINS), patches(PHASE, ("Membrane",))
    assert torch.equal(both[3][0]["target"][1:], membrane[3][0]["target"])


def test_every_second_step_uses_a_new_field():
    data = patches(batch_size=1, patch=256, pool=1)
    stains = [torch.sort(data[number][0]["target"].flatten()).values for number in range(4)]
    assert torch.equal(stains[0], stains[1])
    assert torch.equal(stains[2], stains[3])
    assert not torch.equal(stains[1], stains[2])


def test_cache_of_fields_is_limited():
    fields = SimulatedFields(PHASE, STAINS, seed=0, cache_size=2)
    first = fields[0]
    assert fields[0] is first
    for number in (2, 4, 6):
        fields[number]
    assert fields[0] is not first
    np.testing.assert_array_equal(fields[0][0], first[0])


def test_sources_are_approximately_normalised():
    fields = SimulatedFields(STAINS, PHASE, seed=5, cache_size=4)
    for number in range(4):
        source = fields[number][0]
        assert np.abs(source.mean(axis=(1, 2, 3))).max() < 0.5
        assert np.abs(np.log(source.std(axis=(1, 2, 3)))).max() < 0.7


def test_validation_set_contains_the_first_fields():
    fields = SimulatedFields(PHASE, STAINS, seed=0, cache_size=4)
    validation_set = SimulatedValidationSet(fields, 2)
    assert len(validation_set) == 2
    assert validation_set[1]["source"].shape == (1, 1, 256, 256)
    np.testing.assert_array_equal(validation_set[1]["target"], fields[1][1])


def test_patches_of_stacks_are_cut_at_all_heights_of_a_field():
    data = patches(depth=3, pool=1, batch_size=40, patch=64)
    field = SimulatedFields(PHASE, STAINS, seed=0, cache_size=2, depth=3)[0][1]
    assert field.shape == (2, 5, 256, 256)
    lowest = []
    for number in range(20):
        (sample,) = data[number]
        assert sample["source"].shape == (1, 3, 64, 64)
        found = [
            z for z in range(3)
            if np.isin(sample["target"][:, 0].numpy(), field[:, z]).all()
            and np.isin(sample["target"][:, 2].numpy(), field[:, z + 2]).all()
        ]  # fmt: skip
        lowest += found[:1]
    assert len(lowest) == 20
    assert {*lowest} == {0, 1, 2}


def test_validation_stacks_are_the_middle_planes():
    fields = SimulatedFields(PHASE, STAINS, seed=0, cache_size=4, depth=3)
    np.testing.assert_array_equal(SimulatedValidationSet(fields, 2)[1]["target"], fields[1][1][:, 1:4])
