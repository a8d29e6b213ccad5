"""`stain` and `stain_frames`: the pixels and the stores of the command, of arrays of any kind."""

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from support.runs import pixels
from support.stores import phase, write_image, write_plate

import image_translation
from image_translation import DataError, UsageError, stain, stain_frames
from image_translation.api.networks import Network, load_network
from image_translation.cli.commands import main
from image_translation.omezarr.store import open_store

METHODS = ("raw", "motion", "window")


def test_public_verbs_are_listed() -> None:
    verbs = {"evaluate", "inspect", "load_network", "smooth", "stain", "stain_frames", "stain_live"}
    assert verbs <= set(image_translation.__all__)


def test_pixels_are_those_of_the_command(movie: Any, network: Network, described: Any, by_command: Path) -> None:
    stained = stain(movie, network, smooth=METHODS[1:], **described)
    assert stained.methods == METHODS
    assert stained.channels == ("Nuclei", "Membrane")
    assert stained.axes == "TCZYX"
    for method in METHODS:
        np.testing.assert_array_equal(stained[method], pixels(by_command, method))
    assert stained.valid[:, 0].tolist() == [number != 4 for number in range(9)]
    assert np.isnan(stained.raw[4]).all()
    np.testing.assert_array_equal(stained.smoothed, stained["motion"])


def test_saved_stores_are_those_of_the_command(
    movie: Any, network: Network, described: Any, *, by_command: Path, tmp_path: Path
) -> None:
    saved = stain(movie, network, smooth=METHODS[1:], **described).save(tmp_path / "saved")
    assert sorted(path.name for path in saved.iterdir()) == sorted(f"{method}.ome.zarr" for method in METHODS)
    for method in METHODS:
        np.testing.assert_array_equal(pixels(saved, method), pixels(by_command, method))
        own, theirs = (open_store(path / f"{method}.ome.zarr").position("fov") for path in (saved, by_command))
        assert (own.levels, own.units, own.channels) == (theirs.levels, theirs.units, theirs.channels)
        assert own.attributes["omero"] == theirs.attributes["omero"]
        ours, others = (position.attributes["image_translation"] for position in (own, theirs))
        assert ours["normalization"] == others["normalization"]
        assert ours["invalid_frames"] == others["invalid_frames"] == [4]
        assert ours["request"]["prediction"] == others["request"]["prediction"]


def test_a_saved_result_is_not_replaced_unasked(movie: Any, network: Network, tmp_path: Path) -> None:
    stained = stain(movie[:3, :1], network, smooth=None)
    stained.save(tmp_path)
    with pytest.raises(UsageError, match=r"raw\.ome\.zarr exists; .*overwrite=True"):
        stained.save(tmp_path)
    stained.save(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.ome.zarr"]


@pytest.mark.parametrize("kind", ["three axes", "dask", "zarr", "xarray", "path"])
def test_movies_of_any_kind(kind: str, *, movie: Any, store: Path, network: Network, by_command: Path) -> None:
    flat = movie[:, 0, 0]
    given: Any = {
        "three axes": flat,
        "dask": da.from_array(flat, chunks=(2, 40, 36)),
        "zarr": zarr.array(flat, chunks=(1, 40, 36)),
        "xarray": xr.DataArray(flat, dims=("time", "y", "x")),
        "path": store,
    }[kind]
    raw = stain(given, network, smooth=None).raw
    expected = pixels(by_command, "raw")
    assert raw.ndim == (5 if kind == "path" else 4)
    np.testing.assert_array_equal(raw, expected if kind == "path" else expected[:, :, 0])


def test_a_channel_is_chosen_by_its_name(movie: Any, network: Network, described: Any) -> None:
    dna = stain(movie, network, channel="DNA", smooth=None, **described).raw
    np.testing.assert_array_equal(dna, stain(movie[:, 1, 0], network, smooth=None).raw[:, :, np.newaxis])


def test_frames_come_when_they_are_asked_for(movie: Any, network: Network) -> None:
    read = []

    class Watched:
        shape, dtype = (9, 40, 36), movie.dtype

        def __getitem__(self, index: tuple[int, ...]) -> Any:
            read.append(index[0])
            return movie[index[0], 0, 0]

    frames = stain_frames(Watched(), network, normalization="none")
    assert frames.shape == (9, 2, 1, 40, 36)
    assert frames.methods == ("raw", "motion")
    first = next(frames)
    assert (first.method, first.index, first.plane, first.valid) == ("raw", 0, 0, True)
    assert first.data.shape == (2, 40, 36)
    read.clear()
    frames.close()
    assert list(frames) == []
    assert len(read) <= 2  # those that were being read ahead


def test_smoothed_frames_follow_as_soon_as_they_are_known(movie: Any, network: Network) -> None:
    order = [(frame.method, frame.index) for frame in stain_frames(movie[:, 0, 0], network, smooth="window")]
    assert sorted(order) == [*(("raw", t) for t in range(9)), *(("window", t) for t in range(8))]
    for t in range(8):
        assert order.index(("raw", t + 1)) < order.index(("window", t))
    assert order.index(("window", 0)) < order.index(("raw", 8))


def test_an_exception_of_the_progress_callback_stops_the_work(movie: Any, network: Network) -> None:
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stain(movie, network, channel="channel_0", progress=progress)
    assert seen == [(1, 9), (2, 9)]


def test_stacks_are_stained_plane_by_plane(stack_checkpoint: Path, tmp_path: Path) -> None:
    stacks = np.concatenate([phase(3, (23, 30), seed) for seed in range(8)], axis=2)
    stacks[1, 0, 0] = 0  # an invalid plane
    store = write_image(tmp_path / "in.ome.zarr", stacks)
    command = ["smooth", "-c", stack_checkpoint, "-m", store, "-o", tmp_path / "out", "--methods", "raw", "window"]
    assert main([*map(str, command), "--device", "cpu"]) == 0
    stained = stain(stacks, load_network(stack_checkpoint, device="cpu"), smooth="window")
    for method in ("raw", "window"):
        np.testing.assert_array_equal(stained[method], pixels(tmp_path / "out", method))
    assert stained.valid.shape == (3, 8)
    assert stained.valid.sum() == 3 * 8 - np.isnan(stained.raw[1]).all(axis=(0, 2, 3)).sum() < 24
    assert stained.phase.shape == stacks[:, 0].shape


def test_planes_of_a_stack_can_be_chosen(movie: Any, network: Network) -> None:
    stack = np.concatenate([movie[:3, :1], movie[5:8, :1]], axis=2)
    stained = stain(stack, network, z="all", smooth=None, normalization="none")
    np.testing.assert_array_equal(
        stained.raw[:, :, 1:], stain(stack, network, z=1, smooth=None, normalization="none").raw
    )


def test_a_position_of_a_plate_is_chosen_by_its_name(network: Network, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate.zarr", {"A/1/0": phase(3), "B/2/0": phase(3, seed=1)})
    with pytest.raises(UsageError, match=r"has the positions A/1/0 and B/2/0|has the positions A/1/0, B/2/0"):
        stain(plate, network)
    raw = stain(plate, network, position="B/2/0", smooth=None).raw
    np.testing.assert_array_equal(raw[:, :, 0], stain(phase(3, seed=1)[:, 0, 0], network, smooth=None).raw)


def test_the_truth_is_found_by_name(movie: Any, network: Network) -> None:
    paired = np.concatenate([movie[:4], movie[:4, :1]], axis=1)
    stained = stain(paired, network, channels=("Phase3D", "Nuclei", "Membrane"), smooth=None)
    truth = stained.truth()
    assert truth is not None
    np.testing.assert_array_equal(truth, paired[:, 1:])
    assert stain(movie[:4, :1], network, smooth=None).truth() is None


def test_provenance_is_json(movie: Any, network: Network) -> None:
    provenance = stain(movie[:2, :1], network, smooth=None).provenance
    assert json.loads(json.dumps(provenance))["checkpoint"]["name"] == "tiny.ckpt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": "blur"}, "^smooth raw blur: allowed are raw, window"),
        ({"blur": 3}, "unknown options blur; allowed are backend"),
        ({"channel": "GFP"}, "GFP"),
        ({"channels": ("a",)}, "array has 2; name each"),
        ({"z": 7}, "^z 7 is not in array"),
        (
            {"smooth": "savgol", "savgol_window": 99},
            "^savgol_window 99 needs 99 valid frames, and array .* has 8 of 9; .* leave savgol out of smooth$",
        ),
        ({"statistics_window": 2}, "^statistics_window 2: must be odd"),
        ({"position": "B/1/0"}, "B/1/0 matches nothing in array; it has fov"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, message: str, *, movie: Any, network: Network) -> None:
    with pytest.raises(UsageError, match=message):
        stain_frames(movie, network, **{"channel": "channel_0", **options})


def test_a_store_says_itself_what_an_array_does_not(store: Path, network: Network) -> None:
    with pytest.raises(UsageError, match=r"pixel_size: describe an array, and .* is a store"):
        stain(store, network, pixel_size=1)


def test_a_movie_without_a_valid_frame_is_an_error(network: Network) -> None:
    with pytest.raises(DataError, match="array has no valid frame"):
        stain(np.zeros((4, 16, 16)), network)


def test_what_is_no_movie_is_refused(network: Network) -> None:
    with pytest.raises(UsageError, match="array is no array of images, but list"):
        stain([[1, 2], [3, 4]], network)
    with pytest.raises(UsageError, match=r"nowhere\.zarr"):
        stain("nowhere.zarr", network)
