"""The main job, wired from the other modules: a checked plan in, finished stores, metrics and figures out.

    OME-Zarr movie -> frames -> normalise -> predict -> temporal filters -> OME-Zarr stores + metrics + figures

Each position is a task by itself: one after the other in this process, or side by side on a cluster. Within a task
frames are streamed, so that memory holds a window and never the movie.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from image_translation.errors import DataError, UsageError, listing
from image_translation.files import remove
from image_translation.metrics.rows import RAW, Row, read_csv, write_csv
from image_translation.network.predictor import Predictor
from image_translation.omezarr.output import create_root, finish_root
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.journal import Journal
from image_translation.staining.output_directory import FIGURES, METRICS, Survey, survey
from image_translation.staining.plan import Plan
from image_translation.staining.task import Failure, Task, attempt, make_predictor, perform, provenance
from image_translation.staining.writer import SeriesResult

MOST_TOLD = 20  # positions that failed, a line each

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
        If there are results of other options, and they are not to be overwritten; or if no scheduler answers.
    DataError
        If something cannot be read or written. What concerns one position of several is said when all the others are
        finished.
    """
    options = plan.options
    found = survey(plan)
    if found.complete:
        _log.info("%s holds these results already", options.output)
        return read_csv(options.output / METRICS)
    with Journal(options.output) as journal:
        found = survey(plan)  # once more, where no other run can change it
        left_out = plan.store.matching(options.skip)
        given_up = journal.open(found.plan.request, overwrite=options.overwrite, leave_out=left_out)
        rows = None if journal.complete else _fill(found, journal, given_up)
        names = [f"{method}{STORE_SUFFIX}" for method in found.missing]
        journal.publish([*names, METRICS, FIGURES], found.retired)
    return read_csv(options.output / METRICS) if rows is None else rows


def _fill(found: Survey, journal: Journal, given_up: set[str]) -> list[Row]:
    """Do the work: everything that is to be published lies in the journal's directory afterwards."""
    plan = found.plan
    growing = tuple(dict.fromkeys([*([] if RAW in found.finished else [RAW]), *found.missing]))
    stores = {**found.finished, **{method: journal.store(method) for method in growing}}
    if plan.store.layout != "fov":
        for method in growing:
            names = [*plan.groups, *plan.broken]
            for path in _without(given_up, names):
                remove(journal.store(method) / path)
            create_root(journal.store(method), plan.store, names, plan.series[0].position.zarr_format)
    tasks = [Task(plan.part(name), stores, growing, journal.position(name).folder) for name in plan.groups]
    failures = [Failure(name, error) for name, error in plan.broken.items()]
    failures += [failure for failure in _run(plan, tasks) if failure]
    if failures:
        raise _what_failed(failures, len(tasks) + len(plan.broken), plan)
    results = [result for task in tasks for result in task.results()]
    if len(results) < len(plan.series):
        raise DataError(
            f"the work is done, but its notes are not in {journal.directory}: the output directory must be the same "
            "one for all workers of a cluster"
        )
    _warn(plan, results)
    rows = [row for result in results for row in result.rows]
    write_csv(rows, journal.directory / METRICS)
    if plan.store.layout != "fov":
        for method in growing:
            finish_root(journal.store(method), provenance(plan, method))
    remove(journal.directory / FIGURES)
    write_figures(plan, stores, results, journal.directory / FIGURES)
    return rows


def _without(given_up: Collection[str], names: Collection[str]) -> Iterator[PurePosixPath]:
    """Yield what is of no use without some positions: they, and the wells and rows that hold no others."""
    kept = {parent for name in names for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    for name in given_up:
        yield from {PurePosixPath(name), *PurePosixPath(name).parents} - kept


def _run(plan: Plan, tasks: Sequence[Task]) -> Iterator[Failure | None]:
    """Perform the tasks that are not finished, and yield what went wrong with each."""
    with tqdm(total=sum(task.frames for task in tasks), unit="frame", disable=None, dynamic_ncols=True) as bar:
        bar.set_description("staining")
        waiting = []
        for task in tasks:
            if task.finished:
                bar.update(task.frames)
            else:
                waiting.append(task)
        if plan.options.scheduler and waiting:
            from image_translation.staining.cluster import perform_on_cluster

            yield from perform_on_cluster(waiting, plan.options.scheduler, bar.update)
            return

        @cache  # made when the first frame needs it: a run that has nothing left to predict does not wait for it
        def predictor() -> Predictor:
            return make_predictor(plan.spec, plan.weights, plan.options.inference)

        for task in waiting:
            if len(tasks) == 1:
                perform(task, predictor, bar.update)
            else:
                failure = attempt(task, predictor, bar.update)
                if failure and isinstance(failure.error, UsageError):  # it would be wrong for all the others, too
                    raise failure.error
                yield failure


def _what_failed(failures: Sequence[Failure], total: int, plan: Plan) -> DataError:
    for failure in failures[:MOST_TOLD]:
        _log.error("%s: %s", failure.position, failure.error)
    names = listing([failure.position for failure in failures])
    if len(failures) == total:
        return DataError(f"all {total} positions failed: {names}")
    skips = " ".join(f"--skip {failure.position}" for failure in failures[:MOST_TOLD])
    return DataError(
        f"{len(failures)} of {total} positions failed: {names}. The others are finished, and wait in "
        f"{plan.options.output} for them: repeat the command when they are mended, or leave them out with {skips}"
    )


def write_figures(plan: Plan, stores: Mapping[str, Path], results: Sequence[SeriesResult], directory: Path) -> None:
    """Draw and save the figures; see `figures.write_figures`, whose libraries are needed now and not before."""
    from image_translation.staining import figures

    figures.write_figures(plan, stores, results, directory)


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
