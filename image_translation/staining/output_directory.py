"""What an output directory already holds, and what of it a run can keep."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from image_translation.errors import DataError, UsageError, listing
from image_translation.metrics.rows import RAW
from image_translation.omezarr.arrays import read_attributes
from image_translation.omezarr.chunk_files import count_missing
from image_translation.omezarr.store import PROVENANCE_KEY, STORE_SUFFIX, open_store
from image_translation.staining.fingerprints import EarlierPrediction, Fingerprints, stored_fingerprints
from image_translation.staining.journal import is_being_published, unfinished_request
from image_translation.staining.methods import METHODS, options_of, version_of
from image_translation.staining.options import SmoothOptions
from image_translation.staining.phase_statistics import still_stored
from image_translation.staining.plan import Plan
from image_translation.staining.request import differences, movie_name, positions_of, same_but_for_frames, same_request
from image_translation.staining.series import context_planes

METRICS = "metrics.csv"
FIGURES = "figures"


@dataclass(frozen=True)
class Existing:
    """Existing results, seen from a plan.

    Attributes
    ----------
    plan
        The plan, extended by the methods that exist already for the same input and network: they are scored and drawn
        with the new ones, so that metrics and figures always cover all stores beside them.
    finished
        Stores that are kept.
    retired
        Names of stores of another request, which are to be removed.
    earlier
        Where the movie has changed, so that all stores are written anew: the raw prediction of the frames that have
        not, by position.
    changed
        Whether the movie has changed.
    kept
        Positions of a changed movie that have not, and whose images and metrics remain as they are.
    """

    plan: Plan
    finished: dict[str, Path]
    retired: tuple[str, ...]
    earlier: Mapping[str, EarlierPrediction] = field(default_factory=dict)
    changed: bool = False
    kept: frozenset[str] = frozenset()

    @property
    def missing(self) -> list[str]:
        """Methods whose stores are still to be written."""
        return [method for method in self.plan.options.methods if method not in self.finished]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        output = self.plan.options.output
        there = all((output / name).exists() for name in (METRICS, FIGURES))
        return not self.missing and there and not is_being_published(output)


def find_existing(plan: Plan) -> Existing:
    """Inspect the output directory of a plan.

    Raises
    ------
    UsageError
        If there are results of another request that must not be overwritten, or files that the program did not write.
    """
    options = plan.options
    paths = {method: options.output / f"{method}{STORE_SUFFIX}" for method in METHODS}
    requests = {method: _stored_request(path) for method, path in paths.items() if path.exists()}
    _refuse_foreign_files(options.output, made_here=any(requests.values()))
    finished, retired, changed = {}, [], False
    for method, request in requests.items():
        requested = method in options.methods
        wanted = json.loads(json.dumps(plan.request))
        wanted["methods"] = plan.store_request(method)["methods"] if requested else request.get("methods")
        if _same(request, wanted) or (not options.overwrite and same_but_for_frames(request, wanted)):
            if not (requested and options.overwrite):
                finished[method] = paths[method]
                changed |= not _same(request, wanted)
        elif not options.overwrite:
            how = differences(request, wanted) if request else "it does not say what it was made from"
            raise UsageError(
                f"{paths[method]} exists with other options ({how}); choose another -o, or replace it with --overwrite"
            )
        elif request and not requested:
            retired.append(paths[method].name)
    stored = {method: requests[method]["methods"][method] for method in finished if method not in options.methods}
    extended = replace(plan, options=_with_methods(options, stored))
    comparison = _Comparison(plan)
    unchanged = {method: comparison.unchanged(path) for method, path in finished.items()}
    if changed and not comparison.shares_pixels:
        first = next(iter(finished))
        how = differences({"input": requests[first]["input"]}, {"input": plan.request["input"]})
        raise UsageError(
            f"{paths[first]} was made from another movie ({how}), as far as can be told; choose another -o, or replace "
            "it with --overwrite"
        )
    if not changed and all(frames is None or comparison.is_all(frames) for frames in unchanged.values()):
        return Existing(extended, finished, tuple(retired))
    if not options.overwrite:
        comparison.refuse_lost_frames()
    usable = None if options.overwrite else unchanged.get(RAW)
    earlier = _earlier(plan, paths[RAW], usable) if usable else {}
    kept = _kept(extended, finished, unchanged) if earlier else frozenset()
    return Existing(extended, {}, tuple(retired), earlier, changed=True, kept=kept)


class _Comparison:
    """Compares the frames of a movie with the fingerprints in stores that were made from it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: list[tuple[str, Fingerprints, frozenset[int]]] = []

    def unchanged(self, path: Path) -> dict[str, frozenset[int]] | None:
        """Return the frames that have not changed since a store was made, by position; None if it does not tell."""
        root = open_store(path)
        found: dict[str, frozenset[int]] = {}
        for name in set(root.names) & set(self._plan.groups):
            stored = stored_fingerprints(root.position(name))
            if stored is None:
                return None
            same = self._compare(name, stored)
            found[name] = still_stored(self._plan, name, root.position(name), same)
        return found

    def is_all(self, frames: Mapping[str, Collection[int]]) -> bool:
        """Return whether these are all frames of all positions."""
        return all(len(frames.get(name, ())) == len(group[0].frames) for name, group in self._plan.groups.items())

    @property
    def shares_pixels(self) -> bool:
        """Whether any frame that is not blank is the same as in a store."""
        return any(not self._is_blank(name, t) for name, _, frames in self._known for t in frames)

    def refuse_lost_frames(self) -> None:
        """Raise a ``DataError`` if frames that were stained are no longer there."""
        for name, stored, unchanged in self._known:
            known = range(stored.start, stored.start + len(stored.files))
            frames = self._plan.groups[name][0].frames
            lost = [t for t in frames if t in known and t not in unchanged and self._is_blank(name, t)]
            if lost:
                path = self._plan.groups[name][0].position.path
                raise DataError(
                    f"the pixels of {len(lost)} frames of {path}, which were stained, are gone: {listing(lost)}; "
                    "is the movie complete? --overwrite replaces the results nonetheless"
                )

    def _compare(self, name: str, stored: Fingerprints) -> frozenset[int]:
        for known_name, known, frames in self._known:
            if (known_name, known) == (name, stored):
                return frames
        first, whole = self._plan.groups[name][0], not context_planes(self._plan.groups[name])
        unchanged = stored.unchanged(first.position, first.channels, first.frames, self._plan.files[name], whole=whole)
        self._known.append((name, stored, frozenset(unchanged)))
        return self._known[-1][2]

    def _is_blank(self, name: str, t: int) -> bool:
        files = [path for series in self._plan.groups[name] for path in series.files(t)]
        return count_missing(files) == len(files)


def _kept(
    plan: Plan, finished: Mapping[str, Path], unchanged: Mapping[str, Mapping[str, Collection[int]] | None]
) -> frozenset[str]:
    """Return the positions of one plane of which no frame has changed, if this version has finished all methods."""
    if not set(plan.options.methods) <= set(finished) or plan.options.register:
        return frozenset()
    found = [frames or {} for frames in unchanged.values()]
    raw = open_store(finished[RAW])
    return frozenset(
        name
        for name, planes in plan.groups.items()
        if len(planes) == 1
        and all(len(frames.get(name, ())) == len(planes[0].frames) for frames in found)
        and raw.position(name).attributes[PROVENANCE_KEY].get("version") == version("image-translation")
    )


def _earlier(plan: Plan, raw: Path, frames: Mapping[str, frozenset[int]]) -> dict[str, EarlierPrediction]:
    """Return the raw prediction of frames by position, as far as it is complete on disk."""
    root, earlier = open_store(raw), {}
    for name, numbers in frames.items():
        position = root.position(name)
        start = plan.groups[name][0].frames.start  # that of the request, and so of the store
        planes = [(channel, series.plane) for channel in range(position.shape[1]) for series in plan.groups[name]]
        there = {
            t for t in numbers if not any(count_missing(position.chunk_files(t - start, *plane)) for plane in planes)
        }
        earlier[name] = EarlierPrediction(position, start, frozenset(there))
    return earlier


def belongs_to(output: Path, movie: Path) -> bool:
    """Return whether all results in an output directory, finished or not, were made from a movie of this name."""
    paths = [output / f"{method}{STORE_SUFFIX}" for method in METHODS]
    requests = [_stored_request(path) for path in paths if path.exists()]
    unfinished = unfinished_request(output)
    if unfinished is not None:
        requests.append(unfinished)
    return all(movie_name(request) == movie.name for request in requests)


def _stored_request(path: Path) -> dict[str, Any]:
    """Read the request from the provenance of a store; empty if the program did not write the store."""
    try:
        return dict(read_attributes(path)[PROVENANCE_KEY]["request"])
    except (DataError, KeyError, TypeError, ValueError):
        return {}


def _same(request: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a store matches a request for the same positions, even if one can no longer be read."""
    return sorted(positions_of(request)) == sorted(positions_of(wanted)) and same_request(request, wanted)


def _refuse_foreign_files(output: Path, *, made_here: bool) -> None:
    for name in (METRICS, FIGURES):
        if (output / name).exists() and not made_here:
            raise UsageError(
                f"{output / name} exists without a store that it belongs to; move it, or choose another -o"
            )


def _with_methods(options: SmoothOptions, stored: Mapping[str, Mapping[str, int]]) -> SmoothOptions:
    """Add methods, with the parameters of their stores."""
    used = {option for method in options.methods for option in options_of(method).values()}
    for method, parameters in stored.items():
        if parameters.get("version", 1) != version_of(method).get("version", 1):
            raise UsageError(
                f"{options.output / method}{STORE_SUFFIX} was made by another version of this method; "
                "choose another -o, or replace all results with --overwrite"
            )
        for name, option in options_of(method).items():
            if option in used and parameters[name] != getattr(options, option):
                raise UsageError(
                    f"{options.output / method}{STORE_SUFFIX} was made with {name} {parameters[name]}; "
                    "give the same option, or choose another -o"
                )
            changes: dict[str, Any] = {option: parameters[name]}
            options = replace(options, **changes)
    methods = tuple(method for method in METHODS if method in options.methods or method in stored)
    return replace(options, methods=methods)
