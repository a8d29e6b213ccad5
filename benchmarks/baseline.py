"""Baseline script: the complete movie in memory, processed step by step with plain NumPy and SciPy."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from iohub.ngff import open_ome_zarr
from numpy.typing import NDArray
from scipy.ndimage import laplace
from scipy.signal import savgol_filter

Movie = NDArray[np.float32]
Metrics = dict[tuple[str, str, int | None, str], float]

WINDOW = 2
SAVGOL_WINDOW, SAVGOL_POLYORDER = 11, 3
OUTPUT_CHANNELS = ("Nuclei", "Membrane")
SHIFTS = (-2, -1, 0, 1, 2)


def stain_and_smooth(
    movie: Path, output: Path, forward: Callable[[NDArray[np.float32]], NDArray[np.float32]], multiple: int
) -> Metrics:
    """Stain a movie, smooth it, and write three stores and the metrics.

    Parameters
    ----------
    movie
        OME-Zarr store with the channel Phase3D and its statistics.
    output
        Directory of the results.
    forward
        Forward pass of the network: (1, Y, X) -> (C, Y, X).
    multiple
        Frames are zero-padded to a multiple of this, in pixels.

    Returns
    -------
    dict
        Metrics by method, channel, frame (None for those of the movie) and name.
    """
    with open_ome_zarr(movie) as position:
        phase = np.asarray(position["0"][:, 0, 0])
        statistics = position.zattrs["normalization"]["Phase3D"]["fov_statistics"]
    phase = (phase - statistics["median"]) / statistics["iqr"]
    height, width = phase.shape[1:]
    raw = np.stack([forward(zero_pad(image, multiple)[np.newaxis])[:, :height, :width] for image in phase])
    results = {
        "raw": raw,
        "window": moving_average(raw, WINDOW),
        "savgol": savgol_filter(raw, SAVGOL_WINDOW, SAVGOL_POLYORDER, axis=0),
    }
    for method, result in results.items():
        write_store(output / f"{method}.ome.zarr", result)
    metrics: Metrics = {}
    for method, result in results.items():
        metrics |= compare(method, result, raw)
    with (output / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows((*key, value) for key, value in metrics.items())
    return metrics


def zero_pad(image: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    height, width = image.shape
    padded = np.zeros((height + -height % multiple, width + -width % multiple), np.float32)
    padded[:height, :width] = image
    return padded


def moving_average(movie: Movie, window: int) -> Movie:
    sums = np.cumsum(movie, axis=0, dtype=np.float64)
    sums[window:] = sums[window:] - sums[:-window]
    return (sums[window - 1 :] / window).astype(np.float32)


def write_store(path: Path, movie: Movie) -> None:
    with open_ome_zarr(path, layout="fov", mode="w", channel_names=list(OUTPUT_CHANNELS)) as position:
        position.create_image("0", movie[:, :, np.newaxis])


def compare(method: str, movie: Movie, raw: Movie) -> Metrics:
    """Score a movie against raw; a frame of the mean of two is compared with both of its raw frames."""
    extra = len(raw) - len(movie)  # 1 if each frame lies between two raw frames
    metrics: Metrics = {}
    for c, channel in enumerate(OUTPUT_CHANNELS):
        raw_energy = [energy(image) for image in raw[:, c]]
        for t, image in enumerate(movie[:, c]):
            if t + 1 < len(movie):
                metrics[method, channel, t, "adjacent_pearson"] = pearson(image, movie[t + 1, c])
            raw_frames = range(t, t + extra + 1)
            metrics[method, channel, t, "pearson_raw"] = float(np.mean([pearson(image, raw[n, c]) for n in raw_frames]))
            metrics[method, channel, t, "sharpness"] = energy(image) / float(
                np.mean([raw_energy[n] for n in raw_frames])
            )
        metrics[method, channel, None, "lag"] = 0.0 if movie is raw else lag(movie[:, c], raw[:, c])
    return metrics


def pearson(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def energy(image: NDArray[np.float32]) -> float:
    return float(np.sum(laplace(image)[1:-1, 1:-1] ** 2, dtype=np.float64))


def lag(movie: Movie, raw: Movie) -> float:
    """Return the shift in time of the highest correlation, on copies reduced to about 64 x 64 pixels."""
    movie, raw = downsample(movie), downsample(raw)
    times = range(2, min(len(movie), len(raw) - 2))
    scores = [float(np.mean([pearson(movie[t], raw[t + shift]) for t in times])) for shift in SHIFTS]
    best = int(np.argmax(scores))
    shift = float(SHIFTS[best])
    if 0 < best < len(SHIFTS) - 1:
        before, peak, after = scores[best - 1 : best + 2]
        shift += 0.5 * (before - after) / (before - 2 * peak + after)
    return -shift


def downsample(movie: Movie) -> Movie:
    rows, columns = (-(-side // 64) for side in movie.shape[1:])
    height, width = (side // step for side, step in zip(movie.shape[1:], (rows, columns), strict=True))
    blocks = movie[:, : height * rows, : width * columns].reshape(len(movie), height, rows, width, columns)
    return blocks.mean(axis=(2, 4))
