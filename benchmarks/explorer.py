"""``python -m benchmarks.explorer``: time from a changed control of the explorer to new images.

In a browser and without one, for a crop of 256 x 256 pixels and the bundled network.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.arguments import integer
from benchmarks.browser import ExplorerPage, chromium, find_chromium, serve
from benchmarks.fresh_process import FreshProcess
from benchmarks.table import Measurement, format_table
from image_translation.cli.program import Parser
from image_translation.data.lookup import CACHE_VARIABLE

CROP = "30,30,256,256"
TARGET = 0.5  # seconds
MAX_REPEATS = 31  # the embedded movie has 32 frames
HAS_CHANGED = """before => {
    const image = document.querySelector('img[alt="head"]');
    return image && image.src !== before && image.complete;
}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = Parser(prog="python -m benchmarks.explorer", description=__doc__, allow_abbrev=False)
    limits = integer(1, MAX_REPEATS, reason=f"the embedded movie has {MAX_REPEATS + 1} frames")
    parser.add_argument("repeats", nargs="?", type=limits, default=10, help="frame changes; their median (default: 10)")
    print(format_table(list(measure(parser.parse_args(argv).repeats))))
    return 0


def measure(repeats: int = 10) -> Iterator[Measurement]:
    """Change the frame repeatedly; return the median times."""
    with FreshProcess() as process:
        seconds = process.call(without_browser, repeats)
    yield Measurement(
        "a new frame to the images of all stages, without a browser", seconds, None, "s", TARGET, "at most"
    )
    if find_chromium() is not None:
        with tempfile.TemporaryDirectory() as directory:
            environment = {CACHE_VARIABLE: directory, "LOG": str(Path(directory) / "log"), "HOME": directory}
            command = ["image-translation", "inspect", "--no-browser", "--port", "PORT", "--crop", CROP]
            with serve(command, environment) as url, chromium() as new_page:
                seconds = in_browser(ExplorerPage(new_page(1280, 800), url), repeats)
        yield Measurement(
            "a key press to the images of all stages, in a browser", seconds, None, "s", TARGET, "at most"
        )


def without_browser(repeats: int) -> float:
    """Return the median time from reading a frame to the HTML of its stages, in seconds."""
    from image_translation import data
    from image_translation.explorer.session import Session
    from image_translation.explorer.stage_tiles import stage_colours, tile_rows
    from image_translation.figures import tile_html
    from image_translation.frame import parse_crop
    from image_translation.omezarr.store import open_store

    session = Session()
    network = session.network("first", "demo_ckpt")
    position = open_store(data.resolve("demo_movie", kind="movie")).position("fov")
    times = []
    for t in range(repeats + 1):
        start = time.perf_counter()
        activations = session.run(network, network.read(position, t, 0, crop=parse_crop(CROP)))
        tile_html.grid(tile_rows(activations, stage_colours([activations]), position.pixel_size))
        times.append(time.perf_counter() - start)
    return median(times[1:])  # the first one loads the network


def in_browser(explorer: ExplorerPage, repeats: int) -> float:
    """Return the median time from a key press to the last image of the overview, in seconds."""
    slider = explorer.slider("frame")
    times = []
    for _ in range(repeats + 1):
        before = explorer.source("head")
        start = time.perf_counter()
        slider.press("ArrowRight")
        explorer.page.wait_for_function(HAS_CHANGED, arg=before, polling="raf")
        times.append(time.perf_counter() - start)
    return median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
