"""The task of the end-to-end and memory benchmarks, and the names of the pipelines that are compared on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Pipeline = Literal["ours", "baseline_2048", "baseline_stride", "network_only", "viscy_network_only"]
"""The package; the baseline script, padding to 2048 pixels or to the stride; the forward passes alone, of our network
and of VisCy's."""


@dataclass(frozen=True)
class Job:
    """A movie to stain, and how.

    Attributes
    ----------
    movie
        Store to stain.
    checkpoint
        Path or name.
    device, precision
        As in the command.
    every
        The network runs on every n-th frame only, with a copy of the frame as the prediction of the others; 1: on all.
    """

    movie: Path
    checkpoint: str
    device: str = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    every: int = 1
