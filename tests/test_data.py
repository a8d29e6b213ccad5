from pathlib import Path

import pytest

from image_translation import data
from image_translation.errors import DataError, UsageError


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert data.resolve(tmp_path) == tmp_path
    assert data.resolve(str(tmp_path)) == tmp_path


def test_a_local_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo_ckpt").touch()
    assert data.resolve("demo_ckpt").absolute() == tmp_path / "demo_ckpt"


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="demo_ckpt, demo_ckpt_fluor2phase, demo_movie") as caught:
        data.resolve(tmp_path / "absent.ckpt")
    assert str(tmp_path / "absent.ckpt") in str(caught.value)


def test_the_movie_lies_in_the_chosen_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert data.resolve("demo_movie") == tmp_path / "cache" / "demo_movie.ome.zarr"
    assert not (tmp_path / "cache").exists()


def test_the_default_cache_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.CACHE_VARIABLE, raising=False)
    assert data.cache_directory().name == "image_translation"
    assert data.cache_directory().is_absolute()


def test_a_bundled_checkpoint_is_a_file_of_the_package_or_a_clear_error() -> None:
    package = Path(data.__file__).parent
    for name, file in data.EMBEDDED_CHECKPOINTS.items():
        expected = package / "checkpoints" / file
        if expected.is_file():
            assert data.resolve(name) == expected
        else:
            with pytest.raises(DataError, match=f"{name} is missing"):
                data.resolve(name)


def test_facts_are_keyed_by_sums() -> None:
    assert all(len(bytes.fromhex(digest)) == 32 for digest in data.CHECKPOINT_FACTS)
