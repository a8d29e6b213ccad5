"""``python -m benchmarks.real_movies``: the smoothing methods on real movies.

- ``livecyte``: quantitative phase of breast cancer cells, stained by the bundled network; there is no truth.
- ``bacteria``: phase contrast, stained by a network that is trained on the first frames, and scored on the later ones
  against the annotated cells; these descend from those of the first frames.
- ``hela``: a real stain of nuclei, how much it changes by itself; and a semi-real movie, the annotated nuclei imaged by
  the simulator's optics with a focus that fluctuates, and stained by the bundled network.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.arguments import integer
from benchmarks.flicker_causes import DATA, measure, read_frames
from benchmarks.stained import normalise, predictor, smooth
from benchmarks.table import format_markdown
from image_translation.cli.program import Parser
from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import RAW, TRUTH
from image_translation.metrics.score_card import Entry, ScoreCard, score_cards

METHODS = ("window", "savgol", "median", "motion", "causal")
LIVECYTE_FILE, BACTERIA_FILE, HELA_FILE = (
    f"{name}.ome.zarr" for name in ("livecyte_phase", "bacteria_phase_annotated", "hela_nuclei_annotated")
)
BACTERIA = ("Cells", "Outlines")
STAINS = ("Nuclei", "Membrane")
TRAINING_FRAMES = 8
MIN_FRAMES = 11  # window of the Savitzky-Golay filter

_FIRST = 20  # frame of the Livecyte movie
_MARGIN = 48  # pixels around the cells
_TRAINING_SIDE = 256  # pixels of a training image around the cells
_SOFT_SIGMA = 2.0  # pixels

Array = NDArray[np.float32]


def main(argv: list[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = Parser(
        prog="python -m benchmarks.real_movies", description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated; all if not given")
    parser.add_argument("--frames", type=integer(MIN_FRAMES), default=40, help="of the Livecyte movie (default: 40)")
    parser.add_argument("--side", type=integer(64), default=400, help="of its central part, in pixels (default: 400)")
    parser.add_argument("--steps", type=integer(1), default=200, help="of the training (default: 200)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="directory for images of the results")
    parser.add_argument("--data", type=Path, default=DATA, help=f"directory of the real movies (default: {DATA})")
    arguments = parser.parse_args(argv)
    for name in arguments.part or PARTS:
        part, file = PARTS[name]
        path = arguments.data / file
        if path.exists():
            print(part(path, arguments), end="\n\n")
        else:
            print(f"real_movies: {path} does not exist; {name} is skipped", file=sys.stderr)
    return 0


def livecyte(path: Path, arguments: object) -> str:
    """Smooth the predicted stain of the central part of the Livecyte movie, and return the table of its score card."""
    frames, side = arguments.frames, arguments.side  # type: ignore[attr-defined]
    movie = np.stack(list(read_frames(path, _FIRST + frames)))[_FIRST:]
    phase = normalise(movie)
    y, x = ((n - min(side, n)) // 2 for n in phase.shape[1:])
    phase = np.ascontiguousarray(phase[:, y : y + side, x : x + side])
    predict = predictor("demo_ckpt")
    results = smoothed(np.stack([predict(image) for image in phase]), phase)
    draw("livecyte", phase, results, arguments)
    return "Livecyte, stained by the bundled network; no truth.\n\n" + format_card(score(results, phase, STAINS))


def bacteria(path: Path, arguments: object) -> str:
    """Train on the first frames of the bacteria, smooth the others, and return the table of their scores."""
    movie, labels = (np.stack(list(read_frames(path, 1000, channel))) for channel in (0, 1))
    truth = np.stack([soft_masks(image) for image in labels])
    centred = movie - np.median(movie, axis=(1, 2), keepdims=True)
    crops = [_around(image) for image in labels[:TRAINING_FRAMES]]
    phase = centred / np.float32(np.std([image[crop] for image, crop in zip(centred, crops, strict=False)]))
    with TemporaryDirectory() as directory:
        images = [
            np.concatenate([image[None], true])[(slice(None), *crop)]
            for image, true, crop in zip(phase, truth, crops, strict=False)
        ]
        checkpoint = train(Path(directory), np.stack(images), arguments.steps)  # type: ignore[attr-defined]
        predict = predictor(str(checkpoint))
        later = slice(TRAINING_FRAMES, None)
        box = _box(labels[later].max(axis=0) > 0)
        phase, truth = (np.ascontiguousarray(array[later][(..., *box)]) for array in (phase, truth))
        raw = np.stack([predict(image) for image in phase])
    results = smoothed(raw, phase)
    draw("bacteria", phase, results, arguments, truth)
    return (
        f"Bacteria, stained by a network trained on the first {TRAINING_FRAMES} frames; against the annotation.\n\n"
        + format_card(score(results, phase, BACTERIA, truth))
    )


def hela(path: Path, arguments: object) -> str:
    """Return the tables of the real stain of HeLa nuclei, and of a semi-real movie of them."""
    nuclei, labels = (np.stack(list(read_frames(path, 1000, channel))) for channel in (0, 1))
    side = min(arguments.side, *nuclei.shape[1:])  # type: ignore[attr-defined]
    jitters = score({RAW: nuclei[:, None]}, nuclei, STAINS[:1]).entries[0].values
    names = ("count_jitter", "area_jitter", "intensity_jitter")
    rows = [["real stain", "change", *names]]
    rows.append(["HeLa nuclei", f"{measure(nuclei).change:.3f}", *(f"{jitters[name]:.3f}" for name in names)])
    nuclei, labels = nuclei[:, :side, :side], labels[:, :side, :side]
    phase = normalise(semi_real_phase(labels, nuclei))
    predict = predictor("demo_ckpt")
    results = smoothed(np.stack([predict(image)[:1] for image in phase]), phase)
    truth = np.stack([[_blur(image, _SOFT_SIGMA)] for image in (labels > 0).astype(np.float32)])
    draw("hela", phase, results, arguments, truth)
    return (
        "HeLa, a real stain: change along the motion relative to the contrast, and the jitter along tracks.\n\n"
        f"{format_markdown(rows)}\n\n"
        "HeLa, semi-real: real nuclei in the simulator's optics with a jitter of the focus, stained by the bundled\n"
        f"network; against the annotation.\n\n{format_card(score(results, phase, STAINS[:1], truth))}"
    )


PARTS: Mapping[str, tuple[Callable[[Path, object], str], str]] = {
    "livecyte": (livecyte, LIVECYTE_FILE),
    "bacteria": (bacteria, BACTERIA_FILE),
    "hela": (hela, HELA_FILE),
}
"""Function and store of each part."""


def soft_masks(labels: Array) -> Array:
    """Return smooth images of the cells and of their outlines, (2, Y, X), from labels (Y, X)."""
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(labels, kernel) == cv2.dilate(labels, kernel)
    cells, outlines = (labels > 0) & inner, (labels > 0) & ~inner
    return np.stack([_blur(image.astype(np.float32), _SOFT_SIGMA) for image in (cells, outlines)])


def semi_real_phase(labels: Array, nuclei: Array) -> Array:
    """Image annotated nuclei, (T, Y, X), as a phase movie in radians: bodies around them, with their real texture."""
    from image_translation.simulation.geometry import PADDING
    from image_translation.simulation.optics import image_phase
    from image_translation.simulation.spec import MovieSpec

    height, width = labels.shape[1:]
    spec = MovieSpec(shape=(height, width), frames=len(labels), seed=12, focus_jitter=0.15)
    typical = np.median(nuclei[labels > 0])
    images = []
    for t, (label, image) in enumerate(zip(labels, nuclei, strict=True)):
        mask = (label > 0).astype(np.float32)
        body = np.clip(2 * _blur(mask, 12.0), 0, 1)
        texture = np.clip(image / typical, 0.5, 1.5) * mask
        path = np.pad(spec.contrast * (body + spec.nuclear_contrast * _blur(texture, 1.0)), PADDING, mode="reflect")
        images.append(image_phase(path.astype(np.float32), t, spec))
    return np.stack(images)


def train(directory: Path, images: Array, steps: int) -> Path:
    """Train a small network on images (T, 1 + C, Y, X), the phase and its stains, and return its checkpoint."""
    from iohub.ngff import open_ome_zarr

    from image_translation.training.options import TrainOptions
    from image_translation.training.plan import make_plan
    from image_translation.training.run import train as run

    store = directory / "training.ome.zarr"
    with open_ome_zarr(store, layout="fov", mode="w-", channel_names=["Phase", *BACTERIA]) as position:
        position.create_image("0", images[:, :, None].astype(np.float32))
    options = TrainOptions(
        str(store), ("Phase",), BACTERIA, directory / "network", normalization="none", patch=128, steps=steps,
        round_steps=-(-steps // 4), batch_size=4, loss=(0.5, 0.5, 0.0), rate=2e-3, device="cpu", workers=0,
    )  # fmt: skip
    options.check()
    return run(make_plan(options)).best


def smoothed(raw: Array, phase: Array) -> dict[str, Array]:
    """Return a raw stain (T, C, Y, X) and the results of all methods, by name."""
    return {RAW: raw, **smooth(raw, phase, METHODS)}


def score(
    results: Mapping[str, Array], phase: Array, channels: tuple[str, ...], truth: Array | None = None
) -> ScoreCard:
    """Return the score card of results (T, C, Y, X) of methods, with the phase (T, Y, X), and the truth if known."""
    delays = {method: 0.5 if method == "window" else 0.0 for method in results if method != RAW}
    evaluator = Evaluator("0", channels, delays, truth=truth is not None)
    rows = []
    for t, image in enumerate(phase):
        if truth is not None:
            rows += evaluator.add(TRUTH, Frame(t, truth[t]))
        for method, images in results.items():
            if t < len(images):
                rows += evaluator.add(method, Frame(t, images[t], phase=image if method == RAW else None))
    (card,) = score_cards(rows + evaluator.finish())
    return card


def format_card(card: ScoreCard) -> str:
    """Return a score card as a Markdown table: "!" is worse than raw, "?" in doubt; and the methods, best first."""
    rows = [["channel", "method", *card.columns]]
    channels = dict.fromkeys(entry.channel for entry in card.entries)
    for entry in sorted(card.entries, key=lambda entry: (list(channels).index(entry.channel), entry.method != RAW)):
        cells = [
            "-" if np.isnan(value := entry.values[name]) else f"{value:.3f}{_mark(entry, name)}"
            for name in card.columns
        ]
        rows.append([entry.channel, entry.method, *cells])
    best_first = ", ".join(f"{method} (cannot tell)" * card.in_doubt(method) or method for method in card.ranking)
    return f"{format_markdown(rows)}\n\nBest first: {best_first}."


def _mark(entry: Entry, column: str) -> str:
    return "!" if column in entry.failures else "?" if column in entry.doubts else ""


def draw(name: str, phase: Array, results: Mapping[str, Array], arguments: object, truth: Array | None = None) -> None:
    """Write an image of four consecutive frames if asked for: phase, truth, and each method in rows, by channel."""
    directory: Path | None = arguments.images  # type: ignore[attr-defined]
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    start = len(phase) // 2
    shown = {"phase": phase[:, None]} | ({} if truth is None else {TRUTH: truth}) | dict(results)
    for channel in range(results[RAW].shape[1]):
        rows = []
        for label, images in shown.items():
            own = images[start : start + 4, min(channel, images.shape[1] - 1)]
            low, high = np.percentile(own, (0.5, 99.8))
            row = np.hstack(list(np.clip((own - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)))
            rows.append(cv2.putText(row, label, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255))
        cv2.imwrite(str(directory / f"{name}-{channel}.png"), np.vstack(rows))


def _around(labels: Array) -> tuple[slice, slice]:
    """Return a square around the cells of a frame, within it."""
    starts = []
    for centre, length in zip(np.argwhere(labels > 0).mean(axis=0), labels.shape, strict=True):
        starts.append(int(np.clip(centre - _TRAINING_SIDE / 2, 0, length - _TRAINING_SIDE)))
    y, x = starts
    return slice(y, y + _TRAINING_SIDE), slice(x, x + _TRAINING_SIDE)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the bounding box of a mask, with a margin."""
    found = np.argwhere(mask)
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    return slice(max(0, top - _MARGIN), bottom + _MARGIN), slice(max(0, left - _MARGIN), right + _MARGIN)


def _blur(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as error:
        sys.exit(f"real_movies: {error}")
