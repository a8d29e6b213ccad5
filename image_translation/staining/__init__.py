"""The main job: stain a label-free movie or plate and smooth the result over time.

In: `SmoothOptions`. Out: an OME-Zarr store for each method, ``metrics.csv`` and ``figures/`` in the output directory.
Options become a plan, a plan becomes tasks, one for each position. A run may be killed at any time and resumed.

Start with `run`, then `stream`, which is the way of a frame in one function.

- `options`, `methods`: options of a run; the smoothing methods by name
- `series`: one plane of one position over time; `network_grid`: in which pixels the network sees it
- `plan`, `dry_run`, `request`: what will be done; its description; its stored form, which decides whether results match
- `run`, `task`, `cluster`: all positions; one position; positions on a Dask cluster
- `phase_statistics`: what the phase of a position is normalised by, now and in an earlier run
- `registration`: the shifts that take the jitter of the stage out of a position
- `stack_prediction`: volumes, by networks that take stacks, before their planes go the way of a frame
- `stream`, `writer`, `plane_groups`: read, predict, filter, score and write frames; planes that go together
- `fingerprints`, `kept_position`: which frames of a movie have changed since they were stained; positions without any
- `journal`, `progress`, `output_directory`: unfinished work; how far it is; what can be kept of existing results
- `figures`, `excerpt`, `report`: figures of a run, the frames and regions they show, and their explanation
- `sections`: the sections through a stack that they show
- `figure_work`: how much of a movie the figures show, and the work of drawing them
- `figure_directory`: copy of the figures in a directory of their own
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
