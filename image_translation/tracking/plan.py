"""The plan of a tracking: the store opened, and the positions to track; all errors of the options are found here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError, listing
from image_translation.metrics.objects import is_nuclear
from image_translation.omezarr.arrays import is_zarr
from image_translation.omezarr.labels import GROUP
from image_translation.omezarr.output import SUFFIX, image_path
from image_translation.omezarr.selection import select_planes
from image_translation.omezarr.store import PROVENANCE_KEY, STORE_SUFFIX, Position, Store, open_store
from image_translation.tracking.nuclei import Stain
from image_translation.tracking.options import TrackingOptions

LABELS = "nuclei"
"""Name of the label image."""

TRACKS = "tracks"
"""Directory of tracks in a results directory."""

_METHODS = ("motion", "raw")  # the best first
_CHANNEL, _PREDICTION = "Nuclei", "_prediction"


@dataclass(frozen=True)
class TrackingTask:
    """One position to track.

    Attributes
    ----------
    stain
        What is tracked.
    directory
        Where tracks and tables are written.
    labels
        Directory of the label image.
    image
        Directory of the image whose labels they are; None if they are a store of their own.
    """

    stain: Stain
    directory: Path
    labels: Path
    image: Path | None

    @property
    def name(self) -> str:
        """Name of the position."""
        return self.stain.position.name

    @property
    def channel(self) -> str:
        """Name of the channel."""
        return self.stain.position.channels[self.stain.channel]


@dataclass(frozen=True)
class TrackingPlan:
    """A tracking that has been checked.

    Attributes
    ----------
    options
        The options.
    store
        The store that is tracked.
    output
        Directory of tracks and tables.
    label_store
        The store of the label images; None if they are written into the store that is tracked.
    tasks
        The positions.
    """

    options: TrackingOptions
    store: Store
    output: Path
    label_store: Path | None
    tasks: tuple[TrackingTask, ...]


def make_plan(options: TrackingOptions) -> TrackingPlan:
    """Check options against the store that they name.

    Parameters
    ----------
    options
        Options that have passed their own ``check``.

    Returns
    -------
    TrackingPlan
        Input of ``run.track``.

    Raises
    ------
    UsageError
        If store, channel, plane or position do not exist, or it is not clear which is meant.
    DataError
        If the store cannot be read.
    """
    source = data.resolve(options.source, kind="movie")
    if is_zarr(source):
        path, output = source, _output_of_store(source, options)
    else:
        path = _store_of(source, options.method)
        output = options.output or source / TRACKS
    store = open_store(path)
    label_store = output / f"{LABELS}{STORE_SUFFIX}" if options.output else None
    tasks = tuple(
        _task(store.position(name), store, options, output, label_store) for name in store.select(options.positions)
    )
    return TrackingPlan(options, store, output, label_store, tasks)


def _output_of_store(store: Path, options: TrackingOptions) -> Path:
    if options.method is not None:
        raise UsageError(
            f"--method {options.method}: chooses among the results of smooth, and {store} is a store; leave it out"
        )
    if options.output is None:
        raise UsageError(
            f"{store} is a store and no results directory of smooth: nothing is written into it; choose a directory "
            "for labels and tracks with -o"
        )
    return options.output


def _store_of(results: Path, method: str | None) -> Path:
    """Return the store of a method in a results directory."""
    found = {path.name.removesuffix(STORE_SUFFIX): path for path in sorted(results.glob(f"*{STORE_SUFFIX}"))}
    if not found:
        raise UsageError(f"{results} is neither an OME-Zarr store nor a directory of *{STORE_SUFFIX}")
    wanted = _METHODS if method is None else (method,)
    for name in wanted:
        if name in found:
            return found[name]
    given = f"--method {method}: " if method else "neither motion nor raw: "
    raise UsageError(f"{given}{results} has {listing(list(found))}; choose one with --method")


def _task(
    position: Position, store: Store, options: TrackingOptions, output: Path, label_store: Path | None
) -> TrackingTask:
    planes = select_planes(position, options.z)
    if len(planes) > 1:
        raise UsageError(
            f"--z {options.z}: nuclei are tracked in one plane, and these are {len(planes)} of {position.path}; choose "
            "one, such as --z middle"
        )
    stain = Stain(position, _select_channel(position, options.channel), planes[0])
    directory = output / position.name
    if label_store:
        return TrackingTask(stain, directory, image_path(label_store, position.name), None)
    image = image_path(store.path, position.name)
    return TrackingTask(stain, directory, image / GROUP / LABELS, image)


def _select_channel(position: Position, name: str | None) -> int:
    """Select the channel of nuclei, with or without the suffix of predictions."""
    channels, wanted = position.channels, name or _CHANNEL
    for suffix in ("", *_suffixes(position)):
        if wanted + suffix in channels:
            return channels.index(wanted + suffix)
    if name is not None:
        raise UsageError(f"--channel {name} is not in {position.path}; it has {listing(channels)}")
    nuclear = [channel for channel in channels if is_nuclear(channel)]
    if len(nuclear) != 1:
        raise UsageError(
            f"{position.path} has the channels {listing(channels)}, of which {listing(nuclear) or 'none'} have names "
            "of nuclei; choose one with --channel NAME"
        )
    return channels.index(nuclear[0])


def _suffixes(position: Position) -> tuple[str, ...]:
    """Return what may be appended to the names of predicted channels: what the provenance says, and what is common."""
    provenance = position.attributes.get(PROVENANCE_KEY)
    stored = provenance.get(SUFFIX) if isinstance(provenance, Mapping) else None
    return (stored, _PREDICTION) if isinstance(stored, str) else (_PREDICTION,)
