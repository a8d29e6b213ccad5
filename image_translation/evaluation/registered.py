"""Phase and truth of predictions that were registered: read with the shifts that the provenance states."""

import logging
from pathlib import Path

from image_translation.evaluation.predictions import stored_request
from image_translation.omezarr.registered import register, stored_registration
from image_translation.omezarr.store import Position, Store

_log = logging.getLogger(__name__)


def as_predicted(position: Position, store: Store, prediction: Position) -> Position:
    """Return an image as it was read for a prediction: registered, if the prediction was made from it registered.

    Parameters
    ----------
    position
        Image of phase or truth.
    store
        Its store. Only the movie that the prediction was made from, known by its name, is displaced: the shifts of
        another store are not known.
    prediction
        Image of the prediction.
    """
    registration = stored_registration(prediction)
    if registration is None or not _is_source(store, prediction):
        return position
    return register(position, registration)


def warn_if_unregistered(what: str, store: Store, prediction: Position) -> None:
    """Warn if a prediction was registered and is compared with a store whose shifts are not known."""
    registration = stored_registration(prediction)
    if registration is not None and registration.displaces and not _is_source(store, prediction):
        _log.warning(
            "the prediction was registered, and %s %s is not the movie that it was made from: it is taken as it is, "
            "without the shifts",
            what,
            store.path,
        )


def warn_if_otherwise(what: str, prediction: Position, raw: Position) -> None:
    """Warn if a prediction was not registered as the raw prediction was, with which it is compared."""
    shifts = [
        found.shifts if found and found.displaces else () for found in map(stored_registration, (prediction, raw))
    ]
    if shifts[0] != shifts[1]:
        _log.warning("%s was not registered as raw was, so that they do not lie on each other", what)


def _is_source(store: Store, prediction: Position) -> bool:
    movie = stored_request(prediction).get("input", {}).get("movie", "")
    return bool(movie) and Path(movie).name == store.path.resolve().name
