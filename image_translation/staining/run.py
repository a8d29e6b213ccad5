"""The main job: a plan in; finished stores, metrics and figures out.

    OME-Zarr movie -> frames -> normalise -> predict -> temporal filters -> OME-Zarr stores + metrics + figures

Each position is a task, processed one after the other in this process or side by side on a cluster. Within a task
frames are streamed: memory holds a window of frames, never the movie.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from image_translation.data.movie_paths import remember_movie
from image_translation.errors import DataError, ImageTranslationError, UsageError, listing
from image_translation.files import remove
from image_translation.metrics.rows import RAW, Row, read_csv, write_csv
from image_translation.network.predictor import Predictor
from image_translation.normalize import Statistics
from image_translation.omezarr.blank_frames import NAN
from image_translation.omezarr.output import create_root, finish_root
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.progress_bar import ProgressBar
from image_translation.staining.figure_work import figure_work
from image_translation.staining.fingerprints import EarlierPrediction
from image_translation.staining.journal import Journal
from image_translation.staining.kept_position import keep_position
from image_translation.staining.output_directory import FIGURES, METRICS, Existing, find_existing
from image_translation.staining.phase_statistics import find_dataset_statistics, stored_statistics
from image_translation.staining.plan import Plan
from image_translation.staining.registration import registered, report
from image_translation.staining.task import (
    Failure,
    Task,
    attempt,
    make_predictor,
    perform,
    provenance,
    stored_registrations,
)
from image_translation.staining.writer import SeriesResult

LISTED_FAILURES = 20  # positions that failed, one line each

_log = logging.getLogger(__name__)


def smooth_movie(plan: Plan) -> list[Row]:
    """Stain a movie, smooth it over time, and write the results.

    An interrupted run of an equal request is resumed. Finished stores of the same request are left as they are.

    Parameters
    ----------
    plan
        Plan of the run.

    Returns
    -------
    list of Row
        The metrics, as in ``metrics.csv``.

    Raises
    ------
    UsageError
        If there are results of other options that must not be overwritten, or no scheduler answers.
    DataError
        If something cannot be read or written. The failure of one position of several is raised after all others are
        finished.
    """
    options = plan.options
    if plan.store.path.exists():  # an array has none
        remember_movie(plan.store.path, plan.digests[plan.series[0].position.name])
    if find_existing(plan).complete:
        _log.info("%s holds these results already", options.output)
        return read_csv(options.output / METRICS)
    with Journal(options.output) as journal:
        existing = find_existing(plan)  # again, under the lock
        _report_changes(existing)
        skipped = plan.store.matching(options.skip)
        dropped = journal.open(existing.plan.request, plan.store.path, overwrite=options.overwrite, may_drop=skipped)
        try:
            rows = None if journal.complete else _compute(existing, journal, dropped)
        except ImageTranslationError:
            if options.register and not journal.begun:  # refused: nothing is left that a run without it runs into
                journal.clear()
            raise
        names = [f"{method}{STORE_SUFFIX}" for method in existing.missing]
        journal.publish([*names, METRICS, FIGURES], existing.retired)
    return read_csv(options.output / METRICS) if rows is None else rows


def _compute(existing: Existing, journal: Journal, dropped: set[str]) -> list[Row]:
    """Write everything that is to be published into the journal's directory."""
    plan = existing.plan
    unfinished = tuple(dict.fromkeys([*([] if RAW in existing.finished else [RAW]), *existing.missing]))
    stores = {**existing.finished, **{method: journal.store(method) for method in unfinished}}
    if plan.store.layout != "fov":
        for method in unfinished:
            names = [*plan.groups, *plan.unreadable]
            for path in _obsolete_groups(dropped, names):
                remove(journal.store(method) / path)
            create_root(journal.store(method), plan.store, names, plan.zarr_format)
    dataset = find_dataset_statistics(plan, existing.earlier)
    kept = [name for name in existing.kept if dataset is None or _is_normalised_by(dataset, existing.earlier[name])]
    tasks = [
        Task(plan.part(name), stores, unfinished, journal.position(name).directory, existing.earlier.get(name), dataset)
        for name in plan.groups
    ]
    rows = read_csv(plan.options.output / METRICS) if kept else []
    for task in tasks:
        if task.name in kept and not task.finished:
            keep_position(task, plan.options.output, [row for row in rows if row.position == task.name])
    n_frames = sum(task.frames for task in tasks)
    action = "registering, staining" if plan.options.register else "staining"
    with ProgressBar(n_frames + figure_work(plan), action, count=n_frames) as bar:
        results = _stain(plan, tasks, bar)
        rows = _finish_stores(plan, unfinished, results, journal)
        registrations = stored_registrations(plan, stores[RAW])
        if registrations:
            report(registrations)
            plan = registered(plan, registrations)
        bar.begin("drawing figures")
        write_figures(plan, stores, results, journal.directory / FIGURES, on_frames=bar.update)
    return rows


def _is_normalised_by(statistics: Statistics, earlier: EarlierPrediction) -> bool:
    known = stored_statistics(earlier.position)
    return known is not None and known.overall == statistics


def _stain(plan: Plan, tasks: Sequence[Task], bar: ProgressBar) -> list[SeriesResult]:
    """Perform the tasks, and return the results of all series; ``DataError`` if a position failed."""
    failures = [Failure(name, error) for name, error in plan.unreadable.items()]
    failures += [failure for failure in _perform_all(plan, tasks, bar) if failure]
    if failures:
        raise _failed(failures, len(tasks) + len(plan.unreadable), plan)
    results = [result for task in tasks for result in task.results()]
    if len(results) < len(plan.series):
        raise DataError(
            "all tasks are done, but their results are not in the output directory "
            f"{plan.options.output}: all workers of a cluster must see it under this path"
        )
    return results


def _finish_stores(
    plan: Plan, unfinished: Sequence[str], results: Sequence[SeriesResult], journal: Journal
) -> list[Row]:
    """Write the metrics and the metadata of plates into the journal's directory; return the metrics."""
    warn_of_results(plan, results)
    rows = [row for result in results for row in result.rows]
    write_csv(rows, journal.directory / METRICS)
    if plan.store.layout != "fov":
        for method in unfinished:
            finish_root(journal.store(method), provenance(plan, method))
    remove(journal.directory / FIGURES)
    return rows


def _report_changes(existing: Existing) -> None:
    """Log how much of the movie has changed since the results were made."""
    if existing.changed:
        known = sum(len(earlier.frames) for earlier in existing.earlier.values())
        _log.warning(
            "the movie has changed since %s was made: %d of %d frames are new, or have other pixels or statistics; "
            "they are stained, and their positions are smoothed and scored again",
            existing.plan.options.output, existing.plan.n_frames - known, existing.plan.n_frames,
        )  # fmt: skip


def _obsolete_groups(dropped: Collection[str], names: Collection[str]) -> Iterator[PurePosixPath]:
    """Yield the groups of dropped positions, and the wells and rows that hold no other position."""
    kept = {parent for name in names for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    for name in dropped:
        yield from {PurePosixPath(name), *PurePosixPath(name).parents} - kept


def _perform_all(plan: Plan, tasks: Sequence[Task], bar: ProgressBar) -> Iterator[Failure | None]:
    """Perform the unfinished tasks, and yield the failure of each, if any."""
    unfinished = []
    for task in tasks:
        if task.finished:
            bar.update(task.frames)
        else:
            unfinished.append(task)
    if plan.options.scheduler and unfinished:
        from image_translation.staining.cluster import perform_on_cluster

        yield from perform_on_cluster(unfinished, plan.options.scheduler, bar.update)
        return

    @cache  # built for the first frame to predict; a run with nothing left to predict does not wait for it
    def predictor() -> Predictor:
        return make_predictor(plan.spec, plan.weights, plan.options.inference)

    for task in unfinished:
        if len(tasks) == 1:
            perform(task, predictor, bar.update)
        else:
            failure = attempt(task, predictor, bar.update)
            if failure and isinstance(failure.error, UsageError):  # every other position would fail likewise
                raise failure.error
            yield failure


def _failed(failures: Sequence[Failure], total: int, plan: Plan) -> DataError:
    """Log the failures, and return one error for all."""
    for failure in failures[:LISTED_FAILURES]:
        _log.error("%s: %s", failure.position, failure.error)
    names = listing([failure.position for failure in failures])
    if len(failures) == total:
        return DataError(f"all {total} positions failed: {names}")
    skips = " ".join(f"--skip {failure.position}" for failure in failures[:LISTED_FAILURES])
    return DataError(
        f"{len(failures)} of {total} positions failed: {names}. The others are finished and kept in "
        f"{plan.options.output}: fix them and repeat the command, or leave them out with {skips}"
    )


def write_figures(
    plan: Plan,
    stores: Mapping[str, Path],
    results: Sequence[SeriesResult],
    directory: Path,
    *,
    on_frames: Callable[[int], object],
) -> None:
    """Draw and save the figures; see `figures.write_figures`, whose libraries are imported only now."""
    from image_translation.staining import figures

    figures.write_figures(plan, stores, results, directory, on_frames=on_frames)


def warn_of_results(plan: Plan, results: Sequence[SeriesResult]) -> None:
    """Log, once a run, what the user should know about the results."""
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
    filled = "NaN" if plan.options.blank == NAN else "zero"
    if plan.window:
        _warn_of_invalid_stacks(plan.window.in_depth, filled, results)
    else:
        _warn_of_invalid_frames(filled, results)
    incomplete = {result.name: result.incomplete for result in results if result.incomplete}
    if incomplete:
        _log.warning(
            "%d frames lack some of their chunks, which were read as the fill value of the array; look whether these "
            "places are empty in the movie: %s",
            sum(len(numbers) for numbers in incomplete.values()),
            "; ".join(f"{name}: {listing(numbers)}" for name, numbers in incomplete.items()),
        )
    if plan.store.unreadable:
        _log.warning("skipped, because they cannot be read: %s", listing(plan.store.unreadable))


def _warn_of_invalid_frames(filled: str, results: Sequence[SeriesResult]) -> None:
    failed = {result.name: result.failed for result in results if result.failed}
    if failed:
        _log.warning(
            "frames are %s in the results, because the network gave no finite image (look for extreme pixels): %s",
            filled,
            "; ".join(f"{name}: {listing(numbers)}" for name, numbers in failed.items()),
        )
    invalid = {r.name: [t for t in r.invalid if t not in r.failed] for r in results if len(r.invalid) > len(r.failed)}
    if invalid:
        _log.warning(
            "%d invalid frames (zero, constant or not finite) are %s in the results: %s",
            sum(len(numbers) for numbers in invalid.values()),
            filled,
            "; ".join(f"{name}: {listing(numbers)}" for name, numbers in invalid.items()),
        )


def _warn_of_invalid_stacks(depth: int, filled: str, results: Sequence[SeriesResult]) -> None:
    """Log which planes are invalid, in one line: those that are invalid themselves, and those around them."""
    lines = []
    for name in dict.fromkeys(result.position for result in results):
        own = [result for result in results if result.position == name]
        blank = sorted({number for result in own for number in result.blank})
        planes = sum(len(result.invalid) for result in own)
        frames = sorted({number for result in own for number in result.invalid})
        if frames:
            invalid = f"; invalid planes in {listing(blank)}" if blank else ""
            lines.append(f"{name}: {planes} planes of the frames {listing(frames)}{invalid}")
    if lines:
        _log.warning(
            "planes are %s in the results where every stack of %d planes that holds them has an invalid one (zero, "
            "constant or not finite), or the network gave no finite image: %s",
            filled, depth, "; ".join(lines),
        )  # fmt: skip
