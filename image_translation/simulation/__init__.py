"""Simulated label-free movies of adherent cells, with true fluorescence and true motion, as a function of a seed.

A `MovieSpec` goes in; a `Movie` draws each frame on demand: phase (Y, X) in radians, stains of nuclei and membranes,
labels and lineage of the cells, and the displacement of the material between any two frames. In a movie of stacks,
all images are (Z, Y, X), and the cells have height. Open `movie` first.

- `spec`: the parameters of a movie and their limits
- `random_process`: random numbers that are smooth in time
- `lineage`: births, divisions and detachments of the cells
- `motion`: random walk or streaming sheets, and repulsion on contact
- `migration`: lineages, motion and shape changes together
- `population`: the state of all cells in all frames
- `geometry`: where the cells of a frame are, and which material is at a pixel
- `scene`: maps of one frame: which cell covers a pixel, and which of its material
- `appearance`: optical path and stains of a scene
- `domes`: another way of drawing cells: optical path, stains and maps of overlapping domes
- `heights`: how high cells and nuclei are, and the planes of a stack
- `volume`: optical path and stains of a frame over height, empty
- `spread_volume`, `dome_volume`: the cells of `appearance` and `domes` in a volume
- `flicker`: the causes of flicker: what fluctuates from frame to frame, and how strongly
- `reconstruction`: quantitative phase from a defocused intensity image
- `optics`: phase image of an optical path or of a stack through it, fluorescence image of stains
- `tracks`: tracks of the cells that are visible in the field, as in the Cell Tracking Challenge
- `movie`: all of these together, frame by frame
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
