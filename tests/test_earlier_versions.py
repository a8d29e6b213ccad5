"""What version 0.1.0 wrote is still read: finished and interrupted runs, trainings, checkpoints and the cache.

``support/v0.1.0.zip`` holds a movie of six frames of 32 x 32 pixels; a run on it that is finished and one that was
interrupted after three frames; a training of a tiny network that was interrupted after two of four steps, and the
checkpoint of one that was not; and a downloaded file with its receipt. All were in ``/data/v0.1.0``.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation import data
from image_translation.cli.commands import main
from image_translation.metrics.rows import Row, read_csv
from image_translation.network.loading import read_spec
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL
from image_translation.training import options as training_options

ARCHIVE = Path(__file__).parent / "support" / "v0.1.0.zip"
WRITTEN_AT = "/data/v0.1.0"
TRAIN = ["train", "simulated", "--source", "Phase3D", "--target", "Nuclei", "Membrane"]
TRAIN += ["--steps", "4", "--round", "2", "--batch-size", "1", "--patch", "32", "--loss", "0.5", "0.5", "0"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Unpack what version 0.1.0 wrote, as if it had been written here."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.name in {".zattrs", "request.json"}:
            path.write_text(path.read_text().replace(WRITTEN_AT, str(tmp_path)))
    return tmp_path


def smooth(old: Path, output: str) -> int:
    checkpoint, movie = old / "trained" / "best.ckpt", old / "movie.ome.zarr"
    arguments = ["smooth", "-c", checkpoint, "-m", movie, "-o", old / output, "--methods", "raw", "window"]
    return main([*map(str, arguments), "--window", "3"])


def pixels(store: Path) -> np.ndarray:
    position = open_store(store).position("fov")
    return np.stack([[position.read(t, c, 0) for c in range(2)] for t in range(position.shape[0])])


def steadiness_of_window(rows: list[Row]) -> dict[tuple[str, int | None], float]:
    """Return a metric whose definition has not changed."""
    wanted = ("window", "adjacent_pearson")
    return {(row.channel, row.frame): row.value for row in rows if (row.method, row.metric) == wanted}


def test_a_finished_run_is_recognised(
    old: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (old / "finished" / "figures").mkdir()
    monkeypatch.setattr(Predictor, "start", None)  # nothing is left to predict
    caplog.set_level("INFO")
    assert smooth(old, "finished") == 0
    assert "holds these results already" in caplog.text


def test_results_are_scored(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(old / "finished"), "-o", str(tmp_path / "scores")]) == 0
    rows = read_csv(tmp_path / "scores" / "metrics.csv")
    assert {row.method for row in rows} == {"phase", "raw", "window"}  # the provenance names the movie
    before = read_csv(old / "finished" / "metrics.csv")
    assert steadiness_of_window(rows) == pytest.approx(steadiness_of_window(before), rel=1e-4)


def test_an_interrupted_run_is_resumed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted: list[int] = []
    start = Predictor.start

    def counted(self: Predictor, images: Any) -> Any:
        predicted.append(len(images))
        return start(self, images)

    monkeypatch.setattr(Predictor, "start", counted)
    assert smooth(old, "unfinished") == 0
    assert sum(predicted) == 3
    assert not (old / "unfinished" / PARTIAL).exists()
    for name in ("raw.ome.zarr", "window.ome.zarr"):
        assert_allclose(pixels(old / "unfinished" / name), pixels(old / "finished" / name), atol=1e-5)


def test_a_checkpoint_says_what_it_expects(old: Path) -> None:
    spec, _ = read_spec(old / "trained" / "best.ckpt")
    assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei", "Membrane"))
    assert (spec.normalization, spec.normalization_source) == ("mean_std", "checkpoint")
    assert spec.description.startswith("Demonstration")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_an_interrupted_training_is_resumed(old: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any) -> None:
    tiny = {"encoder_blocks": [1, 1, 1, 1], "dims": [4, 8, 16, 32], "decoder_conv_blocks": 1}
    monkeypatch.setitem(training_options.SIZES, "small", tiny)
    history = old / "training" / "history.csv"
    before = history.read_text().splitlines()
    assert len(before) == 2
    assert main([*TRAIN, "-o", str(old / "training")]) == 0
    after = history.read_text().splitlines()
    assert after[:2] == before
    assert len(after) == 3


def test_a_receipt_of_the_cache_is_read(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = old / "cache" / "tiny_ckpt"
    receipt = json.loads((directory / "verified.json").read_text())
    (name, (size, changed, checksum)) = next(iter(receipt["files"].items()))
    # Other content with the recorded size and time: it is accepted only on the word of the receipt.
    (directory / name).write_bytes(b"x" * size)
    os.utime(directory / name, ns=(changed, changed))
    registry = old / "registry.toml"
    registry.write_text(
        '[tiny_ckpt]\nkind = "checkpoint"\ntitle = "t"\naddress = "http://127.0.0.1:9/tiny.ckpt"\n'
        f'sha256 = "{checksum}"\nlicence = "CC0"\ncitation = "nobody"\n'
    )
    monkeypatch.setenv("IMAGE_TRANSLATION_REGISTRY", str(registry))
    monkeypatch.setenv(data.CACHE_VARIABLE, str(old / "cache"))
    assert data.fetch("tiny_ckpt") == directory / name
