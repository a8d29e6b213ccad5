"""From options to a plan: everything that can be wrong is found here, before anything is computed or written."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from image_translation import data, normalize
from image_translation.errors import DataError, UsageError
from image_translation.metrics.rows import RAW
from image_translation.network.devices import resolve_device, resolve_precision
from image_translation.network.loading import ModelSpec, read_spec
from image_translation.omezarr.output import ImageSpec
from image_translation.omezarr.selection import select_channel, select_frames, select_planes
from image_translation.omezarr.store import Position, Store, open_store
from image_translation.staining.options import SmoothOptions

_T = TypeVar("_T")

READERS = 8  # positions that are looked at side by side: most of the time is spent waiting for the storage


@dataclass(frozen=True)
class Series:
    """One movie of planes: the unit that is stained, filtered and scored by itself.

    Attributes
    ----------
    position
        Image that it belongs to.
    channel
        Index of the label-free channel.
    truth
        Indices of the channels that hold the true fluorescence, in the order of the network's outputs; may be empty.
    z, plane
        Index of the plane in the input, and in the output.
    frames
        Numbers of the frames to take.
    blank
        Whether none of them holds an image.
    """

    position: Position
    channel: int
    truth: tuple[int, ...]
    z: int
    plane: int
    frames: range
    blank: bool

    @property
    def name(self) -> str:
        """Name in progress notes and messages."""
        return f"{self.position.name} z{self.z}"


@dataclass(frozen=True)
class Plan:
    """A run that has been checked.

    Attributes
    ----------
    options
        What was asked for.
    store
        The movie.
    series
        What is to be stained, position by position and plane by plane.
    spec
        The checkpoint's description.
    weights
        The checkpoint's weights, for ``loading.build``.
    normalization
        Method for the label-free channel.
    digests
        Sum of some of the pixels of each position: tells a movie from another that has taken its place.
    broken
        Positions of the movie that cannot be read, and why; they are in no series.
    """

    options: SmoothOptions
    store: Store
    series: tuple[Series, ...]
    spec: ModelSpec
    weights: dict[str, Any]
    normalization: normalize.Method
    digests: Mapping[str, str]
    broken: Mapping[str, DataError] = field(default_factory=dict)

    def part(self, name: str) -> "Plan":
        """Take out what concerns one position: little enough to be sent to another process.

        The weights are left out, because they are read where they are needed.
        """
        return replace(
            self,
            store=replace(self.store, names=(name,), metadata={}, unreadable=()),
            series=self.groups[name],
            weights={},
            digests={name: self.digests[name]},
            broken={},
        )

    @cached_property
    def request(self) -> dict[str, Any]:
        """What decides the pixels of the results, as plain JSON values."""
        first = self.series[0]
        return {
            "input": {
                "movie": str(self.store.path.resolve()),
                "channel": first.position.channels[first.channel],
                "z": sorted({series.z for series in self.series}),
                "positions": dict.fromkeys(self.broken)
                | {
                    series.position.name: {
                        "shape": list(series.position.shape),
                        "frames": [series.frames.start, series.frames.stop],
                        "pixels": self.digests[series.position.name],
                    }
                    for series in self.series
                },
            },
            "prediction": {
                "checkpoint": self.spec.sha256,
                "normalization": self.normalization,
                "precision": self.options.precision,
                "tta": self.options.tta,
            },
            "methods": self.options.method_parameters(),
        }

    def store_request(self, method: str) -> dict[str, Any]:
        """Tell what decides the pixels of one method's store."""
        parameters = {} if method == RAW else self.request["methods"][method]
        return {**self.request, "methods": {method: parameters}}

    def images(self, method: str) -> dict[str, ImageSpec]:
        """Specify the output image of each position, by name."""
        temporal_filter = self.options.filters().get(method)
        images = {}
        for name, group in self.groups.items():
            position, frames = group[0].position, group[0].frames
            images[name] = ImageSpec(
                like=position,
                channels=self.spec.output_channels,
                frames=frames,
                length=temporal_filter.length(len(frames)) if temporal_filter else len(frames),
                planes=tuple(series.z for series in group),
                delay=temporal_filter.delay if temporal_filter else 0.0,
            )
        return images

    @cached_property
    def groups(self) -> dict[str, tuple[Series, ...]]:
        """The series of each position, by its name."""
        groups: dict[str, tuple[Series, ...]] = {}
        for series in self.series:
            groups[series.position.name] = (*groups.get(series.position.name, ()), series)
        return groups


def make_plan(options: SmoothOptions) -> Plan:
    """Check a run against its movie and its checkpoint.

    Parameters
    ----------
    options
        What is asked for; their own ``check`` has passed.

    Returns
    -------
    Plan
        Enough to do it.

    Raises
    ------
    UsageError
        If an argument does not fit the movie or the checkpoint.
    DataError
        If the movie or the checkpoint cannot be read.
    """
    checkpoint, path = data.resolve_checkpoint(options.checkpoint), data.resolve(options.movie, kind="movie")
    store = open_store(path)
    positions, broken = _each(store.position, store.select(options.positions, options.skip), {})
    for position in positions.values():
        select_channel(position, options.channel)
        select_planes(position, options.z)
    resolve_precision(options.precision, resolve_device(options.device))
    spec, weights = read_spec(checkpoint)
    spec.require_in_channels(1)

    def look(name: str) -> tuple[tuple[Series, ...], str]:
        series = tuple(_series(positions[name], spec, options))
        return series, _digest(series)

    looks, broken = _each(look, positions, broken)
    series = tuple(one for found, _ in looks.values() for one in found)
    if all(one.blank for one in series):
        raise DataError(
            f"{path} has no valid frame: all are zero, constant, or hold pixels that are not finite, "
            f"in the channel {series[0].position.channels[series[0].channel]}"
        )
    normalization = options.normalization or spec.normalization or normalize.DEFAULT_METHOD
    digests = {name: digest for name, (_, digest) in looks.items()}
    return Plan(options, store, series, spec, weights, normalization, digests, broken)


def _each(
    function: Callable[[str], _T], names: Iterable[str], broken: Mapping[str, DataError]
) -> tuple[dict[str, _T], dict[str, DataError]]:
    """Call a function with each position's name; keep the positions that cannot be read apart, unless all are such."""

    def attempt(name: str) -> _T | DataError:
        try:
            return function(name)
        except DataError as error:
            return error

    names = list(names)
    with ThreadPoolExecutor(READERS) as pool:
        found = dict(zip(names, pool.map(attempt, names), strict=True))
    errors = {**broken, **{name: result for name, result in found.items() if isinstance(result, DataError)}}
    results = {name: result for name, result in found.items() if not isinstance(result, DataError)}
    if not results:
        raise next(iter(errors.values()))
    return results, errors


def _series(position: Position, spec: ModelSpec, options: SmoothOptions) -> Iterator[Series]:
    channel, frames = select_channel(position, options.channel), select_frames(position, options.frames)
    truth, depths = _truth(position, channel, spec), select_planes(position, options.z)
    blank = _blank_planes(position, channel, depths, frames, options)
    for plane, z in enumerate(depths):
        yield Series(position, channel, truth, z, plane, frames, blank[z])


def _truth(position: Position, channel: int, spec: ModelSpec) -> tuple[int, ...]:
    names = position.channels
    if not set(spec.output_channels) <= set(names) or names[channel] in spec.output_channels:
        return ()
    return tuple(names.index(name) for name in spec.output_channels)


def _blank_planes(
    position: Position, channel: int, depths: Sequence[int], frames: range, options: SmoothOptions
) -> dict[int, bool]:
    """Tell of each plane whether no frame holds an image; ``UsageError`` if some do, but too few for the filters."""
    filters = options.filters().values()
    needed = max((temporal_filter.minimum for temporal_filter in filters), default=1)
    found = dict.fromkeys(depths, 0)
    for t in frames:  # and not plane by plane, because planes may share a chunk
        lacking = [z for z in depths if found[z] < needed]
        if not lacking:
            break
        for z in lacking:
            found[z] += normalize.is_valid(position.read(t, channel, z))
    for z, temporal_filter in product(depths, filters):
        if found[z] < temporal_filter.minimum and (found[z] or len(frames) < temporal_filter.minimum):
            flag = "--savgol-window" if temporal_filter.name == "savgol" else "--window"
            size = options.savgol_window if temporal_filter.name == "savgol" else options.window
            raise UsageError(
                f"{flag} {size} needs {temporal_filter.minimum} valid frames, and {position.path} "
                f"(channel {position.channels[channel]}, plane {z}) has {found[z]} of {len(frames)}; "
                "choose a smaller window, or other --methods"
            )
    return {z: not found[z] for z in depths}


def _digest(series: Sequence[Series]) -> str:
    digest = hashlib.sha256()
    for one in series:
        for t in (one.frames[0], one.frames[len(one.frames) // 2], one.frames[-1]):
            digest.update(one.position.read(t, one.channel, one.z).tobytes())
    return digest.hexdigest()[:16]
