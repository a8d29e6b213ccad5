"""Virtual staining of label-free microscopy movies, steady in time.

Public names are imported when they are first used, so that ``import image_translation`` loads neither torch nor zarr.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
