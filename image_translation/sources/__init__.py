"""Movies that are not OME-Zarr stores: arrays in memory, and files of other formats.

In: an array or a path. Out: a `Store` and its `Position`, which the rest of the package reads like those of OME-Zarr.
Start with `array`.

- `array`: NumPy, dask, zarr and xarray arrays as positions
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
