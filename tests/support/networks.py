"""A trivial network with a known output, and random images for it."""

from typing import Any

import numpy as np
import torch


class Doubling(torch.nn.Module):
    """Two outputs: twice the input, and the row number of each pixel (which no symmetry of the square keeps)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(x.shape[-2], dtype=x.dtype).reshape(-1, 1).expand_as(x)
        return torch.cat([2 * x, rows], dim=1)


def images(count: int, shape: tuple[int, int], seed: int = 0) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Return random images of shape (1, Y, X), float32."""
    return list(np.random.default_rng(seed).normal(size=(count, 1, *shape)).astype(np.float32))
