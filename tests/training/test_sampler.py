"""Which item comes when: every item once, dealt out to the devices, whatever round the training begins with."""

from itertools import chain

import pytest

from image_translation.training.sampler import Draws


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
