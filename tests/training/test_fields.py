"""Which images of a store are trained on and held out: dropped ones are not, and the store stays as it is."""

import hashlib
import json

import numpy as np
import pytest
from support.stores import write_image, write_plate

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.store import open_store
from image_translation.training.fields import Choice, find_fields

CHANNELS = ("Phase3D", "Nuclei")
CHOICE = Choice(("Phase3D",), ("Nuclei",), patch=16)


def movie(frames=2, size=(32, 48), seed=0, planes=1):
    """Phase and nuclei, T, C, Z, Y, X: the second has the mean 100 + seed."""
    data = np.random.default_rng(seed).normal(size=(frames, 2, planes, *size)).astype(np.float32)
    data[:, 1] += 100 + seed
    return data


@pytest.fixture
def plate(tmp_path):
    return write_plate(tmp_path / "p.zarr", {f"A/{n}/0": movie(seed=n) for n in range(1, 6)}, channels=CHANNELS)


def summed(path):
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        digest.update(str(file).encode() + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest()


def places(windows):
    return {window.position for window in windows}


def test_positions_are_held_out_by_the_seed(plate):
    found = find_fields(open_store(plate), CHOICE)
    again = find_fields(open_store(plate), CHOICE)
    assert len(found.train) == 8
    assert len(found.held_out) == 2
    assert len(places(found.held_out)) == 1
    assert not places(found.train) & places(found.held_out)
    assert found.held_out == again.held_out
    others = {*(find_fields(open_store(plate), Choice(**vars(CHOICE) | {"seed": n})).held_out for n in range(8))}
    assert len(others) > 1


def test_positions_are_held_out_by_name_and_trained_on_by_pattern(plate):
    choice = Choice(**vars(CHOICE) | {"positions": ("A/[123]/0",), "validation": ("A/3/0", "A/5/0")})
    found = find_fields(open_store(plate), choice)
    assert places(found.train) == {"A/1/0", "A/2/0"}
    assert places(found.held_out) == {"A/3/0", "A/5/0"}


def test_all_positions_held_out_leave_nothing(plate):
    with pytest.raises(UsageError, match="--validation: nothing is left to train on"):
        find_fields(open_store(plate), Choice(**vars(CHOICE) | {"validation": ("A/*/0",)}))


def test_the_last_frames_of_a_movie_are_held_out(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=10), channels=CHANNELS)
    found = find_fields(open_store(path), CHOICE)
    assert [window.frame for window in found.train] == list(range(8))
    assert [window.frame for window in found.held_out] == [8, 9]


def test_the_right_of_a_still_is_held_out(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=1), channels=CHANNELS)
    found = find_fields(open_store(path), CHOICE)
    assert [window.columns for window in found.train] == [(0, 32)]
    assert [window.columns for window in found.held_out] == [(32, 48)]
    assert found.read(found.held_out[0]).shape == (2, 32, 16)
    np.testing.assert_array_equal(found.read(found.train[0]), movie(frames=1)[0, :, 0, :, :32])


def test_a_still_that_is_too_narrow_says_what_would_do(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=1, size=(40, 40)), channels=CHANNELS)
    with pytest.raises(UsageError, match=r"single still of 40 columns.* patches of at most 20"):
        find_fields(open_store(path), Choice(**vars(CHOICE) | {"patch": 32}))


@pytest.mark.parametrize(("channel", "value"), [(0, 0.0), (1, 0.0), (1, 7.0), (0, np.nan)])
def test_dropped_images_are_neither_trained_on_nor_counted(tmp_path, caplog, channel, value):
    data = movie(frames=10)
    whole = find_fields(open_store(write_image(tmp_path / "a.zarr", data[:9], channels=CHANNELS)), CHOICE)
    data[9, channel] = value
    found = find_fields(open_store(write_image(tmp_path / "b.zarr", data, channels=CHANNELS)), CHOICE)
    assert 9 not in {window.frame for window in (*found.train, *found.held_out)}
    assert "1 of 10 images are left out" in caplog.text
    assert found.outputs == whole.outputs
    if channel == 0:
        assert found.inputs["fov"]["Phase3D"].center == pytest.approx(whole.inputs["fov"]["Phase3D"].center, abs=1e-6)


def test_an_image_that_cannot_be_read_is_left_out(tmp_path, caplog):
    path = write_image(tmp_path / "m.zarr", movie(frames=10), channels=CHANNELS)
    chunk = path / "0" / "4" / "1" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    found = find_fields(open_store(path), CHOICE)
    assert 4 not in {window.frame for window in (*found.train, *found.held_out)}
    assert "1 of 10 images are left out; the first: cannot read frame 4" in caplog.text


def test_a_store_of_dropped_images_is_an_error(tmp_path):
    path = write_image(tmp_path / "m.zarr", np.zeros((6, 2, 1, 32, 48), np.float32), channels=CHANNELS)
    with pytest.raises(DataError, match="every image is empty, constant or unreadable in one of Phase3D, Nuclei"):
        find_fields(open_store(path), CHOICE)


def test_sources_are_normalised_by_field_and_targets_by_all_fields(plate):
    found = find_fields(open_store(plate), CHOICE)
    assert found.inputs["A/2/0"]["Phase3D"].scale == pytest.approx(1, abs=0.1)
    assert found.outputs["Nuclei"].center == pytest.approx(103, abs=0.1)
    assert found.outputs["Nuclei"].scale == pytest.approx(np.sqrt(1 + 2), abs=0.1)


def test_the_statistics_of_the_store_are_taken_as_predictions_take_them(tmp_path):
    block = {"normalization": {"Phase3D": {"fov_statistics": {"mean": 3.0, "std": 2.0, "median": 5.0, "iqr": 4.0}}}}
    path = write_image(tmp_path / "m.zarr", movie(frames=10), channels=CHANNELS, attributes=block)
    for method, centre in (("mean_std", 3.0), ("median_iqr", 5.0)):
        choice = Choice(**vars(CHOICE) | {"normalization": method})
        assert find_fields(open_store(path), choice).inputs["fov"]["Phase3D"].center == centre


def test_the_store_is_not_written_to(plate, tmp_path):
    before = summed(plate)
    find_fields(open_store(plate), CHOICE).write_statistics(tmp_path / "statistics.json")
    assert summed(plate) == before
    written = json.loads((tmp_path / "statistics.json").read_text())
    assert written["outputs"]["Nuclei"]["center"] == pytest.approx(103, abs=0.1)
    assert len(written["held_out"]) == 2


def test_other_data_have_another_sum(tmp_path):
    sums = set()
    for number, seed in enumerate((0, 0, 1)):
        path = write_image(tmp_path / f"{number}.zarr", movie(frames=6, seed=seed), channels=CHANNELS)
        sums.add(find_fields(open_store(path), CHOICE).sha256)
    assert len(sums) == 2


def test_planes_are_fields_of_their_own(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=5, planes=3), channels=CHANNELS)
    found = find_fields(open_store(path), Choice(**vars(CHOICE) | {"z": "all"}))
    assert len(found.train) + len(found.held_out) == 15
    assert {window.frame for window in found.held_out} == {4}


def test_a_missing_channel_is_named_with_those_there_are(plate):
    with pytest.raises(UsageError, match=r"has no channel DAPI; it has Phase3D, Nuclei; choose with --source and"):
        find_fields(open_store(plate), Choice(("Phase3D",), ("DAPI",)))


def test_a_patch_larger_than_the_frames_is_refused(plate):
    with pytest.raises(UsageError, match=r"--patch 64: larger than the frames of .*, which are 32 x 48 pixels"):
        find_fields(open_store(plate), Choice(**vars(CHOICE) | {"patch": 64}))


def test_the_pixel_size_is_known_if_all_positions_agree(tmp_path):
    micrometres = {"x": "micrometer", "y": "micrometer"}
    options = {"channels": CHANNELS, "units": micrometres, "scale": (1, 1, 1, 0.25, 0.25)}
    path = write_image(tmp_path / "m.zarr", movie(frames=6), **options)
    assert find_fields(open_store(path), CHOICE).pixel_size == 0.25
