"""Staining, smoothing, scoring and inspecting in Python: arrays and paths in, arrays out.

In: NumPy, dask, zarr or xarray arrays, paths, or names of the registry. Out: NumPy arrays, and objects that save
themselves as the commands save their results. The pixels are those of the commands. Start with `staining`.

- `staining`: `stain` and `stain_frames`; `stained_movie`: what comes of it
- `volumes`: volumes of networks that take stacks, stained when they are needed
- `live`: frames that arrive one after the other, with no end in sight
- `smoothing`: a predicted movie, smoothed over time
- `networks`: checkpoints, loaded once for many movies
- `evaluation`: the score card of movies in memory or on disk
- `inspection`: the feature maps of every stage of a network
- `movies`: what may be given as a movie
- `parameter_names`: errors that name parameters where the commands name options
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
