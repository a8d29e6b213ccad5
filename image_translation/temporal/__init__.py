"""Temporal filters: smooth a movie of predicted stains along time.

Frames (C, Y, X), float32, are pushed in order and come out filtered, with the memory of one window. Invalid frames are
never averaged and come out as NaN. Open `filter` first.

- `filter`: the protocol `TemporalFilter`, and `apply` for movies in memory
- `linear`: moving averages and the Savitzky-Golay filter
- `median`: the median filter
- `registration`: jitter of the stage, estimated before a movie is stained; no filter
- `motion_filter`: the motion-compensated filter, which is recommended, and its causal variant; built from
  `optical_flow` (dense flow, interpolation, consistency checks), `trajectories` (flow chained over several frames),
  `robust_mean` (weighted mean with outlier rejection) and `fusion` (where the neighbours of a frame are used),
  on several `threads`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
