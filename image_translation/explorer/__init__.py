"""The explorer: feature maps of every stage of a network for an image, on a page in the browser or as files.

An image becomes feature maps and then a page or files in this order; open `inspector` first.

1. `inspector`: read and normalise an image, run the network -> activations of every stage
2. `principal_components`: fit and apply the principal components of feature maps
3. `colours`: component scores -> RGB
4. `stage_tiles`: activations -> tiles with names, shapes and scale bars
5. `sections`: tiles -> sections of the page; `page`: controls and layout of the notebook; `server`: who may open it
6. `export`: the same as figures and a table, for the command ``inspect -o``

What they use: `options` and `presets`: arguments of the command and initial state of the page; `session`: networks and
activations kept between changes of a control; `stage_detail`: one stage; `stage_statistics`: change between frames,
tables; `comparison` and `feature_regression`: two images or networks; `perturbation` and `validity`: perturbed images,
and how far a prediction holds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
