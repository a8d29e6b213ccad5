"""Damaged images and plates."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from support.stores import phase, write_image, write_plate

from fuzz.attempt import Rng, Try
from fuzz.damage import damage_file, damage_json
from image_translation.omezarr.store import open_store
from image_translation.staining.options import SmoothOptions
from image_translation.staining.plan import make_plan

_FRAMES, _SIZE = 5, (16, 24)
_WELLS = ("A/1/0", "A/2/0", "B/1/0", "B/1/1")


def image_tries(rng: Rng, checkpoint: Path, scratch: Path) -> Iterator[Try]:
    """Yield images of both versions, with damaged metadata and chunks."""
    for version in ("0.4", "0.5"):
        write_image(scratch / version, phase(_FRAMES, _SIZE), version=version)
    yield from _tries(rng, checkpoint, scratch, ("0.4", "0.5"))


def plate_tries(rng: Rng, checkpoint: Path, scratch: Path) -> Iterator[Try]:
    """Yield plates of both versions, with damaged metadata of plate, wells and images, and damaged chunks."""
    for version in ("0.4", "0.5"):
        movies = {name: phase(2, _SIZE, seed) for seed, name in enumerate(_WELLS)}
        write_plate(scratch / version, movies, version=version)
    yield from _tries(rng, checkpoint, scratch, ("0.4", "0.5"))


def _tries(rng: Rng, checkpoint: Path, scratch: Path, versions: tuple[str, ...]) -> Iterator[Try]:
    while True:
        source = scratch / versions[rng.integers(len(versions))]
        path = scratch / "damaged.ome.zarr"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(source, path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        documents = [file for file in files if file.name.startswith(".z") or file.name == "zarr.json"]
        if rng.random() < 0.7:
            file = documents[rng.integers(len(documents))]
            document, what = damage_json(rng, json.loads(file.read_text()))
            file.write_text(json.dumps(document))
        else:
            file = files[rng.integers(len(files))]
            what = damage_file(rng, file)
        harmless = file.name == ".zattrs" or (file.name == "zarr.json" and what.startswith("/attributes/"))
        yield Try(
            f"{source.name} {file.relative_to(path)}: {what}",
            lambda path=path, source=source, harmless=harmless: _use(path, source, checkpoint, same=harmless),
        )


def _use(path: Path, source: Path, checkpoint: Path, *, same: bool) -> None:
    """Read everything, and plan to stain it; what is read from an image whose arrays are whole must be its pixels."""
    damaged, whole = open_store(path), open_store(source)
    for name in damaged.names:
        position = damaged.position(name)
        original = whole.position(name) if name in whole.names else None
        frames, channels, planes = position.shape[:3]
        for t in range(min(frames, 20)):
            image = position.read(t, min(channels, 1) - 1, min(planes, 1) - 1)
            assert image.shape == position.shape[-2:]
            if same and original is not None and position.axes == original.axes:
                np.testing.assert_array_equal(image, original.read(t, 0, 0))
    make_plan(SmoothOptions(str(checkpoint), str(path), path.with_name("out"), leave_out=True, device="cpu"))
