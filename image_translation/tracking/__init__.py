"""The command ``track``: nuclei of a stain, segmented and followed over time.

In: `TrackingOptions`, which name the results of ``smooth``, or any store with a channel of nuclei. Out: label images,
lineages and tables in the formats that other programs read. Frames are read one by one.

Start with `run`.

- `options`, `plan`: options; the store, channel, plane and positions, with all errors found
- `run`: the positions, one after the other; what is finished is kept
- `position`: one position: segmented, linked, and written
- `record`: what was tracked, and how, to be compared when the command is repeated
- `nuclei`: nuclei of a movie, measured frame by frame
- `lineage`: nuclei -> tracks, divisions and lineages
- `ctc`, `geff_file`, `tables`: what is written: masks and tracks of the Cell Tracking Challenge; GEFF; CSV, and tracks
  for napari
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
