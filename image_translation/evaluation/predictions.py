"""The predictions to score: which stores, by which names, and what they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from image_translation.errors import UsageError
from image_translation.metrics.rows import RAW, TRUTH
from image_translation.omezarr.arrays import is_zarr
from image_translation.omezarr.output import SUFFIX
from image_translation.omezarr.store import PROVENANCE_KEY, STORE_SUFFIX, Position, Store, open_store


@dataclass(frozen=True)
class Prediction(Store):
    """A store of predictions, whose channels have the names that they have in the truth: without the suffix of ours."""

    def position(self, name: str) -> Position:
        """Open a position as `Store.position` does."""
        found = super().position(name)
        try:
            suffix = str(found.attributes[PROVENANCE_KEY].get(SUFFIX, ""))
        except (KeyError, AttributeError):
            return found
        return replace(found, channels=tuple(channel.removesuffix(suffix) for channel in found.channels))


def open_prediction(path: Path) -> Prediction:
    """Open a store of predictions; the errors are those of `store.open_store`."""
    return Prediction(**vars(open_store(path)))


def find_predictions(paths: Sequence[Path]) -> dict[str, Store]:
    """Open the stores, by name; stores of the same name are distinguished by their directory.

    Parameters
    ----------
    paths
        Stores, or directories of them such as ``smooth`` writes.

    Raises
    ------
    UsageError
        If a path is neither.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{STORE_SUFFIX}")) if not is_zarr(path) else []
        if not inside and not is_zarr(path):
            raise UsageError(f"the prediction {path} is neither an OME-Zarr store nor a directory of *{STORE_SUFFIX}")
        found += inside or [path]
    found = list(dict.fromkeys(path.resolve() for path in found))
    names = [_name(path) for path in found]
    return {
        f"{path.parent.name}/{name}" if names.count(name) > 1 else name: open_prediction(path)
        for path, name in zip(found, names, strict=True)
    }


def split_raw(predictions: Mapping[str, Store], path: Path | None) -> tuple[Store, dict[str, Store]]:
    """Split the predictions into the raw one and the others.

    Parameters
    ----------
    predictions
        All predictions, by name.
    path
        The raw prediction; None looks for the one called ``raw``, or takes the only one.

    Raises
    ------
    UsageError
        If it is not known which is raw, or another one has a reserved name.
    """
    others = dict(predictions)
    raw: Store
    if path:
        raw = open_prediction(path)
        others = {name: store for name, store in others.items() if store.path != path.resolve()}
    elif RAW in others or len(others) == 1:
        raw = others.pop(RAW if RAW in others else next(iter(others)))
    else:
        raise UsageError(f"none of {', '.join(others)} is called raw; name the raw prediction with --raw STORE")
    for name in (RAW, TRUTH):
        if name in others:
            raise UsageError(f"a prediction is called {name}, which is a reserved name; rename {others[name].path}")
    return raw, others


def stored_request(prediction: Store | Position) -> dict[str, Any]:
    """Read the request that a prediction was made by from its provenance; empty if `smooth` did not write it."""
    try:
        image = prediction.position(prediction.names[0]) if isinstance(prediction, Store) else prediction
        return dict(image.attributes[PROVENANCE_KEY]["request"])
    except (KeyError, TypeError, ValueError):
        return {}


def _name(path: Path) -> str:
    return path.name.removesuffix(STORE_SUFFIX).removesuffix(".zarr")
