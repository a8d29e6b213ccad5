"""Images for training and validation: selection, split, statistics, and invalid images that are left out."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from support.stores import write_image, write_plate

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.store import open_store
from image_translation.training.fields import FieldSelection, find_fields

CHANNELS = ("Phase3D", "Nuclei")
SELECTION = FieldSelection(("Phase3D",), ("Nuclei",), patch=16)


def movie(frames=2, size=(32, 48), seed=0, planes=1):
    """Random phase and nuclei, (T, C, Z, Y, X); the mean of the nuclei is 100 + seed."""
    data = np.random.default_rng(seed).normal(size=(frames, 2, planes, *size)).astype(np.float32)
    data[:, 1] += 100 + seed
    return data


@pytest.fixture
def plate(tmp_path):
    return write_plate(tmp_path / "p.zarr", {f"A/{n}/0": movie(seed=n) for n in range(1, 6)}, channels=CHANNELS)


def checksum(path):
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        digest.update(str(file).encode() + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest()


def positions(regions):
    return {region.position for region in regions}


def test_held_out_positions_depend_on_the_seed(plate):
    found = find_fields(open_store(plate), SELECTION)
    again = find_fields(open_store(plate), SELECTION)
    assert len(found.train) == 8
    assert len(found.held_out) == 2
    assert len(positions(found.held_out)) == 1
    assert not positions(found.train) & positions(found.held_out)
    assert found.held_out == again.held_out
    others = {
        *(find_fields(open_store(plate), FieldSelection(**vars(SELECTION) | {"seed": n})).held_out for n in range(8))
    }
    assert len(others) > 1


def test_positions_are_selected_by_name_and_pattern(plate):
    selection = FieldSelection(**vars(SELECTION) | {"positions": ("A/[123]/0",), "validation": ("A/3/0", "A/5/0")})
    found = find_fields(open_store(plate), selection)
    assert positions(found.train) == {"A/1/0", "A/2/0"}
    assert positions(found.held_out) == {"A/3/0", "A/5/0"}


def test_holding_out_all_positions_is_refused(plate):
    with pytest.raises(UsageError, match="--validation: no image is left to train on"):
        find_fields(open_store(plate), FieldSelection(**vars(SELECTION) | {"validation": ("A/*/0",)}))


def test_the_last_frames_of_a_movie_are_held_out(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=10), channels=CHANNELS)
    found = find_fields(open_store(path), SELECTION)
    assert [region.frame for region in found.train] == list(range(8))
    assert [region.frame for region in found.held_out] == [8, 9]


def test_the_right_part_of_a_single_image_is_held_out(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=1), channels=CHANNELS)
    found = find_fields(open_store(path), SELECTION)
    assert [region.columns for region in found.train] == [(0, 32)]
    assert [region.columns for region in found.held_out] == [(32, 48)]
    assert found.read(found.held_out[0]).shape == (2, 1, 32, 16)
    np.testing.assert_array_equal(found.read(found.train[0]), movie(frames=1)[0, :, :, :, :32])


def test_single_image_that_is_too_narrow_is_refused(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=1, size=(40, 40)), channels=CHANNELS)
    with pytest.raises(UsageError, match=r"single image of 40 columns.* patches of at most 20"):
        find_fields(open_store(path), FieldSelection(**vars(SELECTION) | {"patch": 32}))


@pytest.mark.parametrize(("channel", "value"), [(0, 0.0), (1, 0.0), (1, 7.0), (0, np.nan)])
def test_dropped_images_are_left_out_of_training_and_statistics(tmp_path, caplog, channel, value):
    data = movie(frames=10)
    without = find_fields(open_store(write_image(tmp_path / "a.zarr", data[:9], channels=CHANNELS)), SELECTION)
    data[9, channel] = value
    found = find_fields(open_store(write_image(tmp_path / "b.zarr", data, channels=CHANNELS)), SELECTION)
    assert 9 not in {region.frame for region in (*found.train, *found.held_out)}
    assert "1 of 10 images are left out" in caplog.text
    assert found.target_statistics == without.target_statistics
    if channel == 0:
        assert found.source_statistics["fov"]["Phase3D"].center == pytest.approx(
            without.source_statistics["fov"]["Phase3D"].center, abs=1e-6
        )


def test_unreadable_image_is_left_out(tmp_path, caplog):
    path = write_image(tmp_path / "m.zarr", movie(frames=10), channels=CHANNELS)
    chunk = path / "0" / "4" / "1" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    found = find_fields(open_store(path), SELECTION)
    assert 4 not in {region.frame for region in (*found.train, *found.held_out)}
    assert "1 of 10 images are left out; the first: cannot read frame 4" in caplog.text


def test_store_without_valid_images_is_refused(tmp_path):
    path = write_image(tmp_path / "m.zarr", np.zeros((6, 2, 1, 32, 48), np.float32), channels=CHANNELS)
    with pytest.raises(DataError, match="every image is empty, constant or unreadable in one of Phase3D, Nuclei"):
        find_fields(open_store(path), SELECTION)


def test_statistics_of_sources_are_by_field_and_of_targets_over_all_fields(plate):
    found = find_fields(open_store(plate), SELECTION)
    assert found.source_statistics["A/2/0"]["Phase3D"].scale == pytest.approx(1, abs=0.1)
    assert found.target_statistics["Nuclei"].center == pytest.approx(103, abs=0.1)
    assert found.target_statistics["Nuclei"].scale == pytest.approx(np.sqrt(1 + 2), abs=0.1)


def test_statistics_in_the_metadata_of_the_store_are_used(tmp_path):
    data = movie(frames=10)
    own = data[:, CHANNELS.index("Phase3D")]
    lower, median, upper = (float(value) for value in np.percentile(own, (25, 50, 75)))
    stored = {"mean": float(own.mean()) + 0.01, "std": float(own.std()), "median": median - 0.01, "iqr": upper - lower}
    block = {"normalization": {"Phase3D": {"fov_statistics": stored}}}
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS, attributes=block)
    for method, centre in (("mean_std", stored["mean"]), ("median_iqr", stored["median"])):
        selection = FieldSelection(**vars(SELECTION) | {"normalization": method})
        assert find_fields(open_store(path), selection).source_statistics["fov"]["Phase3D"].center == centre


def test_store_is_not_modified(plate, tmp_path):
    before = checksum(plate)
    find_fields(open_store(plate), SELECTION).write_statistics(tmp_path / "statistics.json")
    assert checksum(plate) == before
    written = json.loads((tmp_path / "statistics.json").read_text())
    assert written["outputs"]["Nuclei"]["center"] == pytest.approx(103, abs=0.1)
    assert len(written["held_out"]) == 2


def test_checksum_changes_with_the_data(tmp_path):
    checksums = set()
    for number, seed in enumerate((0, 0, 1)):
        path = write_image(tmp_path / f"{number}.zarr", movie(frames=6, seed=seed), channels=CHANNELS)
        checksums.add(find_fields(open_store(path), SELECTION).sha256)
    assert len(checksums) == 2


def test_checksum_is_that_of_earlier_versions(tmp_path):
    data = np.arange(6 * 2 * 32 * 48, dtype=np.float32).reshape(6, 2, 1, 32, 48)
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS)
    expected = "41543aa57a52c59255d475a5e34dea8b1c2d0e08289377e314b7872007ccf09b"  # trainings are resumed by it
    assert find_fields(open_store(path), SELECTION).sha256 == expected


def test_each_plane_is_a_separate_image(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=5, planes=3), channels=CHANNELS)
    found = find_fields(open_store(path), FieldSelection(**vars(SELECTION) | {"z": "all"}))
    assert len(found.train) + len(found.held_out) == 15
    assert {region.frame for region in found.held_out} == {4}


def stacks(regions):
    return [(region.frame, region.plane, region.depth) for region in regions]


@pytest.mark.parametrize(
    ("z", "first_planes"), [("all", [0, 1, 2]), ("1:5", [1, 2]), ("middle", [1]), ("0", [0]), ("4", [2])]
)
def test_stacks_are_all_adjacent_planes_of_a_frame_or_those_around_one(tmp_path, z, first_planes):
    data = movie(frames=5, planes=5)
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS)
    found = find_fields(open_store(path), FieldSelection(**vars(SELECTION) | {"z": z, "depth": 3}))
    assert stacks(found.train) == [(frame, plane, 3) for frame in range(4) for plane in first_planes]
    assert stacks(found.held_out) == [(4, plane, 3) for plane in first_planes]
    last = found.train[-1]
    np.testing.assert_array_equal(found.read(last), data[3, :, last.plane : last.plane + 3])


def test_stacks_with_an_invalid_plane_are_left_out(tmp_path, caplog):
    data = movie(frames=6, planes=5)
    data[2, 1, 1] = 0.0
    data[4, 0, 2] = np.nan
    path = write_image(tmp_path / "m.zarr", data, channels=CHANNELS)
    selection = FieldSelection(**vars(SELECTION) | {"z": "all", "depth": 3})
    found = find_fields(open_store(path), selection)
    assert "2 of 30 images are left out" in caplog.text
    regions = stacks((*found.train, *found.held_out))
    assert [plane for frame, plane, _ in regions if frame == 2] == [2]
    assert not [plane for frame, plane, _ in regions if frame == 4]
    assert len(regions) == 4 * 3 + 1
    data[:, 0, 2] = np.nan
    path = write_image(tmp_path / "n.zarr", data, channels=CHANNELS)
    with pytest.raises(
        DataError, match=r"no 3 adjacent planes of a frame are valid in all of Phase3D, Nuclei; use a sm"
    ):
        find_fields(open_store(path), selection)


def test_statistics_of_stacks_count_each_plane_once(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=6, planes=5), channels=CHANNELS)
    planes = FieldSelection(**vars(SELECTION) | {"z": "all"})
    single, stack = (find_fields(open_store(path), replace(planes, depth=depth)) for depth in (1, 3))
    assert stack.target_statistics == single.target_statistics
    assert stack.source_statistics == single.source_statistics
    assert stack.sha256 != single.sha256


def test_columns_of_a_single_stack_are_held_out(tmp_path):
    path = write_image(tmp_path / "m.zarr", movie(frames=1, planes=4), channels=CHANNELS)
    found = find_fields(open_store(path), FieldSelection(**vars(SELECTION) | {"z": "all", "depth": 3}))
    assert {region.columns for region in found.train} == {(0, 32)}
    assert found.read(found.held_out[1]).shape == (2, 3, 32, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 6}, r"--stack 6: .* has only 5 planes; use a smaller stack, or train on single planes"),
        ({"depth": 3, "z": "1:3"}, "--z 1:3: 2 planes, fewer than in a stack of --stack 3"),
    ],
)
def test_too_few_planes_for_a_stack_are_refused(tmp_path, changes, message):
    path = write_image(tmp_path / "m.zarr", movie(frames=6, planes=5), channels=CHANNELS)
    with pytest.raises(UsageError, match=message):
        find_fields(open_store(path), FieldSelection(**vars(SELECTION) | {"z": "all"} | changes))


def test_unknown_channel_is_refused_with_a_list_of_the_channels(plate):
    with pytest.raises(UsageError, match=r"has no channel DAPI; it has Phase3D, Nuclei; choose with --source and"):
        find_fields(open_store(plate), FieldSelection(("Phase3D",), ("DAPI",)))


def test_patch_larger_than_the_frames_is_refused(plate):
    with pytest.raises(UsageError, match=r"--patch 64: larger than the frames of .*, which are 32 x 48 pixels"):
        find_fields(open_store(plate), FieldSelection(**vars(SELECTION) | {"patch": 64}))


def test_pixel_size_is_read_from_the_store(tmp_path):
    micrometres = {"x": "micrometer", "y": "micrometer"}
    options = {"channels": CHANNELS, "units": micrometres, "scale": (1, 1, 1, 0.25, 0.25)}
    path = write_image(tmp_path / "m.zarr", movie(frames=6), **options)
    assert find_fields(open_store(path), SELECTION).pixel_size == 0.25
    assert find_fields(open_store(path), SELECTION).plane_distance is None
