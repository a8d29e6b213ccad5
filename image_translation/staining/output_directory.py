"""What an output directory holds already, and how it bears on what is asked for now."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.arrays import group_attributes
from image_translation.omezarr.output import ATTRIBUTE
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.journal import is_being_published, unfinished_request
from image_translation.staining.methods import METHODS, PARAMETERS
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import Plan
from image_translation.staining.request import differences, same_request

METRICS = "metrics.csv"
FIGURES = "figures"


@dataclass(frozen=True)
class Survey:
    """What there is, seen from a plan.

    Attributes
    ----------
    plan
        The plan, with the methods that are there already from the same input and network: they are scored and
        drawn with the new ones, so that metrics and figures are always about all stores that lie beside them.
    finished
        Stores that stay as they are.
    retired
        Names of stores that are of another request, and are to go.
    """

    plan: Plan
    finished: dict[str, Path]
    retired: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Methods whose stores are to be written."""
        return [method for method in self.plan.options.methods if method not in self.finished]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        output = self.plan.options.output
        there = all((output / name).exists() for name in (METRICS, FIGURES))
        return not self.missing and there and not is_being_published(output)


def survey(plan: Plan) -> Survey:
    """Look at the output directory of a plan.

    Raises
    ------
    UsageError
        If there are results of another request that are not to be overwritten, or files that are not the program's.
    """
    options = plan.options
    paths = {method: options.output / f"{method}{STORE_SUFFIX}" for method in METHODS}
    requests = {method: _request_of(path) for method, path in paths.items() if path.exists()}
    _refuse_files_of_others(options.output, made_here=any(requests.values()))
    finished, retired = {}, []
    for method, request in requests.items():
        asked = method in options.methods
        wanted = json.loads(json.dumps(plan.request))
        wanted["methods"] = plan.store_request(method)["methods"] if asked else request.get("methods")
        if _same(request, wanted):
            if not (asked and options.overwrite):
                finished[method] = paths[method]
        elif not options.overwrite:
            how = differences(request, wanted) if request else "it does not say what it was made from"
            raise UsageError(
                f"{paths[method]} exists with other options ({how}); choose another -o, or replace it with --overwrite"
            )
        elif request and not asked:
            retired.append(paths[method].name)
    stored = {method: requests[method]["methods"][method] for method in finished if method not in options.methods}
    return Survey(replace(plan, options=_with_methods(options, stored)), finished, tuple(retired))


def belongs_to(output: Path, movie: Path) -> bool:
    """Tell whether everything in an output directory, finished or not, was made from a movie of this name."""
    paths = [output / f"{method}{STORE_SUFFIX}" for method in METHODS]
    requests = [_request_of(path) for path in paths if path.exists()]
    unfinished = unfinished_request(output)
    if unfinished is not None:
        requests.append(unfinished)
    return all(Path(request.get("input", {}).get("movie", "")).name == movie.name for request in requests)


def _request_of(path: Path) -> dict[str, Any]:
    """Read what a store was made from; empty if it is not the program's."""
    try:
        return dict(group_attributes(path)[ATTRIBUTE]["request"])
    except (DataError, KeyError, TypeError, ValueError):
        return {}


def _same(request: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a store is what is asked for; a position that cannot be read any more does not make it another."""
    names = [list(one.get("input", {}).get("positions", ())) for one in (request, wanted)]
    return sorted(names[0]) == sorted(names[1]) and same_request(request, wanted)


def _refuse_files_of_others(output: Path, *, made_here: bool) -> None:
    for name in (METRICS, FIGURES):
        if (output / name).exists() and not made_here:
            raise UsageError(f"{output / name} is there, but no store that it is about; move it, or choose another -o")


def _with_methods(options: SmoothOptions, stored: Mapping[str, Mapping[str, int]]) -> SmoothOptions:
    """Add methods with the parameters of their stores."""
    used = {option for method in options.methods for option in PARAMETERS[method].values()}
    for method, parameters in stored.items():
        for name, option in PARAMETERS[method].items():
            if option in used and parameters[name] != getattr(options, option):
                raise UsageError(
                    f"{options.output / method}{STORE_SUFFIX} was made with {name} {parameters[name]}; "
                    "give the same option, or choose another -o"
                )
            changes: dict[str, Any] = {option: parameters[name]}
            options = replace(options, **changes)
    methods = tuple(method for method in METHODS if method in options.methods or method in stored)
    return replace(options, methods=methods)
