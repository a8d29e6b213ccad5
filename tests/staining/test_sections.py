from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.finished_run import FinishedRun

from image_translation.staining import sections as module
from image_translation.staining.excerpt import SideBySide, choose_excerpt
from image_translation.staining.sections import choose_pixel, read_sections, relative_z_spacing


def read(run: FinishedRun, frame: int, voxel: tuple[int, int, int], z_spacing: float = 1.0) -> Any:
    done: list[int] = []
    found = read_sections(
        run.plan, run.plan.series, run.stores, frame, voxel, z_spacing=z_spacing, on_plane=lambda: done.append(1)
    )
    assert len(done) == len(run.plan.series)
    return found


def test_sections_are_those_of_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", 20)
    run = FinishedRun(tmp_path, frames=4, start=2, planes=5)
    found, voxel = read(run, 4, (3, 7, 30))
    assert list(found) == ["phase", "truth", "raw", "window", "motion"]
    assert voxel == (3, 7, 10)  # rows 0 to 20 and columns 20 to 40
    for c in range(2):
        volume = run.volumes["motion"][:, 2, c, 0:20, 20:40]
        np.testing.assert_array_equal(found["motion"][c].xy, volume[3])
        np.testing.assert_array_equal(found["motion"][c].xz, volume[:, 7])
        np.testing.assert_array_equal(found["motion"][c].yz, volume[:, :, 10])
    np.testing.assert_array_equal(found["truth"][1].xz, run.movie[4, 2, :, 7, 20:40])
    np.testing.assert_array_equal(found["phase"][0].yz, run.movie[4, 0, :, 0:20, 30])


def test_the_region_of_a_deep_stack_is_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", 8)
    run = FinishedRun(tmp_path, frames=2, planes=5, methods=("raw",), truth=False)
    assert read(run, 0, (2, 20, 20))[0]["raw"][0].xy.shape == (8, 8)
    assert read(run, 0, (2, 20, 20), 18.0)[0]["raw"][0].xy.shape == (30, 30)
    assert read(run, 0, (2, 20, 20), 1e9)[0]["raw"][0].xy.shape == (40, 48)


def test_a_phase_without_valid_planes_is_not_shown(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, frames=3, planes=3, invalid=[1])
    found = read(run, 1, (1, 5, 5))[0]
    assert "phase" not in found
    assert np.isnan(found["raw"][0].xz).all()
    assert "phase" in read(run, 2, (1, 5, 5))[0]


@pytest.mark.parametrize(("channels", "expected"), [(("Membrane", "Nuclei"), (30, 12)), (("A", "B"), (8, 40))])
def test_the_pixel_is_in_a_nucleus_where_nuclei_are_stained(
    channels: tuple[str, str], expected: tuple[int, int]
) -> None:
    stain = np.zeros((1, 2, 60, 70), np.float32)
    stain[0, 0, 3:8, 28:33] = 1
    stain[0, 1, 25:30, 0:5] = 1
    stain[0, 1, 50, 60] = 5  # one bright pixel is no nucleus
    excerpt: Any = SimpleNamespace(
        frames=range(1), crop=(slice(3, 63), slice(10, 80)), corners=[(0, 0)], stains={"raw": stain}
    )
    found = choose_pixel(excerpt, channels)
    assert abs(found[0] - expected[0]) <= 1
    assert abs(found[1] - expected[1]) <= 2


def test_there_is_a_pixel_without_finite_values(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, frames=2, invalid=[0, 1])
    excerpt = choose_excerpt(SideBySide(run.plan, run.series, run.stores), [0, 1], {})
    y, x = choose_pixel(excerpt, ("Nuclei", "Membrane"))
    assert 0 <= y < 40
    assert 0 <= x < 48


@pytest.mark.parametrize(
    ("z_scale", "pixel_size", "unit", "expected"),
    [
        (0.25, 0.1, "micrometer", 2.5),
        (1.0, 0.5, "micrometer", 2.0),
        (0.25, None, "micrometer", None),
        (0.25, 0.1, "", None),
        (0.0, 0.1, "micrometer", None),
        (float("nan"), 0.1, "micrometer", None),
        (float("inf"), 0.1, "micrometer", None),
    ],
)
def test_the_z_spacing_in_pixels(z_scale: float, pixel_size: float | None, unit: str, expected: float | None) -> None:
    position: Any = SimpleNamespace(
        levels=[SimpleNamespace(scale=(1, 1, z_scale, 1, 1))], pixel_size=pixel_size, units={"z": unit}
    )
    found = relative_z_spacing(position)
    assert found == (None if expected is None else pytest.approx(expected))
