"""Which stores are scored: found, named, opened."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from image_translation import data
from image_translation.errors import UsageError
from image_translation.evaluation.options import EvaluationOptions
from image_translation.metrics.rows import RAW
from image_translation.omezarr.output import ATTRIBUTE
from image_translation.omezarr.store import STORE_SUFFIX, Store, open_store


def resolved(options: EvaluationOptions) -> EvaluationOptions:
    """Replace names by paths."""

    def found(path: Path | None) -> Path | None:
        return None if path is None else data.resolve(path, kind="movie")

    return replace(
        options,
        predictions=tuple(data.resolve(path, kind="movie") for path in options.predictions),
        raw=found(options.raw),
        truth=found(options.truth),
        phase=found(options.phase),
    )


def provenance(store: Store) -> dict[str, Any]:
    """Read what a store was made from; empty if it is not the program's."""
    try:
        return dict(store.position(store.names[0]).attributes[ATTRIBUTE]["request"])
    except (KeyError, TypeError, ValueError):
        return {}


def find_predictions(paths: Sequence[Path]) -> dict[str, Store]:
    """Open the stores, by name; stores of the same name are told apart by their directory.

    Raises
    ------
    UsageError
        If there is no store.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{STORE_SUFFIX}")) if not _is_store(path) else []
        if not inside and not _is_store(path):
            raise UsageError(f"the prediction {path} is no OME-Zarr store, and holds no *{STORE_SUFFIX}")
        found += inside or [path]
    found = list(dict.fromkeys(path.resolve() for path in found))
    names = [_name(path) for path in found]
    return {
        f"{path.parent.name}/{name}" if names.count(name) > 1 else name: open_store(path)
        for path, name in zip(found, names, strict=True)
    }


def is_about_time(options: EvaluationOptions) -> bool:
    """Tell whether metrics over time are wanted: not of stills, nor of predictions of which none is the raw one.

    Without a truth there is nothing else that could be meant.
    """
    if not options.truth:
        return True
    predictions = find_predictions(resolved(options).predictions)
    over_time = any(store.position(name).shape[0] > 1 for store in predictions.values() for name in store.names)
    return over_time and (options.raw is not None or RAW in predictions or len(predictions) == 1)


def _is_store(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))


def _name(path: Path) -> str:
    return path.name.removesuffix(STORE_SUFFIX).removesuffix(".zarr")
