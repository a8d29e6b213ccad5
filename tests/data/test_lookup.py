import hashlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import published
from support.loopback_server import LoopbackServer

from image_translation import data
from image_translation.data import registry
from image_translation.errors import DataError, UsageError

CHECKPOINT = published.checkpoint().with_entry(normalization="mean_std", output_channels=["Nucl", "Mem"])
STORE = published.archive(published.make_zip(published.in_directory("tiny.ome.zarr", published.store_files())))
OTHER = published.noise(77)
TRAINED = {f"phase2fluor/version_{n}/checkpoints/epoch={n}.ckpt": published.noise(50 + n) for n in (0, 1)}
LOGS = published.archive(
    published.make_tar(published.in_directory("data/logs", TRAINED | {"fluor2phase/other.ckpt": OTHER})),
    name="tiny_logs",
    file="logs.tar.gz",
    content=TRAINED | {"fluor2phase/other.ckpt": OTHER},
    kind="checkpoints",
    holds="phase2fluor/version_*/checkpoints/*.ckpt",
    normalization="none",
)
ITEMS = [CHECKPOINT, STORE, LOGS]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    with LoopbackServer({path: content for item in ITEMS for path, content in item.served.items()}) as running:
        own = published.write_registry(tmp_path / "own.toml", running.url, ITEMS)
        monkeypatch.setenv(registry.REGISTRY_VARIABLE, str(own))
        yield running


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert data.resolve(tmp_path) == tmp_path
    assert data.resolve(str(tmp_path)) == tmp_path
    assert data.locate(tmp_path) == tmp_path


def test_a_local_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo_ckpt", "movie"):
        Path(name).touch()
        assert data.resolve(name).absolute() == tmp_path / name
        assert list(data.missing(name)) == []


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    embedded = "demo_ckpt, demo_ckpt_fluor2phase, demo_movie, demo_plate"
    known = f"{embedded}, pretrained_ckpt, train, test, movie, training_logs"
    for unknown in (tmp_path / "absent.ckpt", "Movie"):
        for find in (data.resolve, data.locate):
            with pytest.raises(UsageError, match=known) as caught:
                find(unknown)
            assert str(caught.value).startswith(f"{unknown}: no such file or directory")
    with pytest.raises(UsageError, match=f"moive: no such name; there are {known}"):
        data.fetch("moive")


def test_the_place_of_a_name_is_known_before_it_is_there(cache: Path) -> None:
    assert data.locate("demo_movie") == cache / "demo_movie.ome.zarr"
    assert data.locate("movie") == cache / "movie" / "a549_virtual_staining.ome.zarr"
    assert data.locate("movie/A/1/1") == cache / "movie" / "a549_virtual_staining.ome.zarr" / "A" / "1" / "1"
    assert [entry.name for entry in data.missing("demo_movie", "demo_ckpt", "movie", "train/0/0/1")] == [
        "movie",
        "train",
    ]
    assert not cache.exists()


def test_a_name_must_be_of_the_kind_that_is_needed(server: LoopbackServer) -> None:
    for find in (data.locate, data.resolve):
        for name in ("tiny_zip", "movie", "demo_movie", "train/0"):
            with pytest.raises(UsageError, match="is an OME-Zarr store, and a checkpoint is needed"):
                find(name, kind="checkpoint")
        for name in ("tiny_ckpt", "tiny_logs", "pretrained_ckpt", "demo_ckpt"):
            with pytest.raises(UsageError, match="is a checkpoint, and a movie is needed"):
                find(name, kind="movie")
    with pytest.raises(UsageError, match="a checkpoint is needed"):
        data.resolve_checkpoint("movie")
    assert server.requests == []


def test_the_home_of_somebody_unknown_is_no_path() -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        data.locate("~nobody-of-that-name/x")


def test_a_list_that_is_lost_harms_no_other_name(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = published.directory("listed").with_entry(list="gone.txt")
    published.write_registry(tmp_path / "own.toml", server.url, [entry, CHECKPOINT])
    data.fetch("tiny_ckpt")
    assert data.cached_entry("tiny_ckpt").is_ready()
    assert not data.cached_entry("listed").is_ready()
    with pytest.raises(DataError, match=r"listed: its list of files .*gone\.txt cannot be read"):
        data.fetch("listed")


def test_the_default_cache_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.CACHE_VARIABLE, raising=False)
    assert data.cache_directory().name == "image_translation"
    assert data.cache_directory().is_absolute()


def test_a_bundled_checkpoint_is_a_file_of_the_package_or_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(data.__file__).parents[1]
    for name, file in data.EMBEDDED_CHECKPOINTS.items():
        assert data.resolve(name) == data.fetch(name) == package / "checkpoints" / file
    monkeypatch.setitem(data.EMBEDDED_CHECKPOINTS, "demo_ckpt", "lost.ckpt")
    with pytest.raises(DataError, match="demo_ckpt is missing"):
        data.resolve("demo_ckpt")


def test_a_name_brings_a_file_or_a_store(server: LoopbackServer, cache: Path) -> None:
    assert data.resolve("tiny_ckpt") == cache / "tiny_ckpt" / "tiny.ckpt"
    assert data.resolve("tiny_zip").is_dir()
    assert data.resolve("tiny_zip/0/.zarray").is_file()
    assert list(data.missing("tiny_ckpt", "tiny_zip", "tiny_logs")) == [registry.load_registry()["tiny_logs"]]
    published.check_cache(cache, ITEMS)
    with pytest.raises(UsageError, match=r"tiny_zip/9: tiny_zip holds no 9; it lies in .*tiny\.ome\.zarr"):
        data.resolve("tiny_zip/9")
    with pytest.raises(UsageError, match=r"tiny_zip/\.\./x: must not lead out of tiny_zip"):
        data.resolve("tiny_zip/../x")


def test_one_checkpoint_of_a_folder_has_to_be_chosen(server: LoopbackServer, tmp_path: Path) -> None:
    first = "tiny_logs/phase2fluor/version_0/checkpoints/epoch=0.ckpt"
    with pytest.raises(UsageError, match=r"tiny_logs: is a folder, not a checkpoint; choose one of ") as caught:
        data.resolve_checkpoint("tiny_logs")
    assert first in str(caught.value)
    assert data.resolve_checkpoint(first).read_bytes() == published.noise(50)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: is a folder, not a checkpoint; it holds none"):
        data.resolve_checkpoint(tmp_path / "empty")


def test_facts_are_found_by_the_sum_of_a_checkpoint(server: LoopbackServer) -> None:
    facts = data.checkpoint_facts(hashlib.sha256(CHECKPOINT.content["tiny.ckpt"]).hexdigest())
    assert facts is not None
    assert (facts.normalization, facts.output_channels) == ("mean_std", ("Nucl", "Mem"))
    assert data.checkpoint_facts(hashlib.sha256(b"another").hexdigest()) is None
    published_sum = "1abdbc1c727aba33dad0d174dba57d128a12019b712db946ce06012ecd64c1fe"
    vscyto2d = data.checkpoint_facts(published_sum)
    assert vscyto2d is not None
    assert vscyto2d.normalization == "median_iqr"


def test_checkpoints_of_a_folder_are_known_when_it_has_been_fetched(server: LoopbackServer) -> None:
    digest = hashlib.sha256(published.noise(51)).hexdigest()
    assert data.checkpoint_facts(digest) is None
    data.fetch("tiny_logs")
    facts = data.checkpoint_facts(digest)
    assert facts is not None
    assert facts.normalization == "none"
    assert data.checkpoint_facts(hashlib.sha256(OTHER).hexdigest()) is None


def test_without_network_the_error_says_what_can_be_done(
    server: LoopbackServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    data.fetch("tiny_ckpt")
    server.close()
    with pytest.raises(DataError) as caught:
        data.fetch("tiny_zip")
    first, *others = str(caught.value).splitlines()
    assert first == f"tiny_zip cannot be fetched: {server.url}/tiny.ome.zarr.zip: Connection refused"
    text = "\n".join(others)
    assert "without network: demo_ckpt, demo_ckpt_fluor2phase, demo_movie, demo_plate, tiny_ckpt." in text
    assert f"{cache}; to use another, set IMAGE_TRANSLATION_DATA_DIR" in text
    assert f"copy the folder tiny_zip of the cache there to {cache / 'tiny_zip'}." in text
    assert f"save {server.url}/tiny.ome.zarr.zip\n  as {cache / 'tiny_zip' / 'tiny.ome.zarr.zip'}" in text


def test_what_the_error_tells_to_do_works(server: LoopbackServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.close()
    for item in (CHECKPOINT, STORE):
        (cache / item.name).mkdir(parents=True)
        (cache / item.name / item.source.strip("/")).write_bytes(item.served[item.source])
        data.fetch(item.name)
    assert zipfile.is_zipfile(cache / "tiny_zip" / "tiny.ome.zarr.zip")
    published.check_cache(cache, ITEMS, added=["tiny.ome.zarr.zip"])


def test_another_content_in_the_registry_is_fetched(
    server: LoopbackServer, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data.fetch("tiny_ckpt")
    newer = published.checkpoint(content=b"newer")
    server.files |= newer.served
    published.write_registry(tmp_path / "own.toml", server.url, [newer])
    with caplog.at_level(logging.WARNING):
        assert data.fetch("tiny_ckpt").read_bytes() == b"newer"
    assert "the registry has another content by now; fetching it" in caplog.text
    published.check_cache(cache, [newer])


def test_a_name_leads_into_a_dataset(site: Site) -> None:
    item = archive(make_zip(in_directory("tiny.ome.zarr", store_files())))
    site.publish(item)
    assert data.resolve("tiny_zip/0/.zarray") == site.cache / "tiny_zip" / "tiny.ome.zarr" / "0" / ".zarray"
    with pytest.raises(UsageError, match="absent"):
        data.resolve("tiny_zip/absent")
    with pytest.raises(UsageError):
        data.resolve("tiny_zip/../../registry.toml")


def test_the_error_without_network_lists_available_names_and_paths(site: Site) -> None:
    item, cached, movie = (
        checkpoint("far_ckpt", file="far.ckpt"),
        checkpoint("near_ckpt", file="near.ckpt"),
        directory(),
    )
    site.publish(item, cached, movie)
    site.fetch(cached)
    site.server.close()
    for absent in (item, movie):
        message = site.fetch_fails(
            absent,
            f"{site.server.url}{absent.source}",
            "near_ckpt",
            "demo_ckpt",
            str(site.cache),
            "IMAGE_TRANSLATION_DATA_DIR",
            str(site.cache / absent.name),
            "by hand",
        )
        assert "Connection refused" in message
    site.fetch(cached)
