"""Metrics of movies and images: frames in, tidy rows and score cards out.

Start with `evaluator`; `docs/metrics.md` explains every metric.

- `evaluator`: the streaming `Evaluator`: frames of the raw, true and smoothed movies -> rows
- `frame_scores`: scores of one frame; `correlation`, `similarity`, `bands`: Pearson, SSIM, octave bands
- `motion`, `flicker`: optical flow of the reference, and change along it
- `registration`: displacement against the raw prediction
- `reference`: intensity scale and resolution of the truth relative to the prediction
- `intensity_range`: scaling of extreme intensities, which float32 arithmetic would lose
- `lag`, `drift`, `tracks`: scores of complete movies: delay, intensity drift, variation of nuclei
- `rows`: the tidy table of metrics, and CSV
- `criteria`, `score_card`, `score_card_text`: limits of the metrics, the ranking of the methods by them, and its text
- `explanations`: a sentence about each column of a score card
- `planes`: means over the planes of a position
- `tracking`: tracks of nuclei, compared with reference tracks
- `objects`, `segmentation`: segmentation and matching of objects in single images; one segmentation for a movie
- `difference_maps`: where movies change, and where methods reduce the error
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
