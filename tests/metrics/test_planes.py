"""Score cards of positions with several planes: means over the planes with content, of rows with known values."""

from math import isnan

import numpy as np
import pytest

from image_translation.frame import Frame
from image_translation.metrics.criteria import Entry
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import Row
from image_translation.metrics.score_card import score_cards

BLANK_FRAMES = [Frame(t, np.full((1, 16, 16), np.nan, np.float32), valid=False) for t in range(3)]


def plane(
    z: int | None,
    *,
    raw: float = 1.0,
    own: float = 0.5,
    detail: tuple[float, ...] = (1.0, 1.0, 1.0),
    contrast: float | None = None,
    truth: bool = True,
) -> list[Row]:
    """Return rows of raw and of a method with the changes and the detail that are given."""
    reference = "pearson_truth" if truth else "pearson_raw"
    rows = [Row("A", method, "N", t, reference, 0.9, z) for method in ("raw", "own") for t in range(len(detail))]
    rows += [
        Row("A", method, "N", t, "change", change, z)
        for method, change in (("raw", raw), ("own", own))
        for t in range(len(detail))
    ]
    rows += [Row("A", "own", "N", t, "detail_fine", value, z) for t, value in enumerate(detail)]
    if contrast is not None:
        rows += [Row("A", "raw", "N", t, "contrast", contrast, z) for t in range(len(detail))]
    return rows


def own_entry(rows: list[Row]) -> Entry:
    (card,) = score_cards(rows)
    return next(entry for entry in card.entries if entry.method == "own")


def test_a_column_is_the_mean_of_the_columns_of_the_planes() -> None:
    rows = [*plane(4, raw=1, own=0.2, detail=(0.9, 1.0, 1.1)), *plane(5, raw=10, own=8, detail=(0.8, 1.0, 0.98))]
    values = own_entry(rows).values
    assert values["flicker"] == pytest.approx((0.2 + 0.8) / 2)  # not 8.2 / 11
    assert values["detail"] == pytest.approx((1.0 + 0.98) / 2)  # the median over the frames of each plane
    assert values["pearson"] == pytest.approx(0.9)


def test_equal_planes_have_the_card_of_one() -> None:
    one = own_entry(plane(None, detail=(0.9, 0.94, 0.97)))
    assert one.failures == ("detail",)
    several = own_entry([row for z in range(3) for row in plane(z, detail=(0.9, 0.94, 0.97), contrast=1)])
    assert several.failures == one.failures
    assert {k: v for k, v in several.values.items() if not isnan(v)} == pytest.approx(
        {k: v for k, v in one.values.items() if not isnan(v)}
    )


@pytest.mark.parametrize(("kept", "fails"), [(0.91, True), (0.94, False)])
def test_a_limit_holds_for_the_mean_over_the_planes(kept: float, *, fails: bool) -> None:
    rows = [*plane(0, detail=(kept,) * 3), *plane(1, detail=(0.97,) * 3)]
    assert own_entry(rows).failures == (("detail",) if fails else ())


def test_planes_of_background_do_not_count() -> None:
    cells = [*plane(1, own=0.4, contrast=2.0), *plane(2, own=0.6, contrast=0.5)]
    background = [row for z in (0, 3, 4) for row in plane(z, own=3.0, detail=(0.1,) * 3, contrast=0.1)]
    entry = own_entry([*background, *cells])
    assert entry.values["flicker"] == pytest.approx(0.5)
    assert entry.failures == ()
    unknown = [row for row in (*background, *cells) if row.metric != "contrast"]  # nothing tells them apart
    assert own_entry(unknown).values["flicker"] == pytest.approx((3 * 3.0 + 0.4 + 0.6) / 5)


def test_content_is_judged_by_channel() -> None:
    rows = [*plane(0, own=0.4, contrast=1.0), *plane(1, own=0.8, contrast=0.01)]
    other = {1.0: 0.01, 0.01: 1.0}
    rows += [
        Row(
            "A",
            row.method,
            "M",
            row.frame,
            row.metric,
            other[row.value] if row.metric == "contrast" else row.value,
            row.z,
        )
        for row in rows
    ]
    (card,) = score_cards(rows)
    flicker = {entry.channel: entry.values["flicker"] for entry in card.entries if entry.method == "own"}
    assert flicker == pytest.approx({"N": 0.4, "M": 0.8})


def test_planes_without_truth_do_not_count_beside_others() -> None:
    rows = [*plane(0, own=0.5), *plane(1, own=0.9, truth=False)]
    assert own_entry(rows).values["flicker"] == pytest.approx(0.5)
    assert own_entry(plane(1, own=0.9, truth=False)).values["flicker"] == pytest.approx(0.9)


def test_blank_planes_do_not_count() -> None:
    empty = Evaluator("A", ("N",), {"own": 0.0}, z=2)
    blank = [row for t in range(3) for method in ("raw", "own") for row in empty.add(method, BLANK_FRAMES[t])]
    blank += [*empty.finish(), Row("A", "own", "N", None, "lag", 0.3, 2)]
    assert Row("A", "raw", "N", None, "lag", 0.0, 2) in blank
    rows = [*plane(0, own=0.4, contrast=2.0, truth=False), *plane(1, own=3.0, contrast=0.1, truth=False)]
    entry = own_entry([*blank, *rows])
    assert entry.values["flicker"] == pytest.approx(0.4)
    assert isnan(entry.values["lag"])
    assert entry.failures == ()
    (card,) = score_cards(blank)  # all is blank
    assert card.columns == ("lag",)


def test_a_column_is_unknown_only_if_no_plane_has_it() -> None:
    rows = [*plane(0), *plane(1), Row("A", "own", "N", None, "count_jitter", 0.25, 1)]
    values = own_entry(rows).values
    assert values["count_jitter"] == 0.25
    assert isnan(values["area_jitter"])


def test_doubts_are_those_of_the_mean() -> None:
    def rows(*displacements: float) -> list[Row]:
        moved = [Row("A", "own", "N", 0, "displacement_local", d, z) for z, d in enumerate(displacements)]
        return [row for z in range(len(displacements)) for row in plane(z, truth=False)] + moved

    assert own_entry(rows(0.1, 0.3)).doubts == ()
    entry = own_entry(rows(0.1, 0.5))
    assert (entry.doubts, entry.failures) == (("displacement_local",), ())
    assert own_entry(rows(0.4, 0.8)).failures == ("displacement_local",)


def test_rows_of_an_evaluator_name_the_plane_and_its_contrast() -> None:
    image = np.zeros((1, 16, 16), np.float32)
    image[:, :, 8:] = 6
    evaluator = Evaluator("A", ("N",), {}, z=7)
    rows = [row for t in range(2) for row in evaluator.add("raw", Frame(t, image))] + evaluator.finish()
    assert {row.z for row in rows} == {7}
    assert [row.value for row in rows if row.metric == "contrast"] == [3, 3]
    single = Evaluator("A", ("N",), {})
    rows = [row for t in range(2) for row in single.add("raw", Frame(t, image))] + single.finish()
    assert rows
    assert all(row.z is None and row.metric != "contrast" for row in rows)
