"""The main job, wired from the other modules: a checked plan in, finished stores, metrics and figures out.

    OME-Zarr movie -> frames -> normalise -> predict -> temporal filters -> OME-Zarr stores + metrics + figures

Frames are streamed, so that memory holds a window and never the movie. While the network works on one batch, the next
is read by one thread, and the last is filtered, scored and written by another.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from image_translation import models
from image_translation.errors import DataError, UsageError
from image_translation.evaluate import RAW
from image_translation.figures import write_figures
from image_translation.journal import STORE_SUFFIX, Journal, differences, remove, write_json
from image_translation.normalize import Statistics
from image_translation.output import ATTRIBUTE, create_store, finish_image, image_path
from image_translation.plan import Plan
from image_translation.predict import Predictor
from image_translation.rows import Row, read_csv, write_csv
from image_translation.series import field_statistics, stain
from image_translation.sink import SeriesResult, Workspace
from image_translation.store import open_store

METRICS = "metrics.csv"
FIGURES = "figures"
LIBRARIES = ("torch", "viscy", "iohub", "numpy", "scipy")

_log = logging.getLogger(__name__)


def smooth_movie(plan: Plan) -> list[Row]:
    """Stain a movie, smooth it over time, and write the results.

    Whatever an earlier, interrupted run with an equal request has done is taken over. Finished stores of the same
    request are left as they are.

    Parameters
    ----------
    plan
        What to do.

    Returns
    -------
    list of Row
        The metrics, as in ``metrics.csv``.

    Raises
    ------
    UsageError
        If there are results of other options, and they are not to be overwritten.
    DataError
        If something cannot be read or written.
    """
    options = plan.options
    finished = {} if options.overwrite else _finished_stores(plan)
    missing = [method for method in options.methods if method not in finished]
    if not missing and (options.output / METRICS).exists():
        _log.info("%s holds these results already", options.output)
        return read_csv(options.output / METRICS)
    with Journal(options.output, plan.request, overwrite=options.overwrite) as journal:
        if not journal.complete:
            _fill(plan, journal, finished, missing)
        rows = read_csv(next(path for path in (journal.directory / METRICS, options.output / METRICS) if path.exists()))
        journal.publish(missing, [METRICS, FIGURES])
    return rows


def _finished_stores(plan: Plan) -> dict[str, Path]:
    """Find the finished stores of this request, and refuse to go on over those of another."""
    finished = {}
    for method in dict.fromkeys([RAW, *plan.options.methods]):
        path = plan.options.output / f"{method}{STORE_SUFFIX}"
        if not path.exists():
            continue
        request = _request_of(path)
        wanted = json.loads(json.dumps(plan.store_request(method)))
        if request == wanted:
            finished[method] = path
        elif method in plan.options.methods:
            how = differences(request, wanted) if request else "it does not say what it was made from"
            raise UsageError(
                f"{path} exists with other options ({how}); choose another -o, or replace it with --overwrite"
            )
    return finished


def _request_of(path: Path) -> dict[str, Any]:
    try:
        store = open_store(path)
        return store.position(store.names[0]).attributes[ATTRIBUTE]["request"]
    except (DataError, KeyError, TypeError):
        return {}


def _fill(plan: Plan, journal: Journal, finished: Mapping[str, Path], missing: Sequence[str]) -> None:
    """Do the work: everything that is to be published lies in the journal's directory afterwards."""
    growing = list(dict.fromkeys([*([] if RAW in finished else [RAW]), *missing]))
    for method in growing:
        path = journal.store(method)
        if not path.exists():
            # Named at last, so that a store which is there has all its metadata.
            scratch = path.with_name(f"new-{path.name}")
            remove(scratch)
            create_store(scratch, plan.store, list(plan.images(method).values()))
            scratch.rename(path)
    stores = {method: finished.get(method, journal.store(method)) for method in [*finished, *growing]}
    results = _run(plan, Workspace(stores, frozenset(growing), journal))
    _warn(plan, results)
    rows = [row for result in results for row in result.rows]
    write_csv(rows, journal.directory / METRICS)
    for method in growing:
        _finish_store(plan, method, journal.store(method), results)
    remove(journal.directory / FIGURES)
    write_figures(plan, stores, rows, journal.directory / FIGURES)


def _run(plan: Plan, workspace: Workspace) -> list[SeriesResult]:
    options = plan.options

    @cache  # made when the first frame needs it: a run that has nothing left to predict does not wait for VisCy
    def predictor() -> Predictor:
        _log.info("loading the network; this takes up to a minute")
        return Predictor(
            models.build(plan.spec, plan.weights),
            plan.spec.stride,
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
            tta=options.tta,
        )

    @cache
    def statistics(position: str) -> Statistics:
        return field_statistics(
            [series for series in plan.series if series.position.name == position], plan.normalization
        )

    results = []
    total = sum(len(series.frames) for series in plan.series)
    with tqdm(total=total, unit="frame", disable=None, dynamic_ncols=True, desc="staining") as bar:
        for number, series in enumerate(plan.series):
            note = workspace.journal.directory / f"series-{number}.json"
            if note.exists():
                results.append(SeriesResult.from_json(json.loads(note.read_text())))
                bar.update(len(series.frames))
            else:
                how = statistics(series.position.name)
                results.append(stain(plan, series, how, workspace, predictor=predictor, progress=bar.update))
                write_json(note, results[-1].to_json())
    return results


def _warn(plan: Plan, results: Sequence[SeriesResult]) -> None:
    """Say once what the results alone do not show."""
    for note in plan.spec.notes:
        _log.warning("%s", note)
    if not (plan.options.normalization or plan.spec.normalization):
        _log.warning(
            "the checkpoint does not say how the phase is to be normalised: %s was used; "
            "a wrong one spoils the stain, so look at it, and choose with --normalization",
            plan.normalization,
        )
    flat = [result.position for result in results if result.statistics.degenerate]
    if flat:
        _log.warning("the phase hardly varies in %s: normalised by another measure of its spread", _listing(flat))
    for result in results:
        if result.invalid:
            _log.warning(
                "%s: %d frames hold no image (zero, constant or not finite) and are NaN in the results: %s",
                result.name,
                len(result.invalid),
                _listing(result.invalid),
            )


def _finish_store(plan: Plan, method: str, path: Path, results: Sequence[SeriesResult]) -> None:
    for name, image in plan.images(method).items():
        own = [result for result in results if result.position == name]
        ends = {"min": min, "max": max, "start": min, "end": max}
        windows = [
            {key: end(result.windows[c][key] for result in own) for key, end in ends.items()}
            for c in range(len(image.channels))
        ]
        provenance = {
            "version": version("image-translation"),
            "request": plan.store_request(method),
            "checkpoint": {"name": plan.spec.path.name, "description": plan.spec.description},
            "normalization": asdict(own[0].statistics),
            "invalid_frames": sorted({number for result in own for number in result.invalid}),
            "libraries": {library: version(library) for library in LIBRARIES},
        }
        finish_image(image_path(path, name), image, windows, provenance)


def _listing(items: Sequence[object], most: int = 20) -> str:
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown}, ... ({len(items)} in all)"
