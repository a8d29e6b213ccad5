"""How long it takes from a changed control of the explorer to new pictures, in a browser and without one.

``python -m benchmarks.explorer [REPEATS]`` prints the table, for a crop of 256 x 256 pixels and the bundled network.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.browser import Explorer, chromium, find_chromium, served
from benchmarks.isolated import FreshProcess
from benchmarks.table import Line, format_lines
from image_translation.data.lookup import CACHE_VARIABLE

CROP = "30,30,256,256"
REACH = 0.5
CHANGED = """before => {
    const picture = document.querySelector('img[alt="head"]');
    return picture && picture.src !== before && picture.complete;
}"""


def main() -> None:
    """Measure, and print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(format_lines(list(measure(repeats))))


def measure(repeats: int = 10) -> Iterator[Line]:
    """Go from frame to frame so many times; the medians."""
    with FreshProcess() as process:
        seconds = process.call(without_browser, repeats)
    yield Line("a changed frame to the pictures of all stages, without a browser", seconds, None, "s", REACH, "at most")
    if find_chromium() is not None:
        with tempfile.TemporaryDirectory() as folder:
            environment = {CACHE_VARIABLE: folder, "LOG": str(Path(folder) / "log"), "HOME": folder}
            command = ["image-translation", "inspect", "--no-browser", "--port", "PORT", "--crop", CROP]
            with served(command, environment) as address, chromium() as opened:
                seconds = in_browser(Explorer(opened(1280, 800), address), repeats)
        yield Line("a pressed key to the pictures of all stages, in a browser", seconds, None, "s", REACH, "at most")


def without_browser(repeats: int) -> float:
    """Return the seconds from reading a frame to the page as HTML."""
    from image_translation import data
    from image_translation.explorer import session
    from image_translation.explorer.stage_tiles import stage_colours, tile_rows
    from image_translation.figures import tile_html
    from image_translation.frame import parse_crop
    from image_translation.omezarr.store import open_store

    explorer = session.Explorer()
    network = explorer.network("first", "demo_ckpt")
    position = open_store(data.resolve("demo_movie", kind="movie")).position("fov")
    times = []
    for t in range(repeats + 1):
        start = time.perf_counter()
        view = explorer.see(network, network.read(position, t, 0, crop=parse_crop(CROP)))
        tile_html.grid(tile_rows(view, stage_colours([view]), position.pixel_size))
        times.append(time.perf_counter() - start)
    return median(times[1:])  # the first one loads the network


def in_browser(explorer: Explorer, repeats: int) -> float:
    """Return the seconds from a key to the last picture of the overview."""
    slider = explorer.slider("frame")
    times = []
    for _ in range(repeats + 1):
        before = explorer.source("head")
        start = time.perf_counter()
        slider.press("ArrowRight")
        explorer.page.wait_for_function(CHANGED, arg=before, polling="raf")
        times.append(time.perf_counter() - start)
    return median(times[1:])


if __name__ == "__main__":
    main()
