"""Images and stacks brought to the pixels of a network, and its predictions back to the grid of the movie.

In y and x, images are resized by cubic convolution (Keys, "Cubic convolution interpolation for digital image
processing", IEEE Transactions on Acoustics, Speech, and Signal Processing, 1981), whose kernel is widened where images
shrink, so that nothing aliases: PyTorch's ``interpolate`` with ``antialias``. Both grids cover the same field of view,
border on border, so that nothing is displaced; the number of pixels is rounded.

In z, planes are interpolated linearly between their two neighbours. Those of the network have exactly its spacing and
lie symmetrically about the middle of the stack. As many are made as it takes to enclose the stack: the outermost ones
may lie outside by less than half of their spacing, and are then equal to the outermost planes of the movie.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from image_translation.errors import UsageError

LARGEST_FACTOR = 8.0

Mix = tuple[tuple[int, float], ...]
"""Indices of one or two neighbouring planes, with the weights to add them up by."""

_NEGLIGIBLE = 1e-6  # distance from a plane, in planes

_T = TypeVar("_T")


@dataclass(frozen=True)
class Resampling:
    """From the grid of a movie to that of a network, and back.

    Attributes
    ----------
    shape, network_shape
        Number of pixels (Z, Y, X) of the movie, and of what the network sees and predicts.
    planes
        Planes of the network per plane of the movie.
    """

    shape: tuple[int, int, int]
    network_shape: tuple[int, int, int]
    planes: float = 1.0

    @classmethod
    def none(cls, shape: tuple[int, int, int]) -> "Resampling":
        """Return what leaves images and stacks of a shape (Z, Y, X) as they are."""
        return cls(shape, shape)

    @classmethod
    def between(cls, shape: tuple[int, int, int], size: Sequence[float], network_size: Sequence[float]) -> "Resampling":
        """Return the resampling between two sizes of pixels.

        Parameters
        ----------
        shape
            Number of pixels of the movie, (Z, Y, X).
        size, network_size
            Size of the pixels of movie and network, (Z, Y, X) in any unit; equal in z if stacks are to stay as they
            are.

        Raises
        ------
        UsageError
            If the pixels differ by more than a factor of 8 along an axis.
        """
        factors = [own / trained for own, trained in zip(size, network_size, strict=True)]
        for axis, factor, own, trained in zip("zyx", factors, size, network_size, strict=True):
            if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
                raise UsageError(
                    f"--resample: along {axis}, the pixels of the movie are {own:.4g} um and those of the network "
                    f"{trained:.4g} um; at most a factor of {LARGEST_FACTOR:g} is supported: is one of them wrong?"
                )
        depth, *sides = shape
        height, width = (max(1, round(side * factor)) for side, factor in zip(sides, factors[1:], strict=True))
        n_planes = math.ceil((depth - 1) * factors[0] - _NEGLIGIBLE) + 1
        return cls(shape, (n_planes, height, width), factors[0])

    def to_network(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resize an image (..., Y, X) of the movie for the network; it is returned itself if the sizes are equal."""
        return resize(image, self.network_shape[1:])

    def to_movie(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resize a prediction (..., Y, X) to the movie; it is returned itself if the sizes are equal."""
        return resize(image, self.shape[1:])

    def sources(self, plane: int) -> Mix:
        """Return the planes of the movie from which a plane of the network is interpolated."""
        middle, network_middle = self._middles
        return _mix((plane - network_middle) / self.planes + middle, self.shape[0])

    def predictions(self, plane: int) -> Mix:
        """Return the planes of the network from which a plane of the movie is interpolated."""
        middle, network_middle = self._middles
        return _mix((plane - middle) * self.planes + network_middle, self.network_shape[0])

    def needed(self, planes: Iterable[int]) -> range:
        """Return the planes of the network from which planes of the movie are interpolated, and those between."""
        numbers = [number for plane in planes for number, _ in self.predictions(plane)]
        return range(min(numbers), max(numbers) + 1)

    def seen(self, planes: Iterable[int]) -> set[int]:
        """Return the planes of the movie from which planes of the network are interpolated."""
        return {number for plane in planes for number, _ in self.sources(plane)}

    def within(self, planes: range) -> range:
        """Return the planes of the movie that can be interpolated from consecutive planes of the network."""
        found = [z for z in range(self.shape[0]) if all(number in planes for number, _ in self.predictions(z))]
        return range(found[0], found[-1] + 1) if found else range(0)

    @property
    def _middles(self) -> tuple[float, float]:
        return (self.shape[0] - 1) / 2, (self.network_shape[0] - 1) / 2


class PlaneCollector(Generic[_T]):
    """Collects the predicted planes of one stack, from which planes of the movie are to be interpolated.

    Parameters
    ----------
    resampling
        The resampling.
    planes
        Planes of the movie.
    """

    def __init__(self, resampling: Resampling, planes: Iterable[int]) -> None:
        self._left = {z: resampling.predictions(z) for z in planes}
        self._held: deque[tuple[int, _T]] = deque(maxlen=2)

    def push(self, number: int, plane: _T) -> list[tuple[int, list[tuple[_T, float]]]]:
        """Add a plane of the network, a neighbour of the one before.

        Returns
        -------
        list
            The planes of the movie that are complete with it, each by its index, with what it is interpolated from: one
            or two of the planes that were added, and their weights.
        """
        self._held.append((number, plane))
        held = dict(self._held)
        complete = {z: mix for z, mix in self._left.items() if all(one in held for one, _ in mix)}
        self._left = {z: mix for z, mix in self._left.items() if z not in complete}
        return [(z, [(held[one], weight) for one, weight in mix]) for z, mix in complete.items()]


def interpolate(planes: Sequence[tuple[NDArray[np.float32], float]]) -> NDArray[np.float32]:
    """Add up planes of any one shape by their weights; a single plane is returned itself."""
    if len(planes) == 1:
        return planes[0][0]
    (first, weight), (second, other) = planes
    return np.float32(weight) * first + np.float32(other) * second


def resize(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize an image by antialiased cubic convolution; the two grids have the same borders.

    Parameters
    ----------
    image
        Shape (C, Y, X), float32, finite.
    size
        Number of pixels (Y', X').

    Returns
    -------
    ndarray
        Shape (C, Y', X'), float32; the image itself, not a copy, if it has this size.
    """
    if image.shape[-2:] == size:
        return image
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None], size, mode="bicubic", align_corners=False, antialias=True
    )
    array: NDArray[np.float32] = resized[0].numpy()
    return array


def _mix(place: float, count: int) -> Mix:
    """Return the planes on both sides of a place, out of `count`; the outermost one outside of them."""
    place = min(max(place, 0.0), count - 1.0)
    below = math.floor(place + _NEGLIGIBLE)
    weight = place - below
    return ((below, 1.0),) if weight <= _NEGLIGIBLE else ((below, 1.0 - weight), (below + 1, weight))
