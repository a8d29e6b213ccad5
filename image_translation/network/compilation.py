"""Network compiled by ``torch.compile``, with a fallback to eager execution."""

import logging
import os
from typing import Literal

import torch

from image_translation.data.lookup import cache_directory

Backend = Literal["eager", "compile"]

_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

_log = logging.getLogger(__name__)


class CompiledNetwork(torch.nn.Module):
    """A network that is compiled at the first image; if compilation fails, it runs in eager mode.

    Compiled code is kept in the cache directory. PyTorch looks it up by source code, shapes and versions, so that stale
    code is never used; it does not contain the weights.

    Parameters
    ----------
    network
        Network in evaluation mode.
    cache
        Whether to keep compiled code and to use what is kept.
    """

    def __init__(self, network: torch.nn.Module, *, cache: bool = True) -> None:
        super().__init__()
        self._network = network
        if cache:
            os.environ.setdefault(_CACHE_VARIABLE, str(cache_directory() / "compiled"))
        self._compiled = torch.compile(network, options=None if cache else {"force_disable_caches": True})
        self._works = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict a batch; shapes are those of the network."""
        if self._works:
            try:
                return self._compiled(x)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - compilers fail in many ways; the fallback is the same
                _log.warning("the network cannot be compiled here and runs in eager mode: %s", _reason(error))
                self._works = False
        output: torch.Tensor = self._network(x)
        return output


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
