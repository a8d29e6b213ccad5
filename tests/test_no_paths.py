"""Results are published: no file of them names a folder of the user. Of trainings, see ``training/test_run.py``."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
from support.paths import files_with
from support.stores import phase, write_plate

from image_translation.cli.commands import main

USER = "grace.hopper"


def test_the_search_finds_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<p>/home/{USER}/movie</p>")
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", f"/home/{USER}/best.ckpt" * 100)
    (tmp_path / "clean").write_text("movie")
    assert files_with(tmp_path, USER) == ["best.ckpt: data.pkl", "page.html"]


def test_results_scores_and_feature_maps_name_no_folder(tmp_path: Path, tiny_checkpoint: Path) -> None:
    home = tmp_path / USER
    home.mkdir()
    checkpoint = shutil.copy(tiny_checkpoint, home / "tiny.ckpt")
    data = np.concatenate([phase(8), 1 + phase(8, seed=1), phase(8, seed=2)], axis=1)
    data[3, 0] = 0  # invalid
    names = ("Phase3D", "Nuclei", "Membrane")
    movie = write_plate(home / "in.zarr", {"A/1/0": data}, channels=names, version="0.5")
    common = ["-c", str(checkpoint), "-m", str(movie)]
    methods = ["--methods", "raw", "savgol", "--savgol-window", "5"]
    assert main(["smooth", *common, "-o", str(home / "out"), *methods, "--device", "cpu"]) == 0
    assert main(["evaluate", str(home / "out"), "--truth", str(movie), "-o", str(home / "scores")]) == 0
    inspected = ["-o", str(home / "inspected"), "--device", "cpu"]
    assert main(["inspect", *common, *inspected]) == 0
    for name in ("out", "scores", "inspected"):
        written = home / name
        assert any(written.rglob("*.csv"))
        for text in (USER, str(tmp_path), tmp_path.parent.name):
            assert files_with(written, text) == []
    assert (home / "out" / "figures" / "report.html").exists()
