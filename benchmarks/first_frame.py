"""``python -m benchmarks.first_frame ARGUMENTS``: the real command, until its network has given a frame.

The command's own modules are loaded when and how it loads them: the method is wrapped as soon as its module is there.
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

SAID = "first frame"
MODULE, CLASS, METHOD = "image_translation.network.predictor", "Predictor", "start"


def main() -> None:
    """Run the command; the process ends at the first frame, and says so, or as the command does."""
    from image_translation.cli.commands import run

    sys.meta_path.insert(0, _Watch(_leave))
    run()


class _Watch(importlib.abc.MetaPathFinder):
    """Wraps a method of a class when its module is loaded."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

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
            setattr(owner, METHOD, _followed(getattr(owner, METHOD), self._then))

        loader.exec_module = load_and_wrap
        return spec


def _followed(function: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """Return the function, with something to do when what it has started is done."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        wait = function(*args, **kwargs)
        wait()
        then()
        return wait

    return call


def _leave() -> None:
    os.write(1, f"{SAID}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
