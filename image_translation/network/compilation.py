"""A network that PyTorch's compiler has made faster, where it can."""

import logging
import os
from typing import Literal, get_args

import torch

from image_translation.data.lookup import cache_directory

Backend = Literal["eager", "compile"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

_DIRECTORY = "TORCHINDUCTOR_CACHE_DIR"

_log = logging.getLogger(__name__)


class Compiled(torch.nn.Module):
    """A network compiled by `torch.compile` when it first sees an image; as it is where there is no compiler.

    What was compiled is kept in the cache directory. PyTorch looks it up by the code, the shapes and the versions, so
    that nothing stale is used; the weights are no part of it.

    Parameters
    ----------
    network
        For inference.
    cache
        Whether to keep and use what was compiled.
    """

    def __init__(self, network: torch.nn.Module, *, cache: bool = True) -> None:
        super().__init__()
        self._network = network
        if cache:
            os.environ.setdefault(_DIRECTORY, str(cache_directory() / "compiled"))
        self._compiled = torch.compile(network, options=None if cache else {"force_disable_caches": True})
        self._works = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict as the network does."""
        if self._works:
            try:
                return self._compiled(x)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, and all have the same way out
                _log.warning("the network cannot be compiled here, and runs as it is: %s", _reason(error))
                self._works = False
        output: torch.Tensor = self._network(x)
        return output


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
