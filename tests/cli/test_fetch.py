import io
import logging
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import published
from support.loopback_server import LoopbackServer, corrupt, status

from image_translation import data
from image_translation.cli.commands import main
from image_translation.data import registry
from image_translation.data.file_list import read_file_list

CHECKPOINT = published.checkpoint(size=123_000)
MOVIE = published.directory()
STORE = published.archive(published.make_zip(published.in_directory("tiny.ome.zarr", published.store_files())))
ITEMS = [CHECKPOINT, MOVIE, STORE]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    with LoopbackServer({path: content for item in ITEMS for path, content in item.served.items()}) as running:
        own = published.write_registry(tmp_path / "own.toml", running.url, ITEMS)
        monkeypatch.setenv(registry.REGISTRY_VARIABLE, str(own))
        monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "cache"))
        monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
        yield running


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_paths_are_printed_a_line_each(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["fetch", "tiny_movie", "tiny_ckpt", "tiny_movie"]) == 0
    assert f"fetching tiny_ckpt from {server.url.removeprefix('http://')} into " in caplog.text
    assert "licence: CC0; please cite: nobody" in caplog.text
    paths = [tmp_path / "cache" / item.name / item.final for item in (MOVIE, CHECKPOINT)]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
    published.check_cache(tmp_path / "cache", ITEMS)
    server.reset()
    assert main(["fetch", "tiny_movie"]) == 0
    assert server.requests == []


def test_the_list_shows_cached_entries_and_sizes(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {key: entry for key, entry in registry.load_registry().items() if key.startswith("tiny")}
    monkeypatch.setattr(registry, "BUILT_IN", tmp_path / "empty.toml")  # their servers are not to be asked
    (tmp_path / "empty.toml").touch()
    assert set(registry.load_registry()) == set(own)

    def listed() -> dict[str, list[str]]:
        assert main(["fetch", "--list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["NAME", "SIZE", "HERE", "LICENCE", "WHAT"]
        assert max(map(len, lines[: lines.index("")])) <= 120
        assert any(str(tmp_path / "cache") in line and data.CACHE_VARIABLE in line for line in lines)
        return {line.split()[0]: line.split()[1:4] for line in lines if line.startswith(("tiny", "demo"))}

    first = listed()
    assert list(first) == [*registry.EMBEDDED, *own]
    assert first["demo_ckpt"] == ["-", "yes", "BSD-3-Clause"]
    assert first["tiny_ckpt"] == ["123kB", "no", "CC0"]
    assert first["tiny_movie"] == ["?", "no", "CC0"]  # its files would have to be asked for one by one
    assert [request.method for request in server.requests] == ["HEAD", "HEAD"]
    assert main(["fetch", "tiny_movie"]) == 0
    server.script(next(iter(MOVIE.served)), *[status(404)])
    server.close()
    capsys.readouterr()
    second = listed()
    size = sum(map(len, published.store_files(37).values()))
    assert second["tiny_movie"] == [f"{size / 1000:.2f}kB", "yes", "CC0"]
    assert second["tiny_ckpt"] == ["?", "no", "CC0"]
    (tmp_path / "cache" / "tiny_movie" / MOVIE.final / ".zattrs").unlink()
    assert listed()["tiny_movie"][1] == "partly"


def test_wrong_usage_fetches_nothing(server: LoopbackServer, caplog: pytest.LogCaptureFixture) -> None:
    for arguments, message in (
        ([], "give names, or --all, or --list"),
        (["tiny_ckpt", "--all"], "give names, or --all, or --list"),
        (["--list", "tiny_ckpt"], "--list: shows every name, and goes with no other argument"),
        (["--list", "--sha256", "0" * 64], "--list: shows every name, and goes with no other argument"),
        (["tiny_ckpt", "tiny_zip", "--sha256", "0" * 64], "--sha256: is the checksum of one file; give one name"),
        (["tiny_ckpt", "--sha256", "0" * 63], "--sha256 '0*': must be a SHA-256 checksum, 64 hexadecimal digits"),
        (["tiny_ckpt", "--sha256", "0" * 64], "--sha256 0*: is not the checksum of tiny_ckpt in the registry, "),
        (["tiny_movie", "--sha256", "0" * 64], "--sha256: tiny_movie is not a single file that is downloaded"),
        (["tiny_ckpt", "no_such"], "no_such: unknown name; known are demo_ckpt, "),
        (["tiny_movie/0"], "tiny_movie/0: unknown name; known are demo_ckpt, "),
    ):
        caplog.clear()
        assert main(["fetch", *arguments]) == 2
        assert re.match(f"error: {message}", errors(caplog)[0])
    assert server.requests == []


def test_a_checkpoint_of_unknown_checksum(
    server: LoopbackServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", tmp_path / "empty.toml")  # their servers are not to be asked
    (tmp_path / "empty.toml").touch()
    saved, other = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": {"weight": torch.arange(3.0)}}, saved)
    torch.save({"state_dict": {"weight": "no tensor"}}, other)
    item = published.checkpoint("net", saved.getvalue(), file="net.ckpt")
    item = item.with_entry(checksum_unknown=True)
    checksum = item.entry.pop("sha256")
    server.files |= item.served
    published.write_registry(tmp_path / "own.toml", server.url, [item])

    def listed() -> str:
        capsys.readouterr()
        assert main(["fetch", "--list"]) == 0
        out = capsys.readouterr().out
        assert "Where the checksum is unknown, the file is verified by its size and by loading it" in out
        assert "fetch NAME --sha256 CHECKSUM" in out
        return " ".join(next(line for line in out.splitlines() if line.startswith("net")).split())

    assert listed().endswith("no CC0 a tiny checkpoint (checksum unknown)")
    server.files["/net.ckpt"] = other.getvalue()
    assert main(["fetch", "net"]) == 1
    assert "net.ckpt: the download was discarded: " in errors(caplog)[0]
    assert "contains no state_dict of weights" in errors(caplog)[0]
    server.files |= item.served
    assert main(["fetch", "net"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cache' / 'net' / 'net.ckpt'}\n"
    assert checksum in caplog.text
    assert listed().endswith("yes CC0 a tiny checkpoint (checksum not confirmed)")
    caplog.clear()
    assert main(["fetch", "net", "--sha256", checksum]) == 0
    assert f"net.ckpt: has the checksum {checksum}" in caplog.text
    assert listed().endswith("yes CC0 a tiny checkpoint (checksum given by you)")


def test_one_that_fails_does_not_stop_the_others(
    server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script("/tiny.ckpt", *[status(404)] * 9)
    server.script("/tiny.ome.zarr.zip", *[corrupt()] * 9)
    assert main(["fetch", "tiny_ckpt", "tiny_zip", "tiny_movie"]) == 1
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "cache" / "tiny_movie" / MOVIE.final)]
    first, second, last = errors(caplog)
    assert first.startswith(f"error: tiny_ckpt cannot be fetched: {server.url}/tiny.ckpt: the server answers 404")
    assert "by hand" in first
    assert str(STORE.entry["sha256"]) in second
    assert last == "error: 2 of 3 could not be fetched: tiny_ckpt, tiny_zip"


def test_verify_finds_damage_of_unchanged_size_and_time(server: LoopbackServer, tmp_path: Path) -> None:
    assert main(["fetch", "tiny_movie"]) == 0
    chunk = tmp_path / "cache" / "tiny_movie" / MOVIE.final / "0/3/0/0/0/0"
    times = (chunk.stat().st_atime_ns, chunk.stat().st_mtime_ns)
    chunk.write_bytes(bytes(chunk.stat().st_size))
    os.utime(chunk, ns=times)
    server.reset()
    assert main(["fetch", "tiny_movie"]) == 0
    assert server.requests == []
    assert main(["fetch", "tiny_movie", "--verify"]) == 0
    assert [request.path for request in server.requests] == ["/tiny.ome.zarr/0/3/0/0/0/0"]
    published.check_cache(tmp_path / "cache", ITEMS)


def test_what_was_published_with_the_command_can_be_fetched(
    server: LoopbackServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = published.store_files() | {"0/a name": b"x"}
    store = tmp_path / "my movie.ome.zarr"
    for name, content in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(content)
    assert main(["registry", str(store)]) == 0
    entry = capsys.readouterr().out
    written = tmp_path / "registry_my movie.txt"
    assert f"wrote {written}" in caplog.text
    assert set(read_file_list(written)) == set(files)

    server.files = {f"/m/{name}": content for name, content in files.items()}
    text = entry.replace('"https://..."', f'"{server.url}/m"')
    assert tomllib.loads(text)["my_movie"]["size"] == sum(map(len, files.values()))
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, str(tmp_path / "mine.toml"))
    fetched = data.fetch("my_movie")
    assert published.files_below(fetched) == files


def test_a_list_is_not_written_into_its_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "m.ome.zarr"
    (store / "0").mkdir(parents=True)
    (store / "0" / "x").touch()

    def refused(*arguments: str) -> str:
        caplog.clear()
        assert main(["registry", *arguments]) == 2
        assert capsys.readouterr().out == ""
        return errors(caplog)[0]

    assert "m.ome.zarr: is not an OME-Zarr store: it has none of .zgroup, .zattrs, zarr.json" in refused(str(store))
    (store / ".zgroup").touch()
    assert "lies inside" in refused(str(store), "-o", str(store / "list.txt"))
    assert "absent: no such directory" in refused(str(tmp_path / "absent"))
    (tmp_path / "registry_m.txt").write_text("precious")
    assert "registry_m.txt exists; choose another -o, or replace it with --overwrite" in refused(str(store))
    assert (tmp_path / "registry_m.txt").read_text() == "precious"
    assert main(["registry", str(store), "--overwrite"]) == 0
    assert set(read_file_list(tmp_path / "registry_m.txt")) == {".zgroup", "0/x"}


def test_a_dry_run_fetches_nothing(server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smooth", "-c", "tiny_ckpt", "-m", "tiny_zip", "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"would fetch    tiny_ckpt: {server.url}/tiny.ckpt" in out
    assert "image-translation fetch tiny_ckpt tiny_zip" in out
    assert out.splitlines()[-1] == str(tmp_path / "out")
    assert server.requests == []
    assert not (tmp_path / "out").exists()


def test_every_command_accepts_names(server: LoopbackServer, tmp_path: Path, tiny_checkpoint: Path) -> None:
    from support.stores import phase, write_image

    store = write_image(tmp_path / "m.ome.zarr", phase(5, (48, 48)))
    files = {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    items = [
        published.checkpoint("net", tiny_checkpoint.read_bytes(), file="net.ckpt"),
        published.directory("cells", files, store="cells.ome.zarr"),
    ]
    server.files = {path: content for item in items for path, content in item.served.items()}
    published.write_registry(tmp_path / "own.toml", server.url, items)
    out = tmp_path / "out"
    arguments = ["-c", "net", "-m", "cells", "-o", str(out), "--methods", "raw", "window", "--device", "cpu"]
    assert main(["smooth", *arguments]) == 0
    assert (out / "raw.ome.zarr").is_dir()
    assert main(["evaluate", str(out), "--phase", "cells"]) == 0
    shutil.rmtree(tmp_path / "cache" / "cells" / "cells.ome.zarr")
    assert main(["evaluate", str(out), "--phase", "cells"]) == 0
    assert (tmp_path / "cache" / "cells" / "cells.ome.zarr").is_dir()
