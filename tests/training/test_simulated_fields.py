"""Simulated fields and patches: the layout of the network, and a function of the seed and the number alone."""

import numpy as np
import pytest
import torch

from image_translation.training.simulated_fields import SimulatedFields, SimulatedPatches, WholeFields

PHASE, STAINS = ("Phase3D",), ("Nuclei", "Membrane")


def patches(source=PHASE, target=STAINS, *, seed=0, batch_size=4, patch=64, pool=2):
    fields = SimulatedFields(source, target, seed=seed, keep=pool + 1)
    return SimulatedPatches(fields, batch_size=batch_size, patch=patch, pool=pool, seed=seed)


@pytest.mark.parametrize(("source", "target"), [(PHASE, STAINS), (STAINS, PHASE), (PHASE, ("Membrane",))])
def test_patches_have_the_layout_of_the_network(source, target):
    (sample,) = patches(source, target)[0]
    assert sample["source"].shape == (len(source), 1, 64, 64)
    assert sample["target"].shape == (len(target), 1, 64, 64)
    assert sample["source"].dtype == sample["target"].dtype == torch.float32
    assert all(torch.isfinite(side).all() for side in sample.values())


def test_a_patch_is_a_function_of_seed_and_number_in_whatever_order():
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


def test_the_stain_that_is_asked_for_is_the_target():
    both, membrane = patches(PHASE, STAINS), patches(PHASE, ("Membrane",))
    assert torch.equal(both[3][0]["target"][1:], membrane[3][0]["target"])


def test_every_second_step_brings_a_new_field():
    drawn = patches(batch_size=1, patch=256, pool=1)
    stains = [
        torch.sort(drawn[number][0]["target"].flatten()).values for number in range(4)
    ]  # whatever way it is turned
    assert torch.equal(stains[0], stains[1])
    assert torch.equal(stains[2], stains[3])
    assert not torch.equal(stains[1], stains[2])


def test_fields_are_remembered_up_to_a_number():
    fields = SimulatedFields(PHASE, STAINS, seed=0, keep=2)
    first = fields[0]
    assert fields[0] is first
    for number in (2, 4, 6):
        fields[number]
    assert fields[0] is not first
    np.testing.assert_array_equal(fields[0][0], first[0])


def test_sources_are_normalised_nearly():
    fields = SimulatedFields(STAINS, PHASE, seed=5, keep=4)
    for number in range(4):
        source = fields[number][0]
        assert np.abs(source.mean(axis=(1, 2))).max() < 0.5
        assert np.abs(np.log(source.std(axis=(1, 2)))).max() < 0.7


def test_whole_fields_are_the_first_ones():
    fields = SimulatedFields(PHASE, STAINS, seed=0, keep=4)
    whole = WholeFields(fields, 2)
    assert len(whole) == 2
    assert whole[1]["source"].shape == (1, 1, 256, 256)
    np.testing.assert_array_equal(whole[1]["target"][:, 0], fields[1][1])
