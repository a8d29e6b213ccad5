import json
from pathlib import Path

import pytest

from image_translation.data import registry
from image_translation.data.registry import Entry, load_registry
from image_translation.errors import UsageError
from image_translation.normalize import METHODS

CHECKSUM = "0" * 63 + "a"
ENTRY = {
    "kind": "checkpoint",
    "title": "a network",
    "address": "https://example.org/nets/net.ckpt",
    "sha256": CHECKSUM,
    "licence": "CC0",
    "citation": "nobody",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.toml"
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, str(path))
    return path


def write(path: Path, name: str = "mine", drop: tuple[str, ...] = (), **changes: object) -> None:
    keys = {key: value for key, value in (ENTRY | changes).items() if key not in drop}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    path.write_text(f"[{name}]\n{text}", encoding="utf-8")


def test_built_in_entries_are_valid() -> None:
    found = load_registry()
    assert list(found) == ["pretrained_ckpt", "train", "test", "movie", "training_logs"]
    assert [entry.is_archive for entry in found.values()] == [False, True, True, False, True]
    assert found["pretrained_ckpt"].final == "epoch=399-step=23200.ckpt"
    assert found["train"].final == "a549_hoechst_cellmask_train_val.ome.zarr"
    assert found["movie"].final == "a549_virtual_staining.ome.zarr"
    assert found["training_logs"].final == "output_training_logs"
    assert all(entry.address.startswith("https://") for entry in found.values())


def test_metadata_of_the_published_checkpoints() -> None:
    metadata = {name: entry.checkpoint_metadata for name, entry in load_registry().items()}
    assert metadata["movie"] is None
    vscyto2d, trained = metadata["pretrained_ckpt"], metadata["training_logs"]
    assert vscyto2d is not None
    assert (vscyto2d.normalization, vscyto2d.input_channels) == ("median_iqr", ("Phase3D",))
    assert vscyto2d.output_channels == ("Nuclei", "Membrane")
    assert trained is not None
    assert trained.normalization == "mean_std"


def test_normalizations_are_the_available_methods() -> None:
    assert registry.NORMALIZATIONS == METHODS


def test_entries_of_the_user_are_added(own: Path) -> None:
    write(own, input_channels=["Phase"], normalization="mean_std", sha256=CHECKSUM.upper())
    assert list(load_registry())[-1] == "mine"
    entry = load_registry()["mine"]
    assert entry == Entry(
        name="mine", **{**ENTRY, "file": "net.ckpt", "input_channels": ("Phase",), "normalization": "mean_std"}
    )


def test_a_local_list_is_relative_to_the_registry(own: Path, tmp_path: Path) -> None:
    write(own, kind="ome-zarr", drop=("sha256",), list="files.txt", address="https://example.org/m.ome.zarr/")
    entry = load_registry()["mine"]
    assert entry.list == str(tmp_path / "files.txt")
    assert entry.address == "https://example.org/m.ome.zarr"
    assert entry.is_directory
    assert not entry.is_archive


def test_file_names_are_taken_from_urls(own: Path) -> None:
    write(own, address="https://example.org/a%20net.ckpt?download=1")
    assert load_registry()["mine"].file == "a net.ckpt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "model"}, r"kind = 'model'; allowed are checkpoint, checkpoints, ome-zarr"),
        ({"drop": ("licence", "title")}, "lacks title, licence"),
        ({"licence": ""}, "lacks licence"),
        ({"colour": "red"}, "has the unknown key colour; allowed are kind, title"),
        ({"title": 3}, "title = 3; must be printable text"),
        ({"title": "a\x1b[31mb"}, "must be printable text"),
        ({"size": -1}, "size = -1; must be a number of bytes"),
        ({"input_channels": "Phase3D"}, "input_channels = 'Phase3D'; must be a list of names"),
        ({"address": "ftp://example.org/net.ckpt"}, "must be a URL that starts with https:// or http://"),
        ({"address": "file:///etc/passwd"}, "must be a URL that starts with https:// or http://"),
        ({"address": "net.ckpt"}, "must be a URL that starts with https:// or http://"),
        ({"address": "http://[::1/net.ckpt"}, "must be a URL that starts with https:// or http://"),
        ({"address": "http:///net.ckpt"}, "must be a URL that starts with https:// or http://"),
        ({"address": "https://example.org/a/%2e%2e"}, "file = '..'; must be a plain file name"),
        ({"address": "https://example.org/..%2Fevil"}, "file = '../evil'; must be a plain file name"),
        ({"normalization": "loud"}, "normalization = 'loud'; allowed are median_iqr, mean_std, none"),
        ({"kind": 7}, "kind = 7; must be printable text"),
        ({"list": ""}, "list = ''; give a URL or a path"),
        ({"sha256": CHECKSUM[1:]}, "sha256 = '0.*a'; must be a SHA-256 checksum"),
        ({"drop": ("sha256",)}, "sha256 = ''; must be a SHA-256 checksum"),
        ({"kind": "ome-zarr", "list": "https://example.org/l.txt", "sha256": ""}, "list_sha256 = ''; must be"),
        ({"list": "files.txt"}, "neither with sha256 nor with kind = 'checkpoint'"),
        ({"address": "https://example.org"}, "file = ''; must be a plain file name"),
        ({"file": "../net.ckpt"}, "file = '../net.ckpt'; must be a plain file name"),
        ({"file": "a/b"}, "file = 'a/b'; must be a plain file name"),
        ({"file": ".lock"}, "file = '.lock'; must be a plain file name"),
        ({"file": "verified.json"}, "file = 'verified.json'; must be a plain file name"),
        ({"file": "C:net"}, "file = 'C:net'; must be a plain file name"),
        ({"kind": "checkpoints"}, "needs the key holds"),
        ({"kind": "checkpoints", "list": "files.txt", "drop": ("sha256",)}, "needs the key holds"),
        ({"kind": "checkpoints", "holds": "/etc/*"}, "must be a glob pattern relative"),
        ({"kind": "checkpoints", "holds": "../*"}, "must be a glob pattern relative"),
    ],
)
def test_invalid_entries_are_refused(own: Path, changes: dict[str, object], message: str) -> None:
    write(own, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message) as caught:
        load_registry()
    assert str(caught.value).startswith(f"{own}: [mine] ")


@pytest.mark.parametrize("name", ["'a b'", "'../x'", "'-x'", "'.x'"])
def test_names_with_special_characters_are_refused(own: Path, name: str) -> None:
    write(own, name=name)
    with pytest.raises(UsageError, match="is not a valid name; use letters, digits"):
        load_registry()


def test_built_in_names_cannot_be_redefined(own: Path) -> None:
    for name in ("movie", "demo_ckpt"):
        write(own, name=name)
        with pytest.raises(UsageError, match=rf"\[{name}\] is the name of a built-in entry; choose another"):
            load_registry()


@pytest.mark.parametrize("text", ["[mine", "mine = 3", "\xff", "<!DOCTYPE html>", "a = " + "[" * 100_000])
def test_a_file_that_is_not_a_registry_is_named(own: Path, text: str) -> None:
    own.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_registry()
    assert str(own) in str(caught.value)


def test_a_missing_registry_is_named(own: Path) -> None:
    with pytest.raises(UsageError, match=r"own.toml: cannot be read .*IMAGE_TRANSLATION_REGISTRY.*No such file"):
        load_registry()
