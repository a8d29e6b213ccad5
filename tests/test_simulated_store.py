"""The embedded movie is made once, whoever asks for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from image_translation import simulated_store
from image_translation.simulate import MovieSpec
from image_translation.store import open_store


def test_all_who_want_it_at_once_get_one_movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_store, "DEMO", MovieSpec(shape=(64, 64), frames=6))
    made = []
    write = simulated_store.write_simulated_movie

    def counted(spec: MovieSpec, path: Path) -> None:
        made.append(path)
        write(spec, path)

    monkeypatch.setattr(simulated_store, "write_simulated_movie", counted)
    path = tmp_path / "cache" / "movie.ome.zarr"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(simulated_store.require_demo_movie, [path] * 4))
    assert made == [path]
    assert open_store(path).position("fov").read(5, 0, 0).std() > 0
