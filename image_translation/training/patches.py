"""Lightning data modules: patches to train on and fields for validation, from a store or simulated."""

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
from image_translation.training.fields import Fields, ImageRegion
from image_translation.training.options import DEFAULT_NORMALIZATION, TrainOptions
from image_translation.training.simulated_fields import (
    Sample,
    SimulatedFields,
    SimulatedPatches,
    SimulatedValidationSet,
)

MAX_VALIDATION_SIZE = 512
"""Largest height and width of validation fields, in pixels; larger ones are cropped to their centre."""

MAX_VALIDATION_FIELDS = 32
"""Largest number of fields in a validation."""

_SIMULATED_VALIDATION_FIELDS = 16
_POOL_SIZE, _STACK_POOL_SIZE = 64, 32  # simulated fields that patches are cut from
_CACHE_SIZE = 2**30  # bytes of images kept in memory
_VALIDATION_SEED = 10**9  # offset of the seed; far from seeds that users choose


class StorePatches(Dataset[list[Sample]]):
    """Random patches of the images of a store, without end: all regions in random order, then in another order.

    Item n is a list of ``{"source": ..., "target": ...}``, each of shape (C, Z, Y, X), float32; it is a function of the
    arguments and of n. Random transforms are seeded for each item, because otherwise all worker processes would use the
    same random numbers.

    Parameters
    ----------
    samples
        Regions to cut patches from.
    transform
        Transform from a sample to a list of patches.
    source, target
        Names of the channels.
    seed
        Seed of order and transforms.
    """

    def __init__(
        self, samples: "RegionSamples", transform: Compose, source: Sequence[str], target: Sequence[str], seed: int
    ) -> None:
        self._samples, self._transform, self._source, self._target = samples, transform, source, target
        self._seed = seed

    def __getitem__(self, number: int) -> list[Sample]:
        """Read a region and cut patches from it."""
        cycle, index = divmod(number, len(self._samples))
        order = np.random.default_rng([self._seed, 2, cycle]).permutation(len(self._samples))
        self._transform.set_random_state(seed=int(np.random.default_rng([self._seed, 3, number]).integers(2**31)))
        patches = self._transform(self._samples[int(order[index])])
        return [_stack_channels(patch, self._source, self._target) for patch in patches]


class StoreValidationSet(Dataset[Sample]):
    """Held-out regions as ``{"source": ..., "target": ...}``, each of shape (C, Z, Y, X), float32."""

    def __init__(
        self, samples: "RegionSamples", transform: Compose, source: Sequence[str], target: Sequence[str]
    ) -> None:
        self._samples, self._transform, self._source, self._target = samples, transform, source, target

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, number: int) -> Sample:
        """Read a region and normalise it."""
        return _stack_channels(self._transform(self._samples[number]), self._source, self._target)


class RegionSamples:
    """Samples for VisCy's transforms: images (1, Z, Y, X) float32 by channel, the statistics, and the sampling map.

    Parameters
    ----------
    fields
        Images and statistics.
    regions
        Regions to read.
    weight
        Name of the channel that the sampling map is made from.
    """

    def __init__(self, fields: Fields, regions: Sequence[ImageRegion], weight: str) -> None:
        self._fields, self._regions, self._weight = fields, regions, weight
        self._cache: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, number: int) -> dict[str, Any]:
        region, channels = self._regions[number], self._fields.channels
        images = self._cache.get(number)
        if images is None:
            images = torch.from_numpy(self._fields.read(region))
            if len(self._cache) * images.nbytes < _CACHE_SIZE:
                self._cache[number] = images
        content: dict[str, Any] = {name: image[None] for name, image in zip(channels, images, strict=True)}
        weight = content[self._weight] - content[self._weight].min()  # without the offset of the camera
        return content | {WEIGHT: weight, "norm_meta": self._statistics(region.position)}

    def _statistics(self, position: str) -> dict[str, Any]:
        levels = {
            "fov_statistics": self._fields.source_statistics[position],
            "dataset_statistics": self._fields.target_statistics,
        }
        meta: dict[str, Any] = {}
        for level, channels in levels.items():
            for channel, statistics in channels.items():
                center = torch.tensor(statistics.center, dtype=torch.float32)
                scale = torch.tensor(statistics.scale, dtype=torch.float32)
                meta[channel] = {level: dict.fromkeys(_CENTER_KEYS, center) | dict.fromkeys(_SCALE_KEYS, scale)}
        return meta


class StoreDataModule(LightningDataModule):  # type: ignore[misc]  # Lightning is not checked
    """Training and validation data from a store.

    It replaces VisCy's `HCSDataModule`, which reads only plates, includes dropped frames, and whose random state is
    neither restored after an interruption nor different between worker processes.

    Parameters
    ----------
    fields
        Images and statistics.
    options
        Options of the training, with the normalisation decided.
    """

    def __init__(self, fields: Fields, options: TrainOptions) -> None:
        super().__init__()
        self._fields, self._options = fields, options
        self._patches_per_image = next(count for count in (4, 2, 1) if options.batch_size % count == 0)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of random patches."""
        source, target = self._options.source, self._options.target
        samples = RegionSamples(self._fields, self._fields.train, target[0])
        transform = self._transform(self._fields.train, train=True)
        patches = StorePatches(samples, transform, source, target, self._options.seed)
        return _training_loader(self, patches, self._options, self._options.batch_size // self._patches_per_image)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return validation fields, one per batch."""
        held_out = self._fields.held_out
        evenly_spaced = np.linspace(0, len(held_out) - 1, min(MAX_VALIDATION_FIELDS, len(held_out)))
        regions = [held_out[number] for number in evenly_spaced.round().astype(int)]
        samples = RegionSamples(self._fields, regions, self._options.target[0])
        transform = self._transform(regions, train=False)
        validation_set = StoreValidationSet(samples, transform, self._options.source, self._options.target)
        return DataLoader(validation_set, batch_size=1)

    def _transform(self, regions: Sequence[ImageRegion], *, train: bool) -> Compose:
        set_track_meta(False)  # MONAI then returns plain tensors
        source, target = self._options.source, self._options.target
        steps = normalizations(source, target, self._options.normalization or DEFAULT_NORMALIZATION)
        shape = self._smallest_shape(regions)
        size = (self._options.patch,) * 2
        if train:
            steps += augmentations(
                source, target, self._options.augmentation, shape=shape, depth=self._options.depth,
                patch=size[0], samples=self._patches_per_image,
            )  # fmt: skip
        else:
            stride = self._options.stride
            size = (_validation_size(shape[0], stride), _validation_size(shape[1], stride))
        return Compose([*steps, CenterSpatialCropd([*source, *target], roi_size=(self._options.depth, *size))])

    def _smallest_shape(self, regions: Sequence[ImageRegion]) -> tuple[int, int]:
        heights = [self._fields.positions[region.position].shape[3] for region in regions]
        return min(heights), min(stop - start for start, stop in (region.columns for region in regions))


class SimulatedDataModule(LightningDataModule):  # type: ignore[misc]
    """Training and validation data that are simulated during the training."""

    def __init__(self, options: TrainOptions) -> None:
        super().__init__()
        self._options = options

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of random patches."""
        options = self._options
        pool = _STACK_POOL_SIZE if options.stack else _POOL_SIZE
        fields = SimulatedFields(
            options.source, options.target, seed=options.seed, cache_size=pool + 1, depth=options.depth
        )
        total_batch = options.batch_size * _rank_and_world_size(self)[1]
        patches = SimulatedPatches(fields, batch_size=total_batch, patch=options.patch, pool=pool, seed=options.seed)
        return _training_loader(self, patches, options, options.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return validation fields, which have other seeds, one per batch."""
        options, count = self._options, _SIMULATED_VALIDATION_FIELDS
        seed = options.seed + _VALIDATION_SEED
        fields = SimulatedFields(options.source, options.target, seed=seed, cache_size=count, depth=options.depth)
        return DataLoader(SimulatedValidationSet(fields, count), batch_size=1)


_CENTER_KEYS, _SCALE_KEYS = zip(*(keys for method, keys in STORED_KEYS.items() if method != "none"), strict=True)


def _validation_size(side: int, stride: int) -> int:
    """Return the side of the centre crop of a validation field: limited, and a multiple of the stride."""
    return min(side, MAX_VALIDATION_SIZE) // stride * stride


def _stack_channels(images: dict[str, torch.Tensor], source: Sequence[str], target: Sequence[str]) -> Sample:
    return {
        side: torch.cat([images[name] for name in names]) for side, names in (("source", source), ("target", target))
    }


def _collate(items: Sequence[list[Sample]]) -> Any:
    return default_collate([sample for item in items for sample in item])


def _rank_and_world_size(module: LightningDataModule) -> tuple[int, int]:
    trainer = module.trainer
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def _training_loader(
    module: LightningDataModule, patches: Dataset[list[Sample]], options: TrainOptions, items: int
) -> DataLoader[Any]:
    rank, world_size = _rank_and_world_size(module)
    workers = options.workers or 0
    return DataLoader(
        patches,
        batch_size=items,
        sampler=PatchSampler(options.steps_per_round, items, rank=rank, world_size=world_size),
        collate_fn=_collate,
        num_workers=workers,
        # tensorstore does not work after a fork
        multiprocessing_context=multiprocessing.get_context("spawn") if workers else None,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class PatchSampler(Sampler[int]):
    """Consecutive item numbers for each round, divided among the devices.

    The numbers of a round depend only on the number of the round, which Lightning passes to `set_epoch`, so that a
    resumed training continues with the same patches.

    Parameters
    ----------
    steps
        Steps per round.
    batch_size
        Items per step, on each device.
    rank, world_size
        Index of this device, and number of devices.
    """

    def __init__(self, steps: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self._steps, self._batch_size, self._rank, self._world_size = steps, batch_size, rank, world_size
        self._round = 0

    def set_epoch(self, number: int) -> None:
        """Set the number of the next round."""
        self._round = number

    def __len__(self) -> int:
        return self._steps * self._batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield the item numbers of this device for one round."""
        first = self._round * self._steps
        for step in range(first, first + self._steps):
            start = (step * self._world_size + self._rank) * self._batch_size
            yield from range(start, start + self._batch_size)
