"""The command ``evaluate``: score predictions that are on disk.

In: `EvaluationOptions`, which name stores of this or of other programs. Out: an `Evaluation`, rows of scores over time
and against a truth; with an output directory also tables and figures.

Start with `run`.

- `options`, `plan`: options; stores opened and matched, with all errors found
- `predictions`, `alignment`, `pairs`: which stores are scored; which frame matches which; images and their truth
- `source_movie`: the movie that a prediction was made from
- `registered`: phase and truth of predictions that were registered
- `over_time`: metrics over time, and score cards
- `nuclei`, `tracking`: which nuclei are tracked, and their true labels; scores of their tracks
- `image_scores`, `paired_scores`: scores of one image; of all images, in a common unit
- `report`: tables, box plots, and the best, the median and the worst field
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
