"""``python -m benchmarks.first_frame ARGUMENTS``: run the command until its network has predicted one frame.

The command imports its own modules as usual; an import hook wraps the predictor's method when its module is loaded.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MESSAGE = "first frame"
MODULE, CLASS, METHOD = "image_translation.network.predictor", "Predictor", "start"


def main() -> None:
    """Run the command; the process prints `MESSAGE` and ends at the first frame."""
    from image_translation.cli.commands import run

    sys.meta_path.insert(0, _WrapOnImport(_report_and_exit))
    run()


class _WrapOnImport(importlib.abc.MetaPathFinder):
    """Import hook that wraps a method of a class when its module is loaded."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_wrap(module: ModuleType) -> None:
            load(module)
            owner = getattr(module, CLASS)
            setattr(owner, METHOD, _with_callback(getattr(owner, METHOD), self._callback))

        loader.exec_module = load_and_wrap
        return spec


def _with_callback(function: Callable[..., Any], callback: Callable[[], None]) -> Callable[..., Any]:
    """Return the function, with a callback that is called as soon as the work that it starts is done."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        wait = function(*args, **kwargs)
        wait()
        callback()
        return wait

    return call


def _report_and_exit() -> None:
    os.write(1, f"{MESSAGE}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
