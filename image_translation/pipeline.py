"""The main job, wired from the other modules: a checked plan in, finished stores, metrics and figures out.

    OME-Zarr movie -> frames -> normalise -> predict -> temporal filters -> OME-Zarr stores + metrics + figures

Frames are streamed, so that memory holds a window and never the movie. While the network works on one batch, the next
is read by one thread, and the last is filtered, scored and written by another.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from image_translation import models
from image_translation.errors import listing
from image_translation.field_statistics import field_statistics
from image_translation.figures import write_figures
from image_translation.journal import STORE_SUFFIX, Journal, write_json
from image_translation.normalize import Statistics
from image_translation.output import create_store, finish_image, image_path
from image_translation.placement import remove
from image_translation.plan import Plan
from image_translation.plane_groups import plane_groups
from image_translation.predict import Predictor
from image_translation.results import FIGURES, METRICS, Survey, survey
from image_translation.rows import RAW, Row, read_csv, write_csv
from image_translation.series import stain
from image_translation.sink import SeriesResult, Workspace

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
    found = survey(plan)
    if found.complete:
        _log.info("%s holds these results already", options.output)
        return read_csv(options.output / METRICS)
    with Journal(options.output) as journal:
        found = survey(plan)  # once more, where no other run can change it
        journal.open(found.plan.request, overwrite=options.overwrite)
        rows = None if journal.complete else _fill(found, journal)
        names = [f"{method}{STORE_SUFFIX}" for method in found.missing]
        journal.publish([*names, METRICS, FIGURES], found.retired)
    return read_csv(options.output / METRICS) if rows is None else rows


def _fill(found: Survey, journal: Journal) -> list[Row]:
    """Do the work: everything that is to be published lies in the journal's directory afterwards."""
    plan = found.plan
    growing = list(dict.fromkeys([*([] if RAW in found.finished else [RAW]), *found.missing]))
    for method in growing:
        path = journal.store(method)
        if not path.exists():
            # Named at last, so that a store which is there has all its metadata.
            scratch = path.with_name(f"new-{path.name}")
            remove(scratch)
            create_store(scratch, plan.store, list(plan.images(method).values()))
            journal.forget(method)
            scratch.rename(path)
    stores = {**found.finished, **{method: journal.store(method) for method in growing}}
    results = _run(plan, Workspace(stores, frozenset(growing), journal))
    _warn(plan, results)
    rows = [row for result in results for row in result.rows]
    write_csv(rows, journal.directory / METRICS)
    for method in growing:
        _finish_store(plan, method, journal.store(method), results)
    remove(journal.directory / FIGURES)
    write_figures(plan, stores, results, journal.directory / FIGURES)
    return rows


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
        series = next(one for one in plan.series if one.position.name == position)
        return field_statistics(series.position, series.channel, plan.normalization)

    results: list[SeriesResult] = []
    total = sum(len(series.frames) for series in plan.series)
    with tqdm(total=total, unit="frame", disable=None, dynamic_ncols=True, desc="staining") as bar:
        for numbers in plane_groups(plan):
            notes = {number: workspace.journal.note(number) for number in numbers}
            known = {number: result for number, note in notes.items() if (result := _noted(note)) is not None}
            bar.update(sum(len(plan.series[number].frames) for number in known))
            if left := [number for number in numbers if number not in known]:
                group = [plan.series[number] for number in left]
                how = statistics(group[0].position.name)
                stained = stain(plan, group, how, workspace, predictor=predictor, progress=bar.update)
                for number, result in zip(left, stained, strict=True):
                    write_json(notes[number], result.to_json())
                    known[number] = result
            results += [known[number] for number in numbers]
    return results


def _noted(note: Path) -> SeriesResult | None:
    """Read the result of a series that an earlier run has finished; None if there is no usable one."""
    try:
        return SeriesResult.from_json(json.loads(note.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


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
        _log.warning("the phase hardly varies in %s: normalised by another measure of its spread", listing(flat))
    invalid = {result.name: result.invalid for result in results if result.invalid}
    if invalid:
        _log.warning(
            "%d frames without an image (zero, constant or not finite) are NaN in the results: %s",
            sum(len(numbers) for numbers in invalid.values()),
            "; ".join(f"{name}: {listing(numbers)}" for name, numbers in invalid.items()),
        )
    if plan.store.unreadable:
        _log.warning("left out, because they cannot be read: %s", listing(plan.store.unreadable))


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
