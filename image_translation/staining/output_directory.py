"""What an output directory already holds, and what of it a run can keep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from image_translation.errors import DataError, ImageTranslationError, UsageError
from image_translation.metrics.rows import RAW
from image_translation.omezarr.arrays import read_attributes
from image_translation.omezarr.output import PROVENANCE_KEY
from image_translation.omezarr.store import STORE_SUFFIX, open_store
from image_translation.staining.fingerprints import EarlierPrediction, stored_fingerprints
from image_translation.staining.journal import is_being_published, unfinished_request
from image_translation.staining.methods import METHODS, options_of, version_of
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import Plan
from image_translation.staining.request import differences, positions_of, same_but_for_frames, same_request

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
    """

    plan: Plan
    finished: dict[str, Path]
    retired: tuple[str, ...]
    earlier: Mapping[str, EarlierPrediction] = field(default_factory=dict)

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
    earlier = _unchanged(plan, paths[RAW]) if RAW in requests and finished else {}
    n_unchanged = sum(len(prediction.frames) for prediction in earlier.values())
    if changed and not n_unchanged:
        how = differences(requests[next(iter(finished))], plan.request)
        raise UsageError(
            f"{paths[next(iter(finished))]} was made from another movie ({how}); choose another -o, or replace it with "
            "--overwrite"
        )
    if finished and (changed or (earlier and n_unchanged < plan.n_frames)):
        return Existing(extended, {}, tuple(retired), earlier)
    return Existing(extended, finished, tuple(retired))


def _unchanged(plan: Plan, raw: Path) -> dict[str, EarlierPrediction]:
    """Return the stored raw prediction of the frames that have not changed, by position; empty if it cannot be told."""
    try:
        root = open_store(raw)
    except ImageTranslationError:
        return {}
    earlier = {}
    for name in set(root.names) & set(plan.groups):
        position, group = root.position(name), plan.groups[name]
        known = stored_fingerprints(position)
        if known is None:
            return {}
        files, first = plan.files[name], group[0]
        unchanged = known.unchanged(first.position, first.channel, first.frames, files)
        earlier[name] = EarlierPrediction(position, known.start, frozenset(unchanged))
    return earlier


def belongs_to(output: Path, movie: Path) -> bool:
    """Return whether all results in an output directory, finished or not, were made from a movie of this name."""
    paths = [output / f"{method}{STORE_SUFFIX}" for method in METHODS]
    requests = [_stored_request(path) for path in paths if path.exists()]
    unfinished = unfinished_request(output)
    if unfinished is not None:
        requests.append(unfinished)
    return all(Path(request.get("input", {}).get("movie", "")).name == movie.name for request in requests)


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
