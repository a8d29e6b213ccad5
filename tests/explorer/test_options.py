from pathlib import Path

import pytest

from image_translation.errors import UsageError
from image_translation.explorer.options import InspectOptions


def test_options_are_checked(tmp_path: Path) -> None:
    InspectOptions("demo_ckpt", "demo_movie", tmp_path).check()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        InspectOptions("demo_ckpt", "demo_movie", tmp_path / "file").check()
    (tmp_path / "stage.png").touch()
    with pytest.raises(UsageError, match=r"stage\.png exists; choose another -o, or replace it with --overwrite"):
        InspectOptions("demo_ckpt", "demo_movie", tmp_path).check()
    InspectOptions("demo_ckpt", "demo_movie", tmp_path, overwrite=True).check()
