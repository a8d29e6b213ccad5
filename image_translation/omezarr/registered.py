"""Registered images: displaced, when they are read, by the shifts that a run has found and written down."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from image_translation import normalize
from image_translation.omezarr.store import PROVENANCE_KEY, Position

KEY = "registration"  # in the provenance of an image


@dataclass(frozen=True)
class Registration:
    """Shifts that register the frames of an image.

    Attributes
    ----------
    method
        How they were found.
    first_frame
        Number of the first frame that has a shift; frames that have none are not displaced.
    channels
        Names of the channels that are displaced.
    shifts
        Shift (dy, dx) of each frame, in pixels: the registered image at (y, x) is the image at (y - dy, x - dx).
    common, spread
        Standard deviation of the jitter that all parts of the frames share, and spread of the parts about it, in
        pixels.
    """

    method: str
    first_frame: int
    channels: tuple[str, ...]
    shifts: tuple[tuple[float, float], ...]
    common: float
    spread: float

    def shift(self, frame: int) -> tuple[float, float]:
        """Return the shift (dy, dx) of a frame, in pixels."""
        number = frame - self.first_frame
        return self.shifts[number] if 0 <= number < len(self.shifts) else (0.0, 0.0)

    @property
    def displaces(self) -> bool:
        """Whether any frame is displaced."""
        return any(any(shift) for shift in self.shifts)

    def to_json(self) -> dict[str, Any]:
        """Return the registration as JSON values."""
        return {**asdict(self), "channels": list(self.channels), "shifts": [list(shift) for shift in self.shifts]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Restore what `to_json` returned; ``KeyError``, ``TypeError`` or ``ValueError`` if the values are others."""
        shifts = tuple((float(dy), float(dx)) for dy, dx in values["shifts"])
        given = {field.name: values[field.name] for field in fields(cls)}
        return cls(**{**given, "channels": tuple(values["channels"]), "shifts": shifts})


@dataclass(frozen=True)
class RegisteredPosition(Position):
    """An image whose valid planes are displaced when they are read; the store stays as it is.

    Attributes
    ----------
    registration
        The shifts.
    source
        The image, of whichever format.
    order
        Order of the splines: 3, or 0 for labels, which have no values between them.
    """

    registration: Registration
    source: Position
    order: int = 3

    @property
    def stored(self) -> Position:
        """The image as its pixels are stored."""
        return self.source

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, along T, C, Z, Y, X."""
        return self.source.chunks

    def chunk_files(self, t: int, channel: int, z: int) -> list[Path]:
        """Return the files of a plane as `Position.chunk_files` does."""
        return self.source.chunk_files(t, channel, z)

    def labels(self, name: str) -> Position | None:
        """Open a label image as `Position.labels` does, registered as this image is."""
        found = self.source.labels(name)
        if found is None:
            return None
        return register(found, replace(self.registration, channels=found.channels), order=0)

    def read(self, t: int, channel: int, z: int) -> NDArray[Any]:
        """Read one plane as `Position.read` does, registered; planes that are displaced are float32 or float64."""
        image = self.source.read(t, channel, z)
        shift = self.registration.shift(t)
        if not any(shift) or self.channels[channel] not in self.registration.channels or not normalize.is_valid(image):
            return image
        return displace(image, shift, order=self.order)


def displace(image: NDArray[Any], shift: tuple[float, float], *, order: int = 3) -> NDArray[Any]:
    """Displace an image by splines; what comes in over the border is the mirror image of what is there.

    Parameters
    ----------
    image
        Shape (Y, X), any real dtype, all finite.
    shift
        Displacement (dy, dx) of the content, in pixels.
    order
        Order of the splines.

    Returns
    -------
    ndarray
        Same shape; float32, or float64 for dtypes that float32 does not hold. With order 0, the dtype of the image.
    """
    dtype = np.result_type(image.dtype, np.float32) if order else image.dtype
    return np.asarray(ndimage.shift(image.astype(dtype, copy=False), shift, dtype, order=order, mode="reflect"))


def register(position: Position, registration: Registration, *, order: int = 3) -> Position:
    """Return an image as it is read when registered."""
    known = {field.name: getattr(position, field.name) for field in fields(Position)}
    return RegisteredPosition(**known, registration=registration, source=position, order=order)


def stored_registration(position: Position) -> Registration | None:
    """Read from the provenance of an image how it was registered; None if it was not."""
    try:
        return Registration.from_json(position.attributes[PROVENANCE_KEY][KEY])
    except (KeyError, TypeError, ValueError):
        return None
