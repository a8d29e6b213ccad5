"""What the user says of a movie where its file does not: axes, interval, pixel size.

Options of commands derive from `MovieMetadata`. It imports nothing heavy, so that ``--help`` does not wait for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from image_translation.errors import UsageError

LETTERS = "TCZYX"


@dataclass(frozen=True, kw_only=True)
class MovieMetadata:
    """Metadata of a TIFF movie that are given instead of, or against, those in the file.

    Attributes
    ----------
    axes
        One letter for each dimension of the file, in its order, such as ``TYX``; None takes those that it states.
    interval
        Seconds between frames.
    pixel_size
        Width of a pixel in micrometres, or (y, x), or (z, y, x).
    """

    axes: str | None = None
    interval: float | None = None
    pixel_size: tuple[float, ...] | None = None

    @property
    def metadata(self) -> "MovieMetadata":
        """These metadata alone, without the other options."""
        return MovieMetadata(**{field.name: getattr(self, field.name) for field in fields(MovieMetadata)})

    def check_metadata(self) -> None:
        """Raise a ``UsageError`` if a value is not possible."""
        axes = (self.axes or "YX").upper()
        if not set(axes) <= set(LETTERS) or len(set(axes)) < len(axes) or not axes.endswith("YX"):
            raise UsageError(f"--axes {self.axes!r:.40}: give some of T, C, Z, each once, and then Y, X, such as TYX")
        if self.interval is not None and not 0 < self.interval < math.inf:
            raise UsageError(f"--interval {self.interval}: must be a positive number of seconds")
        sizes = self.pixel_size
        if sizes is not None and not (1 <= len(sizes) <= 3 and all(0 < size < math.inf for size in sizes)):
            given = ",".join(map(str, sizes))
            raise UsageError(f"--pixel-size {given}: give one positive number of micrometres, or Y,X, or Z,Y,X")

    def to_arguments(self) -> list[str]:
        """Return the command-line arguments that give the same."""
        sizes = None if self.pixel_size is None else ",".join(map(str, self.pixel_size))
        values = {"axes": self.axes, "interval": self.interval, "pixel-size": sizes}
        return [f"--{name}={value}" for name, value in values.items() if value is not None]

    def to_json(self) -> dict[str, Any]:
        """Return what is given as JSON values."""
        given = {name: value for name, value in vars(self.metadata).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Restore what `to_json` returned, also from among other values; what is damaged is not given."""
        axes, interval, sizes = (values.get(field.name) for field in fields(MovieMetadata))
        return cls(
            axes=axes if isinstance(axes, str) else None,
            interval=float(interval) if isinstance(interval, int | float) else None,
            pixel_size=tuple(sizes) if isinstance(sizes, list) else None,
        )


def parse_pixel_size(text: str) -> tuple[float, ...]:
    """Parse micrometres such as ``0.325``, or ``2,0.325,0.325`` for z, y and x; a ``UsageError`` if it is neither."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{text!r:.40}: give a number of micrometres, or Y,X, or Z,Y,X, such as 2,0.325,0.325"
        ) from error
