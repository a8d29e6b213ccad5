"""Which item comes at which step of a training: a function of the seed and of the step, and of nothing that was before.

A training that was interrupted therefore goes on just as if it had not been.
"""

from collections.abc import Iterator

from torch.utils.data import Sampler


class Draws(Sampler[int]):
    """Numbers of the items of each round, counted on from round to round and dealt out to the devices.

    Lightning tells the number of the round by `set_epoch`.

    Parameters
    ----------
    steps
        Steps of a round.
    batch_size
        Items of a step, on each device.
    rank, world
        Number of this device, and of all.
    """

    def __init__(self, steps: int, batch_size: int, *, rank: int = 0, world: int = 1) -> None:
        self._steps, self._batch_size, self._rank, self._world = steps, batch_size, rank, world
        self._round = 0

    def set_epoch(self, number: int) -> None:
        """Say which round comes next."""
        self._round = number

    def __len__(self) -> int:
        return self._steps * self._batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers for one device, step by step."""
        first = self._round * self._steps
        for step in range(first, first + self._steps):
            start = (step * self._world + self._rank) * self._batch_size
            yield from range(start, start + self._batch_size)
