"""Movies that are not OME-Zarr stores: arrays in memory, and files of other formats.

In: an array or a path. Out: a `Store` and its `Position`, which the rest of the package reads like those of OME-Zarr.
Start with `movie`, which opens whatever the user names.

- `movie`: OME-Zarr or TIFF, by what is there
- `movie_metadata`: axes, interval and pixel size that the user gives
- `array`: NumPy, dask, zarr and xarray arrays as positions
- `tiff`: TIFF files as stores: their axes, and what is given against what they say
- `tiff_planes`: planes of TIFF files, read one at a time; damaged files
- `tiff_metadata`: pixel size, interval and channels in the metadata of OME-TIFF and ImageJ
- `file_numbers`: which frame each file of a folder is, by the numbers in its name
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
