"""A finished run without a network: a movie, stores of random stains by several methods, and metrics."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from support.stores import write_image

from image_translation.metrics.rows import Row
from image_translation.normalize import Statistics
from image_translation.omezarr.output import ImageSpec, create_store, image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.omezarr.store import open_store
from image_translation.staining.writer import SeriesResult

METHODS = ("raw", "window", "motion")
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


class FinishedRun:
    """Arguments of ``write_figures``: plan, stores and results."""

    def __init__(
        self,
        directory: Path,
        *,
        frames: int = 6,
        size: tuple[int, int] = (40, 48),
        channels: Sequence[str] = ("Nuclei", "Membrane"),
        truth: bool = True,
        invalid: Sequence[int] = (),
        start: int = 0,
        methods: Sequence[str] = METHODS,
        metrics: bool = True,
        planes: int = 1,
        z_spacing: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(0)
        self.movie = gaussian_filter(
            rng.normal(size=(start + frames, 1 + len(channels), planes, *size)), (0, 0, 0, 1, 1)
        )
        self.movie = self.movie.astype(np.float32)
        self.movie[[start + t for t in invalid], 0] = 0
        names = ("Phase3D", *channels)
        path = write_image(
            directory / "movie.zarr", self.movie, channels=names, scale=(300, 1, z_spacing, 0.5, 0.5), units=UNITS
        )
        store = open_store(path)
        position = store.position(store.names[0])
        self._position, self._channels = position, tuple(channels)
        self.numbers = range(start, start + frames)
        indices = tuple(range(1, 1 + len(channels))) if truth else ()
        self._planes = tuple(range(planes))
        stack: Any = tuple(
            SimpleNamespace(
                position=position, channel=0, truth=indices, z=z, plane=z, frames=self.numbers, name=f"fov z{z}"
            )
            for z in self._planes
        )
        self.series = stack[0]
        self.plan: Any = SimpleNamespace(
            store=store,
            series=stack,
            groups={"fov": stack},
            spec=SimpleNamespace(output_channels=tuple(channels), path=Path("net.ckpt"), description="a network"),
            normalization="median_iqr",
            statistics_over="fov",
            images=self._images,
            options=SimpleNamespace(
                methods=tuple(methods),
                method_parameters=lambda: {name: {"width": 3} for name in methods},
                statistics_window=1,
            ),
        )
        self.stores = {}
        self.stains, self.volumes = {}, {}
        for method in methods:
            image = self._images(method)["fov"]
            self.stores[method] = directory / f"{method}.ome.zarr"
            create_store(self.stores[method], store, [image])
            stains = rng.normal(size=(planes, image.length, len(channels), *size)).astype(np.float32)
            stains[:, [t for t in invalid if t < image.length]] = np.nan
            self.stains[method], self.volumes[method] = stains[0], stains
            for z in self._planes:
                written = PlaneStack(image_path(self.stores[method], "fov"), image, z, write=True)
                for number, frame in enumerate(stains[z]):
                    written.write(number, frame)
                written.wait()
        missing, known = [start + t for t in invalid], Statistics(0.0, 1.0, "none")
        self.results = [
            SeriesResult(one.name, "fov", self._rows(methods, one.z, metrics=metrics, truth=truth), missing, known, [])
            for one in stack
        ]

    def _images(self, method: str) -> dict[str, ImageSpec]:
        delayed = method == "window"
        length = len(self.numbers) - delayed
        return {
            "fov": ImageSpec(
                self._position, self._channels, self.numbers, length, self._planes, delay=0.5 if delayed else 0.0
            )
        }

    def _rows(self, methods: Sequence[str], z: int, *, metrics: bool, truth: bool) -> list[Row]:
        plane = z if len(self._planes) > 1 else None
        names = ["adjacent_pearson", "flicker", "sharpness", "pearson_raw", *(["pearson_truth"] if truth else [])]
        movies = [*methods, "truth"] if truth else methods
        return [
            Row("fov", method, channel, t, metric, 0.9 - 0.1 * number, plane)
            for number, method in enumerate(movies)
            for channel in self._channels
            for metric in names
            for t in self.numbers[: len(self.numbers) - 1 if metrics else 0]
        ]
