"""Virtual staining of label-free microscopy movies, steady in time.

Public names are imported when they are first used, so that ``import image_translation`` loads neither torch nor zarr.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from image_translation.errors import DataError, ImageTranslationError, UsageError
    from image_translation.evaluate import Evaluator
    from image_translation.frame import Frame
    from image_translation.motion_filter import MotionFilter
    from image_translation.options import SmoothOptions
    from image_translation.pipeline import smooth_movie
    from image_translation.plan import make_plan
    from image_translation.predict import Predictor
    from image_translation.rows import Row
    from image_translation.simulate import Movie, MovieSpec
    from image_translation.smooth import SavitzkyGolay, moving_average
    from image_translation.store import open_store

_HOMES = {
    "DataError": "errors",
    "Evaluator": "evaluate",
    "Frame": "frame",
    "ImageTranslationError": "errors",
    "MotionFilter": "motion_filter",
    "Movie": "simulate",
    "MovieSpec": "simulate",
    "Predictor": "predict",
    "Row": "rows",
    "SavitzkyGolay": "smooth",
    "SmoothOptions": "options",
    "UsageError": "errors",
    "make_plan": "plan",
    "moving_average": "smooth",
    "open_store": "store",
    "smooth_movie": "pipeline",
}

__all__ = [
    "DataError",
    "Evaluator",
    "Frame",
    "ImageTranslationError",
    "MotionFilter",
    "Movie",
    "MovieSpec",
    "Predictor",
    "Row",
    "SavitzkyGolay",
    "SmoothOptions",
    "UsageError",
    "make_plan",
    "moving_average",
    "open_store",
    "smooth_movie",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
