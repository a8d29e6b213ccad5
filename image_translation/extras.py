"""Libraries that are optional: the extra of the package that brings them, and the error where they are missing."""

from importlib.util import find_spec

from image_translation.errors import UsageError

EXTRAS: dict[str, dict[str, str]] = {
    "cluster": {"distributed": "distributed"},
    "napari": {"napari": "napari"},
    "tracking": {"geff": "geff", "laptrack": "laptrack", "py-ctcmetrics": "ctc_metrics"},
    "train": {"lightning": "lightning", "monai": "monai", "tensorboard": "tensorboard", "viscy": "viscy"},
}
"""Packages of each extra, and the modules that they provide."""


def require_extra(what: str, extra: str) -> None:
    """Raise a `UsageError` of one line that says what to install, unless all packages of an extra are there.

    Nothing is imported.

    Parameters
    ----------
    what
        What needs the packages, such as an option; the message starts with it.
    extra
        Name of the extra.
    """
    missing = [package for package, module in EXTRAS[extra].items() if find_spec(module) is None]
    if missing:
        names = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        raise UsageError(
            f"{what} needs {names}, which {'are' if missing[1:] else 'is'} not installed: "
            f"uv sync --extra {extra}, or pip install -e '.[{extra}]'"
        )
