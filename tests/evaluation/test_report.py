"""The command ``evaluate`` with a truth: tables and figures, image by image."""

import sys
from typing import Any

import numpy as np
import pytest
import zarr
from matplotlib.image import imread
from numpy.testing import assert_array_equal
from support.discs import discs
from support.stores import write_image, write_plate

from image_translation.cli.commands import main
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.plan import make_plan
from image_translation.evaluation.report import _Sources
from image_translation.evaluation.run import evaluate as run
from image_translation.metrics.rows import read_csv

CENTRES = [(12, 12), (12, 44), (44, 14), (46, 46)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def truths(frames=3, channels=2):
    """Draw discs, one more in each frame: (T, C, 1, 64, 64)."""
    drawn = np.stack([discs((64, 64), CENTRES[: 2 + t % 3], 8) for t in range(frames)])
    return np.stack([drawn, 1 - drawn][:channels], axis=1)[:, :, np.newaxis] + np.float32(10)


def write(path, data, channels=("Nuclei", "Membrane")):
    """Write stills as the fields of a plate, movies as they are."""
    data = np.ascontiguousarray(data)
    if path.name.startswith("movie"):
        return write_image(path, data, channels=channels)
    return write_plate(path, {f"A/{n}/0": data[n : n + 1] for n in range(len(data))}, channels=channels)


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


@pytest.fixture
def stills(tmp_path):
    truth = truths()
    write(tmp_path / "true.zarr", truth)
    write(tmp_path / "good.zarr", 3 * truth + 0.2 * noise(*truth.shape))
    write(tmp_path / "po$r.zarr", truth[:, :, :, ::-1] + 0.2 * noise(*truth.shape))
    return tmp_path


def test_stills_of_two_predictions_are_in_one_table(stills, capsys):
    out = stills / "scores"
    assert evaluate(stills / "good.zarr", stills / "po$r.zarr", "--truth", stills / "true.zarr", "-o", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(out)
    assert lines[0].startswith("Nuclei: 3 images, data range 1")
    assert "objects of 16 px" in lines[0]
    assert "Membrane: 3 images, data range 1" in lines[6]
    assert [line.split()[0] for line in lines[2:5]] == ["good", "po$r", "mean"]
    assert lines[2].count("*") == 9
    assert not any("*" in line for line in (*lines[3:5], *lines[9:11]))
    assert "score card" not in "".join(lines)
    assert {path.name for path in out.iterdir()} == {
        "scores.csv", "scores.png", "fields_Nuclei.png", "fields_Membrane.png",
    }  # fmt: skip
    rows = read_csv(out / "scores.csv")
    assert {row.method for row in rows} == {"good", "po$r", "truth", "mean of the truth"}
    options = EvaluationOptions((stills / "good.zarr", stills / "po$r.zarr"), truth=stills / "true.zarr")
    assert repr(rows) == repr(run(make_plan(options)).against_truth)
    shown = np.mean([row.value for row in rows if (row.method, row.channel, row.metric) == ("good", "Nuclei", "mae")])
    assert lines[2].split()[4] == f"{shown:.4g}*"


def test_tables_are_not_replaced_without_overwrite(stills, caplog, capsys):
    out = stills / "scores"
    arguments = [stills / "good.zarr", "--truth", stills / "true.zarr", "--channels", "Nuclei", "-o", out]
    out.mkdir()
    (out / "scores.csv").write_text("mine")
    assert evaluate(*arguments) == 2
    assert "scores.csv exists; choose another -o, or replace it with --overwrite" in caplog.text
    assert (out / "scores.csv").read_text() == "mine"
    assert capsys.readouterr().out == ""
    assert evaluate(*arguments, "--overwrite") == 0
    assert len(read_csv(out / "scores.csv")) > 30
    assert "*" not in capsys.readouterr().out  # of one prediction none is the best


def test_a_movie_has_a_score_card_too(tmp_path, capsys):
    truth = truths()
    raw = write(tmp_path / "movie_raw", truth + 0.1 * noise(*truth.shape), ("Nuclei", "Edges"))
    true = write(tmp_path / "movie_true", truth, ("DAPI", "Edges"))
    out = tmp_path / "scores"
    assert evaluate(raw, "--truth", true, "--same", "Nuclei=DAPI", "-o", out) == 0
    text = capsys.readouterr().out
    assert text.startswith("DAPI: 3 images, ")
    assert text.index("Edges: 3 images") < text.index("\n\nfov, Nuclei: only the raw prediction was scored.")
    assert {path.name for path in out.iterdir()} == {
        "scores.csv", "scores.png", "fields_DAPI.png", "fields_Edges.png", "metrics.csv", "score_card.csv",
    }  # fmt: skip


def test_movies_without_a_raw_prediction_have_no_score_card(tmp_path, capsys):
    truth = truths()
    stores = [write(tmp_path / f"movie_{n}", truth + 0.1 * noise(*truth.shape, seed=n)) for n in range(2)]
    assert evaluate(*stores, "--truth", write(tmp_path / "movie_true", truth), "--every", "2") == 0
    text = capsys.readouterr().out
    assert text.startswith("Nuclei: 2 images, ")
    assert "fov" not in text


def test_the_truth_itself_is_a_perfect_prediction(stills, capsys):
    true, good = stills / "true.zarr", stills / "good.zarr"
    assert evaluate(true, good, "--truth", true, "--channels", "Nuclei", "-o", stills / "out") == 0
    cells = capsys.readouterr().out.splitlines()[2].split()
    assert cells == ["true", "1.000*", "1.000*", "inf*", "0*", "1.000*", "1.000*", "1.000*", "1.000*", "0.000*"]


def test_predictions_of_other_fields_are_not_shown_side_by_side(stills, capsys):
    truth = truths()
    for name, missing in (("a", [0]), ("b", [1, 2])):
        predicted = truth + 0.2 * noise(*truth.shape)
        predicted[missing] = np.nan
        write(stills / name, predicted)
    out = stills / "out"
    assert evaluate(stills / "a", stills / "b", "--truth", stills / "true.zarr", "-o", out) == 0
    assert capsys.readouterr().out.startswith("Nuclei: 3 images, ")
    assert {path.name for path in out.iterdir()} == {"scores.csv", "scores.png"}


def test_the_source_is_shown_where_it_is_known(stills):
    write(stills / "phase.zarr", truths(channels=1), ("Phase3D",))
    widths = []
    for name, more in (("without", ()), ("with", ("--phase", stills / "phase.zarr"))):
        arguments = (
            stills / "good.zarr",
            "--truth",
            stills / "true.zarr",
            "--channels",
            "Membrane",
            "-o",
            stills / name,
        )
        assert evaluate(*arguments, *more) == 0
        widths.append(imread(stills / name / "fields_Membrane.png").shape[1])
    assert widths[1] == pytest.approx(1.5 * widths[0], abs=2)


def test_the_source_is_the_frame_that_was_predicted_from(tmp_path):
    """The frames of each prediction may differ from those of the first."""
    truth = np.concatenate([noise(5, 1, 1, 16, 16), truths(5)[..., :16, :16]], axis=1)
    movie = write(tmp_path / "movie", truth, ("BF", "Nuclei", "Membrane"))
    for name, channel, start in (("movie_a", "Nuclei", 0), ("movie_b", "Membrane", 2)):
        write(tmp_path / name, noise(5, 1, 1, 16, 16)[start:], (channel,))
        group = zarr.open_group(tmp_path / name, mode="r+")
        frames = {"fov": [start, 5]}
        group.attrs["image_translation"] = {
            "request": {"input": {"movie": str(movie), "channel": "BF", "frames": frames}}
        }
        multiscales: Any = group.attrs["multiscales"]
        shift = {"type": "translation", "translation": [float(start), 0, 0, 0, 0]}
        multiscales[0]["datasets"][0]["coordinateTransformations"].append(shift)
        group.attrs["multiscales"] = multiscales
    plan = make_plan(EvaluationOptions((tmp_path / "movie_a", tmp_path / "movie_b"), truth=movie))
    sources = _Sources(plan)
    assert len(plan.pairs) == 5 + 3
    for pair in plan.pairs:
        assert_array_equal(sources.read(pair, pair.field), truth[pair.field[1], 0, 0])


def test_requested_cellpose_must_be_installed(stills, monkeypatch, caplog, capsys):
    arguments = (stills / "good.zarr", "--truth", stills / "true.zarr", "--segmenter", "cellpose", "-o", stills / "out")
    monkeypatch.setitem(sys.modules, "cellpose", None)
    assert evaluate(*arguments) == 2
    assert "--segmenter cellpose: is not installed; install it with uv pip install cellpose" in caplog.text
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR"]
    assert "\n" not in caplog.records[-1].message
    assert not (stills / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--every", "0"], "--every 0: must be 1 or more"),
        (["--channels", "DAPI"], "the prediction good has no channel DAPI; it has Nuclei, Membrane"),
        (["--same", "Nuclei=DAPI"], "the truth has no channel DAPI: "),
        (["--same", "X=Nuclei"], "--same X=...: no prediction has such a channel"),
        (["--objects", "DAPI"], "--objects DAPI: is not among the channels that are scored: Nuclei, Membrane"),
        (["--position", "C/*"], "--position C/* matches nothing"),
        (["--truth", "{}/small"], "the truth {}/small/A/0/0 has frames of 32 x 64"),
        (["--truth", "{}/dark"], "good: no valid image of Nuclei lies beside a valid one of the truth"),
        (["--truth", "{}/one"], "the truth {}/one has no position A/2/0"),
    ],
)
def test_invalid_options_are_one_line_errors(stills, caplog, capsys, arguments, text):
    write(stills / "small", truths()[:, :, :, ::2])
    write(stills / "dark", 0 * truths())
    write(stills / "one", truths()[:2])
    given = [argument.replace("{}", str(stills)) for argument in arguments]
    truth = [] if "--truth" in given else ["--truth", stills / "true.zarr"]
    assert evaluate(stills / "good.zarr", *truth, *given) == 2
    assert text.replace("{}", str(stills)) in caplog.text
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR"]
    assert "\n" not in caplog.records[-1].message
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("same", ["Nuclei", "=DAPI", "Nuclei="])
def test_names_are_pairs(stills, capsys, same):
    with pytest.raises(SystemExit):
        evaluate(stills / "good.zarr", "--truth", stills / "true.zarr", "--same", same)
    assert f"'{same}' is not PREDICTED=TRUE, such as Nuclei=DAPI" in capsys.readouterr().err
