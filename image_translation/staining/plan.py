"""The plan of a run: options checked against the movie and the checkpoint, before anything is computed or written."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from image_translation import data, normalize
from image_translation.errors import DataError, UsageError
from image_translation.metrics.rows import RAW
from image_translation.network.checkpoint import StateDict
from image_translation.network.devices import resolve_device, resolve_precision
from image_translation.network.loading import ModelSpec, read_spec
from image_translation.network.pixel_size import describe_mismatch
from image_translation.network.resampling import Resampling
from image_translation.network.sliding_window import StackWindow
from image_translation.omezarr.blank_frames import NAN
from image_translation.omezarr.digest import digest_of_movie
from image_translation.omezarr.output import ZARR_FORMATS, ImageSpec
from image_translation.omezarr.selection import MIDDLE, select_channel, select_planes
from image_translation.omezarr.store import Position, Store
from image_translation.progress_bar import ProgressBar
from image_translation.sources.movie import open_movie
from image_translation.staining.network_grid import network_grid, stack_window
from image_translation.staining.options import SmoothOptions
from image_translation.staining.series import Series, file_fingerprint, select_series
from image_translation.temporal.registration import METHOD as REGISTRATION_METHOD

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

READERS = 8  # positions inspected in parallel: most of the time is spent waiting for the storage


@dataclass(frozen=True)
class Plan:
    """A run that has been checked.

    Attributes
    ----------
    options
        Options of the run.
    store
        The movie.
    series
        What is to be stained, position by position and plane by plane.
    spec
        Description of the checkpoint.
    weights
        Weights of the checkpoint, for ``loading.build_network``.
    normalization
        Normalisation method of the label-free channel.
    digests
        Hash of some pixels of each position, to recognise that a movie was replaced by another.
    files
        Fingerprint of the files of each frame of each position, as found when the plan was made.
    unreadable
        Positions that cannot be read, and why; they have no series.
    statistics_over
        What the statistics to normalise by are pooled over.
    """

    options: SmoothOptions
    store: Store
    series: tuple[Series, ...]
    spec: ModelSpec
    weights: dict[str, Any]
    normalization: normalize.Method
    digests: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    unreadable: Mapping[str, DataError] = field(default_factory=dict)
    statistics_over: normalize.Over = normalize.DEFAULT_OVER

    def part(self, name: str) -> "Plan":
        """Return the part that concerns one position, small enough to be sent to another process.

        It is without the weights: a worker reads them from the checkpoint.
        """
        return replace(
            self,
            store=replace(self.store, names=(name,), metadata={}, unreadable=()),
            series=self.groups[name],
            weights={},
            digests={name: self.digests[name]},
            files={name: self.files[name]},
            unreadable={},
        )

    @property
    def window(self) -> StackWindow | None:
        """How the network is slid along z; None if it takes single planes."""
        return stack_window(self.spec, self.options)

    def grid(self, position: Position) -> Resampling:
        """Return how an image is brought to the pixels of the network, and its prediction back."""
        return network_grid(position, self.spec, self.options)

    @cached_property
    def request(self) -> dict[str, Any]:
        """Everything that decides the pixels of the results, as JSON values."""
        first = self.series[0]
        return {
            "input": {
                "movie": self.store.path.resolve().name,  # and not its path: results are published
                "channel": first.position.channels[first.channel],
                **({"more_channels": [first.position.channels[c] for c in first.more]} if first.more else {}),
                "z": sorted({series.z for series in self.series}),
                **self.options.metadata.to_json(),
                "positions": dict.fromkeys(self.unreadable)
                | {
                    series.position.name: {
                        "shape": list(series.position.shape),
                        "frames": [series.frames.start, series.frames.stop],
                        "pixels": self.digests[series.position.name],
                        **({"pixel_size": list(series.position.voxel_size)} if self.options.resample else {}),
                    }
                    for series in self.series
                },
            },
            "prediction": {
                "checkpoint": self.spec.sha256,
                "normalization": self.normalization,
                "precision": self.options.precision,
                "tta": self.options.tta,
                # Only where it is asked for: requests of earlier versions stay equal.
                **({"network": dict(self.spec.supplied)} if self.spec.supplied else {}),
                **({"registration": REGISTRATION_METHOD} if self.options.register else {}),
                **({"output_channels": list(self.options.output_channels)} if self.options.output_channels else {}),
                **({"z_pad": True} if self.window and self.options.z_pad else {}),
                **({"z_reversed": True} if self.window and self.options.z_reversed else {}),
                **({"resample": list(self.spec.pixel_size or ())} if self.options.resample else {}),
                **({"statistics": self.options.statistics} if self.options.statistics != "auto" else {}),
                **({"statistics_over": self.statistics_over} if self.statistics_over != normalize.DEFAULT_OVER else {}),
                **({"statistics_window": window} if (window := self.options.statistics_window) > 1 else {}),
            },
            "methods": self.options.method_parameters(),
            **({"output": output} if (output := self._output_request()) else {}),
        }

    def _output_request(self) -> dict[str, str]:
        """Return how the results are written, as far as that is not the default."""
        options, version, like = self.options, self.options.ome_zarr, self.series[0].position
        return {
            **({"ome_zarr": version} if version and ZARR_FORMATS[version] != like.zarr_format else {}),
            **({"blank": options.blank} if options.blank != NAN else {}),
            **({"channel_suffix": options.channel_suffix} if options.channel_suffix else {}),
        }

    @property
    def zarr_format(self) -> int:
        """Zarr format of the results."""
        version = self.options.ome_zarr
        return ZARR_FORMATS[version] if version else self.series[0].position.zarr_format

    def store_request(self, method: str) -> dict[str, Any]:
        """Return everything that decides the pixels of one method's store, as JSON values."""
        parameters = {} if method == RAW else self.request["methods"][method]
        return {**self.request, "methods": {method: parameters}}

    def images(self, method: str) -> dict[str, ImageSpec]:
        """Return the specification of the output image of each position, by name."""
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
                volumes=self.window is not None,
                name=method,
                suffix=self.options.channel_suffix,
                version=self.options.ome_zarr,
                blank=self.options.blank,
            )
        return images

    @property
    def n_frames(self) -> int:
        """Number of frames of all positions, however many planes they have."""
        return sum(len(group[0].frames) for group in self.groups.values())

    @cached_property
    def groups(self) -> dict[str, tuple[Series, ...]]:
        """The series of each position, by name."""
        groups: dict[str, tuple[Series, ...]] = {}
        for series in self.series:
            groups[series.position.name] = (*groups.get(series.position.name, ()), series)
        return groups


def make_plan(
    options: SmoothOptions, *, store: Store | None = None, network: tuple[ModelSpec, StateDict] | None = None
) -> Plan:
    """Check options against their movie and their checkpoint.

    Parameters
    ----------
    options
        Options that have passed their own ``check``.
    store
        The movie, if it is open already or no file: then ``options.movie`` is its name only.
    network
        Description and weights of the checkpoint, if they have been read.

    Returns
    -------
    Plan
        Input of ``run.smooth_movie``.

    Raises
    ------
    UsageError
        If an option does not fit the movie or the checkpoint.
    DataError
        If the movie or the checkpoint cannot be read.
    """
    checkpoint = network[0].path if network else data.resolve_checkpoint(options.checkpoint)
    store = store or open_movie(data.resolve(options.movie, kind="movie"), options.metadata)
    names, action = store.select(options.positions, options.skip), f"opening {options.movie}"
    positions, unreadable = _map_positions(store.position, names, {}, action)
    for position in positions.values():
        for name in options.channels:
            select_channel(position, name)
        select_planes(position, options.z or MIDDLE)
    resolve_precision(options.precision, resolve_device(options.device))
    if network is None:
        _log.info("reading the checkpoint %s", options.checkpoint)
    spec, weights = network or read_spec(checkpoint, head_pool=options.head_pool)
    spec.require_libraries()
    spec = spec.with_output_channels(options.output_channels) if options.output_channels else spec
    if spec.architecture.in_channels > 1 and (options.statistics_over or spec.statistics_over or "fov") != "fov":
        raise UsageError(
            f"--statistics-over {options.statistics_over or spec.statistics_over}: the network takes "
            f"{spec.architecture.in_channels} channels, and only fov is supported with several"
        )
    options.check_statistics_window(options.statistics_over or spec.statistics_over or normalize.DEFAULT_OVER)

    def inspect(name: str) -> tuple[tuple[Series, ...], str, tuple[str, ...]]:
        series = tuple(select_series(positions[name], spec, options))
        first = series[0]
        digest = digest_of_movie(first.position, first.inputs, first.frames, [one.z for one in series])
        return series, digest, tuple(file_fingerprint(series, t) for t in series[0].frames)

    if not options.resample:
        _warn_of_pixel_size(positions, spec)
    inspected, unreadable = _map_positions(inspect, positions, unreadable, "looking at the frames")
    series = tuple(one for found, *_ in inspected.values() for one in found)
    if all(one.blank for one in series):
        raise DataError(
            f"{store.path} has no valid frame: all are zero, constant, or hold pixels that are not finite, "
            f"in the channel {series[0].position.channels[series[0].channel]}"
        )
    options = replace(options, methods=_usable_methods(series, options))
    normalization = options.normalization or spec.normalization or normalize.DEFAULT_METHOD
    over = options.statistics_over or spec.statistics_over or normalize.DEFAULT_OVER
    digests = {name: digest for name, (_, digest, _) in inspected.items()}
    files = {name: found for name, (_, _, found) in inspected.items()}
    return Plan(options, store, series, spec, weights, normalization, digests, files, unreadable, over)


def _warn_of_pixel_size(positions: Mapping[str, Position], spec: ModelSpec) -> None:
    sizes = {name: position.voxel_size for name, position in positions.items()}
    text = describe_mismatch(sizes, spec.pixel_size, stacks=spec.architecture.in_stack_depth > 1)
    if text:
        _log.warning("%s", text)


def _map_positions(
    function: Callable[[str], _T], names: Iterable[str], unreadable: Mapping[str, DataError], action: str
) -> tuple[dict[str, _T], dict[str, DataError]]:
    """Call a function with the name of each position; return its results, and the errors of unreadable positions.

    If no position can be read, the first error is raised. A progress bar shows the action.
    """

    def attempt(name: str) -> _T | DataError:
        try:
            return function(name)
        except DataError as error:
            return error

    names, found = list(names), {}
    with ThreadPoolExecutor(READERS) as pool, ProgressBar(len(names), action, "position", leave=False) as bar:
        for name, result in zip(names, pool.map(attempt, names), strict=True):
            found[name] = result
            bar.update()
    errors = {**unreadable, **{name: error for name, error in found.items() if isinstance(error, DataError)}}
    results = {name: result for name, result in found.items() if not isinstance(result, DataError)}
    if not results:
        raise next(iter(errors.values()))
    return results, errors


def _usable_methods(series: Sequence[Series], options: SmoothOptions) -> tuple[str, ...]:
    """Return the methods for which all series have enough valid frames, or none because they are blank.

    Raises
    ------
    UsageError
        If a method that was asked for needs more.
    """
    lacking: dict[str, str] = {}
    for one, (method, temporal_filter) in product(series, options.filters().items()):
        needed, n_frames = temporal_filter.min_frames, len(one.frames)
        if one.n_valid >= needed or (one.blank and n_frames >= needed):
            continue
        where = f"{one.position.path} (channel {one.position.channels[one.channel]}, plane {one.z})"
        has = f"{where} has {one.n_valid} of {n_frames}"
        if not options.may_leave_out(method):
            flag = "--savgol-window" if method == "savgol" else "--window"
            size = options.savgol_window if method == "savgol" else options.window
            raise UsageError(
                f"{flag} {size} needs {needed} valid frames, and {has}; choose a smaller window, or leave "
                f"{method} out of --methods"
            )
        lacking.setdefault(method, f"{method} is left out: it needs {needed} valid frames, and {has}")
    for text in lacking.values():
        _log.warning("%s", text)
    if lacking and (shape := series[0].position.shape)[0] == 1 < shape[2]:
        text = (
            "1 frame, %d planes: if the planes are frames, store them along the axis t, or name it with --axes TYX if "
            "the movie is a TIFF; else --z all stains all planes"
        )
        _log.warning(text, shape[2])
    return tuple(method for method in options.methods if method not in lacking)
