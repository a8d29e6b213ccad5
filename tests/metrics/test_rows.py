from math import isnan, nan, pi

import pytest

from image_translation.errors import DataError
from image_translation.metrics.rows import Row, read_csv, summarize, write_csv

ROWS = [
    Row("A/1/0", "raw", "Nuclei", 0, "sharpness", 1.0),
    Row("A/1/0", "raw", "Nuclei", 1, "sharpness", nan),
    Row("A/1/0", "raw", "Nuclei", 2, "sharpness", 0.5),
    Row("A/1/0", "raw", "Nuclei", None, "lag", -1e-9),
    Row("A/1/0", "window", "Nuclei", 0, "sharpness", nan),
    Row("A/1/0", "raw", "Membrane, thin", 0, "sharpness", pi),
]


def test_summary_is_the_mean_over_the_defined_frames():
    summary = summarize(ROWS)
    assert summary[0] == Row("A/1/0", "raw", "Nuclei", None, "sharpness", 0.75)
    assert summary[1] == ROWS[3]
    assert isnan(summary[2].value)
    assert summary[3].value == pi
    assert len(summary) == 4


def test_csv_keeps_full_precision(tmp_path):
    path = tmp_path / "metrics.csv"
    write_csv(ROWS, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "position,method,channel,frame,metric,value"
    assert lines[4] == "A/1/0,raw,Nuclei,,lag,-1e-09"
    assert lines[6] == 'A/1/0,raw,"Membrane, thin",0,sharpness,3.141592653589793'
    again = read_csv(path)
    assert [repr(row) for row in again] == [repr(row) for row in ROWS]


def test_csv_tells_planes_apart_where_there_are_several(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [Row("A", "raw", "N", 0, "ssim", 0.5, 0), Row("A", "raw", "N", None, "lag", 0.0, 12), ROWS[3]]
    write_csv(iter(rows), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "position,method,channel,frame,metric,value,z"
    assert lines[1:3] == ["A,raw,N,0,ssim,0.5,0", "A,raw,N,,lag,0.0,12"]
    assert read_csv(path) == rows
    assert [row.value for row in summarize([*rows[:1], Row("A", "raw", "N", 0, "ssim", 1.0, 1)])] == [0.75]


@pytest.mark.parametrize("text", ["", "position,method\n"])
def test_file_that_is_not_a_table_of_metrics_is_rejected(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="its first line must be position,method,channel,frame,metric,value"):
        read_csv(path)


@pytest.mark.parametrize(
    "line", ["0,raw,Nuclei,0,lag", "0,raw,Nuclei,0,lag,high", "0,raw,Nuclei,x,lag,1", "0,raw,Nuclei,0,lag,1,3"]
)
def test_invalid_line_is_rejected(tmp_path, line):
    path = tmp_path / "metrics.csv"
    path.write_text(f"position,method,channel,frame,metric,value\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match="has an invalid line"):
        read_csv(path)
