"""Output directory of a training: lock, resumption, and protection of earlier results."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from filelock import FileLock

from image_translation.errors import UsageError
from image_translation.training.output_directory import BEST, LAST, find_resumable, lock, prepare


@pytest.fixture
def fields():
    """Images of which only the checksum matters."""
    written = '{"sha256": "abc"}'
    return SimpleNamespace(sha256="abc", write_statistics=lambda path: path.write_text(written))


@pytest.fixture
def earlier(options, fields):
    """Output directory of a training with these options."""
    options.output.mkdir()
    prepare(options, fields)
    for name in (BEST, LAST, "history.csv"):
        (options.output / name).touch()
    return options.output


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_directory_is_locked(options):
    options.output.mkdir()
    with (
        FileLock(options.output / ".lock"),
        pytest.raises(UsageError, match="another training is writing to"),
        lock(options.output),
    ):
        pass
    with lock(options.output):
        pass


def test_request_and_statistics_are_written(options, fields):
    options.output.mkdir()
    assert find_resumable(options, fields) is None
    assert not names(options.output)
    assert prepare(options, fields) is None
    assert json.loads((options.output / "training.json").read_text()) == options.request()
    assert (options.output / "statistics.json").exists()


def test_training_with_equal_options_is_resumed(options, fields, earlier):
    before = names(earlier)
    assert find_resumable(options, fields) == prepare(options, fields) == earlier / LAST
    assert names(earlier) == before


def test_training_of_an_earlier_version_is_resumed(options, fields, tmp_path):
    """It stored paths, and no checksum of the network that it started from."""
    start = tmp_path / "start.ckpt"
    start.write_text("weights")
    options = replace(options, initial=str(start))
    options.output.mkdir()
    prepare(options, fields)
    (options.output / LAST).touch()
    request = options.request()
    assert (request["data"], request["initial"]) == ("p.zarr", "start.ckpt")
    del request["initial_sha256"]
    written = request | {"data": options.data, "initial": options.initial}
    (options.output / "training.json").write_text(json.dumps(written))
    assert find_resumable(options, fields) == options.output / LAST


def test_training_from_another_network_of_the_same_name_is_not_resumed(options, fields, tmp_path):
    start = tmp_path / "start.ckpt"
    start.write_text("weights")
    options = replace(options, initial=str(start))
    options.output.mkdir()
    prepare(options, fields)
    (options.output / BEST).touch()
    start.write_text("other weights")
    with pytest.raises(UsageError, match="initial_sha256 was"):
        find_resumable(options, fields)


def test_training_without_a_checkpoint_starts_again(options, fields, earlier):
    (earlier / LAST).unlink()
    assert find_resumable(options, fields) is None
    assert BEST in names(earlier)
    assert prepare(options, fields) is None
    assert names(earlier) == {"training.json", "statistics.json"}


def test_training_with_other_images_is_not_resumed(options, fields, earlier):
    fields.sha256 = "def"
    with pytest.raises(UsageError, match="its training started with other images"):
        find_resumable(options, fields)


def test_options_that_are_only_in_the_earlier_request_are_named(options, fields):
    options.output.mkdir()
    prepare(replace(options, stack=5), fields)
    (options.output / BEST).touch()
    with pytest.raises(UsageError, match=r"other options \(z was 'all', stack was 5\); choose"):
        find_resumable(options, fields)


def test_training_with_other_options_is_only_replaced_with_overwrite(options, fields, earlier):
    before = names(earlier)
    other = replace(options, rate=1e-4)
    for function in (find_resumable, prepare):
        with pytest.raises(UsageError, match=r"contains a training with other options \(rate was 0.003\); choose"):
            function(other, fields)
    stacks = replace(options, stack=5)
    with pytest.raises(UsageError, match=r"other options \(z was 'middle', stack was None\); choose"):
        find_resumable(stacks, fields)
    assert find_resumable(replace(other, overwrite=True), fields) is None
    assert names(earlier) == before
    assert prepare(replace(other, overwrite=True), fields) is None
    assert names(earlier) == {"training.json", "statistics.json"}
