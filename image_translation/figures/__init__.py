"""Figures: arrays, metric rows and score cards become matplotlib figures, an MP4 and HTML. Nothing is measured here.

In: arrays in T, C, Z, Y, X order, `Row` and `ScoreCard` of `metrics`. Out: a matplotlib ``Figure`` from each function
named ``*_figure``, which the caller saves; the video and the report are written to a file.

Start with `movies`; `style` has what all figures share.

- `style`: sizes, colours, display windows, scale bars, panel grids
- `movies`, `region_of_interest`, `video`: frames, kymographs, maps of change; what to show; the comparison video
- `orthogonal`: XY, YZ and XZ sections of volumes
- `metrics`, `score_card`, `scores`: metrics of smoothing; score card; paired scores against the truth
- `tiles`, `tile_html`, `stages`: feature maps as figures and as HTML; statistics of network stages
- `tracks`: tracks of nuclei over a frame, and as bars over time
- `training`: learning curves and example predictions
- `html_report`: a self-contained report of figures
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
