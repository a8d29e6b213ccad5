"""Patches for a training, and whole fields to judge by, from a store or simulated, as Lightning takes them."""

import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from monai.data import set_track_meta
from monai.transforms import Compose
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate
from viscy.transforms import CenterSpatialCropd

from image_translation.normalize import STORED_KEYS
from image_translation.training.augmentation import WEIGHT, augmentations, normalizations
from image_translation.training.fields import Fields, Window
from image_translation.training.options import DEFAULT_NORMALIZATION, STRIDE, TrainOptions
from image_translation.training.simulated_fields import Sample, SimulatedFields, SimulatedPatches, WholeFields

LARGEST_TO_JUDGE = 512
"""Side, in pixels, of what is cut from the centre of a field that is held out."""

MOST_TO_JUDGE = 32
"""Fields that are looked at in a round."""

_SIMULATED_TO_JUDGE = 16
_POOL = 64  # simulated fields in use
_REMEMBERED = 2**30  # bytes of fields that are kept in memory
_OTHER_SEED = 10**9  # far from the seeds that people choose


class FieldPatches(Dataset[list[Sample]]):
    """Random patches of the fields of a store, endless: all windows come in random order, then again in another.

    Item n is a list of ``{"source": ..., "target": ...}``, each of shape (C, 1, Y, X), float32; it is a function of the
    arguments and of n. Every random transform is seeded for each item: else all processes that read would draw alike.

    Parameters
    ----------
    images
        The windows, as samples by channel.
    transform
        What makes patches of a sample.
    source, target
        Names of the channels.
    seed
        Another seed, other patches.
    """

    def __init__(
        self, images: "Images", transform: Compose, source: Sequence[str], target: Sequence[str], seed: int
    ) -> None:
        self._images, self._transform, self._source, self._target = images, transform, source, target
        self._seed = seed

    def __getitem__(self, number: int) -> list[Sample]:
        """Read a field, and cut patches of it."""
        cycle, index = divmod(number, len(self._images))
        order = np.random.default_rng([self._seed, 2, cycle]).permutation(len(self._images))
        self._transform.set_random_state(seed=int(np.random.default_rng([self._seed, 3, number]).integers(2**31)))
        patches = self._transform(self._images[int(order[index])])
        return [_stacked(patch, self._source, self._target) for patch in patches]


class HeldOut(Dataset[Sample]):
    """Fields that no gradient sees, as ``{"source": ..., "target": ...}``, each of shape (C, 1, Y, X), float32."""

    def __init__(self, images: "Images", transform: Compose, source: Sequence[str], target: Sequence[str]) -> None:
        self._images, self._transform, self._source, self._target = images, transform, source, target

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Sample:
        """Read a field and normalise it."""
        return _stacked(self._transform(self._images[number]), self._source, self._target)


class Images:
    """Windows as samples of VisCy's: one image (1, 1, Y, X) float32 a channel, the statistics, and the weight."""

    def __init__(self, fields: Fields, windows: Sequence[Window], weight: str) -> None:
        self._fields, self._windows, self._weight = fields, windows, weight
        self._known: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        window, channels = self._windows[number], self._fields.channels
        images = self._known.get(number)
        if images is None:
            images = torch.from_numpy(self._fields.read(window))
            if len(self._known) * images.nbytes < _REMEMBERED:
                self._known[number] = images
        content: dict[str, Any] = {name: image[None, None] for name, image in zip(channels, images, strict=True)}
        weight = content[self._weight] - content[self._weight].min()  # a camera's offset is no reason to look there
        return content | {WEIGHT: weight, "norm_meta": self._statistics(window.position)}

    def _statistics(self, position: str) -> dict[str, Any]:
        found = {"fov_statistics": self._fields.inputs[position], "dataset_statistics": self._fields.outputs}
        meta: dict[str, Any] = {}
        for level, channels in found.items():
            for channel, statistics in channels.items():
                centre, scale = (torch.tensor(value, dtype=torch.float32) for value in _pair(statistics))
                meta[channel] = {level: dict.fromkeys(_CENTRES, centre) | dict.fromkeys(_SCALES, scale)}
        return meta


class StoreData(LightningDataModule):  # type: ignore[misc]  # Lightning is not checked
    """Training data from a store.

    VisCy's `HCSDataModule` reads plates alone, takes dropped frames in, and draws from random states that neither
    survive an interruption nor differ between the processes that read; its transforms are used here as they are.

    Parameters
    ----------
    fields
        The images.
    options
        Of the training.
    """

    def __init__(self, fields: Fields, options: TrainOptions) -> None:
        super().__init__()
        self._fields, self._options = fields, options
        self._samples = next(count for count in (4, 2, 1) if options.batch_size % count == 0)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of random patches."""
        source, target = self._options.source, self._options.target
        images = Images(self._fields, self._fields.train, target[0])
        transform = self._transform(self._fields.train, train=True)
        patches = FieldPatches(images, transform, source, target, self._options.seed)
        return _training_loader(self, patches, self._options, self._options.batch_size // self._samples)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return what is held out, field by field."""
        spread = np.linspace(0, len(self._fields.held_out) - 1, min(MOST_TO_JUDGE, len(self._fields.held_out)))
        windows = [self._fields.held_out[number] for number in spread.round().astype(int)]
        images = Images(self._fields, windows, self._options.target[0])
        transform = self._transform(windows, train=False)
        return DataLoader(HeldOut(images, transform, self._options.source, self._options.target), batch_size=1)

    def _transform(self, windows: Sequence[Window], *, train: bool) -> Compose:
        set_track_meta(False)  # MONAI then works on plain tensors
        source, target = self._options.source, self._options.target
        steps = normalizations(source, target, self._options.normalization or DEFAULT_NORMALIZATION)
        shape = self._smallest(windows)
        cut = (self._options.patch,) * 2
        if train:
            steps += augmentations(
                source, target, self._options.augmentation, shape=shape, patch=cut[0], samples=self._samples
            )
        else:
            cut = (_whole(shape[0]), _whole(shape[1]))
        return Compose([*steps, CenterSpatialCropd([*source, *target], roi_size=(1, *cut))])

    def _smallest(self, windows: Sequence[Window]) -> tuple[int, int]:
        heights = [self._fields.positions[window.position].shape[3] for window in windows]
        return min(heights), min(stop - start for start, stop in (window.columns for window in windows))


class SimulatedData(LightningDataModule):  # type: ignore[misc]
    """Training data that is simulated while the network is trained."""

    def __init__(self, options: TrainOptions) -> None:
        super().__init__()
        self._options = options

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of random patches."""
        options = self._options
        fields = SimulatedFields(options.source, options.target, seed=options.seed, keep=_POOL + 1)
        together = options.batch_size * _ranks(self)[1]
        patches = SimulatedPatches(fields, batch_size=together, patch=options.patch, pool=_POOL, seed=options.seed)
        return _training_loader(self, patches, options, options.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return fields of other seeds."""
        options, count = self._options, _SIMULATED_TO_JUDGE
        fields = SimulatedFields(options.source, options.target, seed=options.seed + _OTHER_SEED, keep=count)
        return DataLoader(WholeFields(fields, count), batch_size=1)


_CENTRES, _SCALES = zip(*(keys for method, keys in STORED_KEYS.items() if method != "none"), strict=True)


def _whole(side: int) -> int:
    """Return how much is judged of a field of this side."""
    return min(side, LARGEST_TO_JUDGE) // STRIDE * STRIDE


def _pair(statistics: Any) -> tuple[float, float]:
    return statistics.center, statistics.scale


def _stacked(images: dict[str, torch.Tensor], source: Sequence[str], target: Sequence[str]) -> Sample:
    return {
        side: torch.cat([images[name] for name in names]) for side, names in (("source", source), ("target", target))
    }


def _flattened(items: Sequence[list[Sample]]) -> Any:
    return default_collate([sample for item in items for sample in item])


def _ranks(module: LightningDataModule) -> tuple[int, int]:
    trainer = module.trainer
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def _training_loader(
    module: LightningDataModule, patches: Dataset[list[Sample]], options: TrainOptions, items: int
) -> DataLoader[Any]:
    rank, world = _ranks(module)
    workers = options.workers or 0
    return DataLoader(
        patches,
        batch_size=items,
        sampler=Draws(options.steps_per_round, items, rank=rank, world=world),
        collate_fn=_flattened,
        num_workers=workers,
        # tensorstore's threads do not survive a fork
        multiprocessing_context=multiprocessing.get_context("spawn") if workers else None,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


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
