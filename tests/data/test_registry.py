import json
from pathlib import Path

import pytest

from image_translation.data import registry
from image_translation.data.registry import Entry, load_registry
from image_translation.errors import UsageError
from image_translation.normalize import METHODS

CHECKSUM = "0" * 63 + "a"
UNKNOWN_CHECKSUM = ["vscyto3d", "vscyto3d_unext2", "vsneuromast", "fluor2phase"]
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
    assert list(found) == ["pretrained_ckpt", *UNKNOWN_CHECKSUM, "train", "test", "movie", "training_logs"]
    assert [name for name, entry in found.items() if entry.is_archive] == ["train", "test", "training_logs"]
    assert [name for name, entry in found.items() if entry.checksum_unknown] == UNKNOWN_CHECKSUM
    assert all(found[name].kind == "checkpoint" and not found[name].sha256 for name in UNKNOWN_CHECKSUM)
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
    assert (vscyto2d.head_pool, vscyto2d.pixel_size) == (None, None)
    for name, head_pool, pixel_size in (
        ("vscyto3d", None, (0.2, 0.1, 0.1)),
        ("vscyto3d_unext2", True, None),
        ("vsneuromast", False, (0.25, 0.108, 0.108)),
    ):
        stacks = metadata[name]
        assert stacks is not None
        assert (stacks.normalization, stacks.input_channels) == ("median_iqr", ("Phase3D",))
        assert (stacks.head_pool, stacks.pixel_size) == (head_pool, pixel_size)
        assert stacks.output_channels == ("Nuclei", "Membrane")
        assert "order of the output channels not confirmed" in stacks.description
    reverse = metadata["fluor2phase"]
    assert reverse is not None
    assert (reverse.normalization, reverse.input_channels, reverse.output_channels) == (None, None, None)


def test_normalizations_are_the_available_methods() -> None:
    assert registry.NORMALIZATIONS == METHODS


def test_entries_of_the_user_are_added(own: Path) -> None:
    write(own, input_channels=["Phase"], normalization="mean_std", sha256=CHECKSUM.upper())
    assert list(load_registry())[-1] == "mine"
    entry = load_registry()["mine"]
    assert entry == Entry(
        name="mine", **{**ENTRY, "file": "net.ckpt", "input_channels": ("Phase",), "normalization": "mean_std"}
    )


def test_a_checkpoint_may_lack_its_checksum_if_the_entry_says_so(own: Path) -> None:
    write(own, drop=("sha256",), checksum_unknown=True, head_pool=False, pixel_size=[1, 0.5, 0.5], size=7)
    entry = load_registry()["mine"]
    assert (entry.checksum_unknown, entry.sha256, entry.size) == (True, "", 7)
    metadata = entry.checkpoint_metadata
    assert metadata is not None
    assert (metadata.head_pool, metadata.pixel_size) == (False, (1, 0.5, 0.5))


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
        ({"normalization": "loud"}, "normalization = 'loud'; allowed are median_iqr, mean_std, percentiles, none"),
        ({"statistics_over": "well"}, "statistics_over = 'well'; allowed are fov, timepoint, dataset"),
        ({"kind": 7}, "kind = 7; must be printable text"),
        ({"list": ""}, "list = ''; give a URL or a path"),
        ({"sha256": CHECKSUM[1:]}, "sha256 = '0.*a'; must be a SHA-256 checksum"),
        ({"drop": ("sha256",)}, "sha256 = ''; must be a SHA-256 checksum"),
        ({"kind": "ome-zarr", "list": "https://example.org/l.txt", "sha256": ""}, "list_sha256 = ''; must be"),
        ({"checksum_unknown": True}, "checksum_unknown = true, which goes neither with sha256 nor"),
        (
            {"checksum_unknown": True, "kind": "ome-zarr", "drop": ("sha256",)},
            "checksum_unknown = true, which goes neither with sha256 nor with another kind",
        ),
        ({"checksum_unknown": False, "drop": ("sha256",)}, "sha256 = ''; must be a SHA-256 checksum"),
        ({"checksum_unknown": "yes"}, "checksum_unknown = 'yes'; must be true or false"),
        ({"head_pool": 1}, "head_pool = 1; must be true or false"),
        ({"pixel_size": 0.1}, "pixel_size = 0.1; must be three sizes in micrometres: z, y, x"),
        ({"pixel_size": [0.1, 0.1]}, "must be three sizes in micrometres"),
        ({"pixel_size": [0.2, 0, 0.1]}, "must be three sizes in micrometres"),
        ({"pixel_size": [0.2, True, 0.1]}, "must be three sizes in micrometres"),
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
