import hashlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import published
from support.fetch_site import Site
from support.loopback_server import LoopbackServer

from image_translation import data
from image_translation.data import registry
from image_translation.data.lookup import EMBEDDED_CHECKPOINTS
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


def test_an_existing_path_is_returned(tmp_path: Path) -> None:
    assert data.resolve(tmp_path) == tmp_path
    assert data.resolve(str(tmp_path)) == tmp_path
    assert data.locate(tmp_path) == tmp_path


def test_an_existing_path_takes_precedence_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo_ckpt", "movie"):
        Path(name).touch()
        assert data.resolve(name).absolute() == tmp_path / name
        assert list(data.missing(name)) == []


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    embedded = "demo_ckpt, demo_ckpt_fluor2phase, demo_movie, demo_plate"
    published = "pretrained_ckpt, vscyto3d, vscyto3d_unext2, vsneuromast, fluor2phase"
    known = f"{embedded}, {published}, train, test, movie, training_logs"
    for unknown in (tmp_path / "absent.ckpt", "Movie"):
        for find in (data.resolve, data.locate):
            with pytest.raises(UsageError, match=known) as caught:
                find(unknown)
            assert str(caught.value).startswith(f"{unknown}: no such file or directory")
    with pytest.raises(UsageError, match=f"moive: unknown name; known are {known}"):
        data.fetch("moive")


def test_the_path_of_a_name_is_known_before_it_is_fetched(cache: Path) -> None:
    assert data.locate("demo_movie") == cache / "demo_movie.ome.zarr"
    assert data.locate("movie") == cache / "movie" / "a549_virtual_staining.ome.zarr"
    assert data.locate("movie/A/1/1") == cache / "movie" / "a549_virtual_staining.ome.zarr" / "A" / "1" / "1"
    assert [entry.name for entry in data.missing("demo_movie", "demo_ckpt", "movie", "train/0/0/1")] == [
        "movie",
        "train",
    ]
    assert not cache.exists()


def test_a_name_of_the_wrong_kind_is_refused(server: LoopbackServer) -> None:
    for find in (data.locate, data.resolve):
        for name in ("tiny_zip", "movie", "demo_movie", "train/0"):
            with pytest.raises(UsageError, match="is an OME-Zarr store, but a checkpoint is needed"):
                find(name, kind="checkpoint")
        for name in ("tiny_ckpt", "tiny_logs", "pretrained_ckpt", "demo_ckpt"):
            with pytest.raises(UsageError, match="is a checkpoint, but a movie is needed"):
                find(name, kind="movie")
    with pytest.raises(UsageError, match="a checkpoint is needed"):
        data.resolve_checkpoint("movie")
    assert server.requests == []


def test_an_unknown_name_lists_those_of_its_kind() -> None:
    with pytest.raises(UsageError, match=r"one of the names demo_ckpt, demo_ckpt_fluor2phase, .*") as caught:
        data.resolve_checkpoint("demo_ckp")
    assert "movie" not in str(caught.value)
    with pytest.raises(UsageError, match="one of the names demo_movie, demo_plate, train, test, movie") as caught:
        data.resolve("demo_movi", kind="movie")
    assert "ckpt" not in str(caught.value)


def test_the_home_directory_of_an_unknown_user_is_not_a_path() -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        data.locate("~nobody-of-that-name/x")


def test_a_missing_list_does_not_affect_other_names(
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


def test_bundled_checkpoints_are_files_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Path(data.__file__).with_name("checkpoints")
    for name, file in EMBEDDED_CHECKPOINTS.items():
        assert data.resolve(name) == data.fetch(name) == directory / file
    monkeypatch.setitem(EMBEDDED_CHECKPOINTS, "demo_ckpt", "lost.ckpt")
    with pytest.raises(DataError, match="demo_ckpt is missing"):
        data.resolve("demo_ckpt")


def test_names_are_resolved_to_files_and_stores(server: LoopbackServer, cache: Path) -> None:
    assert data.resolve("tiny_ckpt") == cache / "tiny_ckpt" / "tiny.ckpt"
    assert data.resolve("tiny_zip").is_dir()
    assert data.resolve("tiny_zip/0/.zarray").is_file()
    assert list(data.missing("tiny_ckpt", "tiny_zip", "tiny_logs")) == [registry.load_registry()["tiny_logs"]]
    published.check_cache(cache, ITEMS)
    with pytest.raises(UsageError, match=r"tiny_zip/9: tiny_zip contains no 9; its path is .*tiny\.ome\.zarr"):
        data.resolve("tiny_zip/9")
    with pytest.raises(UsageError, match=r"tiny_zip/\.\./x: must not lead outside tiny_zip"):
        data.resolve("tiny_zip/../x")


def test_a_directory_of_checkpoints_lists_its_checkpoints(server: LoopbackServer, tmp_path: Path) -> None:
    first = "tiny_logs/phase2fluor/version_0/checkpoints/epoch=0.ckpt"
    with pytest.raises(UsageError, match=r"tiny_logs: is a directory, not a checkpoint; choose one of ") as caught:
        data.resolve_checkpoint("tiny_logs")
    assert first in str(caught.value)
    assert data.resolve_checkpoint(first).read_bytes() == published.noise(50)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: is a directory, not a checkpoint; it contains none"):
        data.resolve_checkpoint(tmp_path / "empty")


def test_metadata_are_found_by_the_checksum_of_a_checkpoint(server: LoopbackServer) -> None:
    metadata = data.checkpoint_facts(hashlib.sha256(CHECKPOINT.content["tiny.ckpt"]).hexdigest())
    assert metadata is not None
    assert (metadata.normalization, metadata.output_channels) == ("mean_std", ("Nucl", "Mem"))
    assert data.checkpoint_facts(hashlib.sha256(b"another").hexdigest()) is None
    checksum = "1abdbc1c727aba33dad0d174dba57d128a12019b712db946ce06012ecd64c1fe"
    vscyto2d = data.checkpoint_facts(checksum)
    assert vscyto2d is not None
    assert vscyto2d.normalization == "median_iqr"


def test_checkpoints_in_a_directory_are_known_after_it_is_fetched(server: LoopbackServer) -> None:
    checksum = hashlib.sha256(published.noise(51)).hexdigest()
    assert data.checkpoint_facts(checksum) is None
    data.fetch("tiny_logs")
    metadata = data.checkpoint_facts(checksum)
    assert metadata is not None
    assert metadata.normalization == "none"
    assert data.checkpoint_facts(hashlib.sha256(OTHER).hexdigest()) is None


def test_the_error_without_network_gives_instructions(
    server: LoopbackServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    monkeypatch.setattr("pooch.core.time.sleep", delays.append)
    data.fetch("tiny_ckpt")
    server.close()
    with pytest.raises(DataError) as caught:
        data.fetch("tiny_zip")
    assert len(delays) <= 1  # nobody answers: it is not tried for long
    first, *others = str(caught.value).splitlines()
    assert first == f"tiny_zip cannot be fetched: {server.url}/tiny.ome.zarr.zip: Connection refused"
    text = "\n".join(others)
    assert "Available without network: demo_ckpt, demo_ckpt_fluor2phase, demo_movie, demo_plate, tiny_ckpt." in text
    assert f"{cache}; to use another, set IMAGE_TRANSLATION_DATA_DIR" in text
    assert f"copy the directory tiny_zip of its cache to {cache / 'tiny_zip'}." in text
    assert f"save {server.url}/tiny.ome.zarr.zip\n  as {cache / 'tiny_zip' / 'tiny.ome.zarr.zip'}" in text


def test_the_instructions_for_use_without_network_work(
    server: LoopbackServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.close()
    for item in (CHECKPOINT, STORE):
        (cache / item.name).mkdir(parents=True)
        (cache / item.name / item.source.strip("/")).write_bytes(item.served[item.source])
        data.fetch(item.name)
    assert zipfile.is_zipfile(cache / "tiny_zip" / "tiny.ome.zarr.zip")
    published.check_cache(cache, ITEMS, added=["tiny.ome.zarr.zip"])


def test_a_new_version_in_the_registry_is_fetched(
    server: LoopbackServer, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data.fetch("tiny_ckpt")
    newer = published.checkpoint(content=b"newer")
    server.files |= newer.served
    published.write_registry(tmp_path / "own.toml", server.url, [newer])
    with caplog.at_level(logging.WARNING):
        assert data.fetch("tiny_ckpt").read_bytes() == b"newer"
    assert "the registry now lists another version; fetching it" in caplog.text
    published.check_cache(cache, [newer])


def test_a_path_inside_a_dataset_is_resolved(site: Site) -> None:
    item = STORE
    site.publish(item)
    assert data.resolve("tiny_zip/0/.zarray") == site.cache / "tiny_zip" / "tiny.ome.zarr" / "0" / ".zarray"
    with pytest.raises(UsageError, match="absent"):
        data.resolve("tiny_zip/absent")
    with pytest.raises(UsageError):
        data.resolve("tiny_zip/../../registry.toml")


def test_the_error_without_network_lists_available_names_and_paths(site: Site) -> None:
    item, cached, movie = (
        published.checkpoint("far_ckpt", file="far.ckpt"),
        published.checkpoint("near_ckpt", file="near.ckpt"),
        published.directory(),
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
