"""What an output directory already holds, and what of it a run can keep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.arrays import read_attributes
from image_translation.omezarr.output import PROVENANCE_KEY
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.journal import is_being_published, unfinished_request
from image_translation.staining.methods import METHODS, options_of, version_of
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import Plan
from image_translation.staining.request import differences, positions_of, same_request

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
    """

    plan: Plan
    finished: dict[str, Path]
    retired: tuple[str, ...]

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
    finished, retired = {}, []
    for method, request in requests.items():
        requested = method in options.methods
        wanted = json.loads(json.dumps(plan.request))
        wanted["methods"] = plan.store_request(method)["methods"] if requested else request.get("methods")
        if _same(request, wanted):
            if not (requested and options.overwrite):
                finished[method] = paths[method]
        elif not options.overwrite:
            how = differences(request, wanted) if request else "it does not say what it was made from"
            raise UsageError(
                f"{paths[method]} exists with other options ({how}); choose another -o, or replace it with --overwrite"
            )
        elif request and not requested:
            retired.append(paths[method].name)
    stored = {method: requests[method]["methods"][method] for method in finished if method not in options.methods}
    return Existing(replace(plan, options=_with_methods(options, stored)), finished, tuple(retired))


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
