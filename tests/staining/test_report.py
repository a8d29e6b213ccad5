from pathlib import Path

import pytest
from support.finished_run import FinishedRun

from image_translation.metrics.criteria import Entry
from image_translation.metrics.score_card import ScoreCard
from image_translation.staining.report import write_run_report


def card(*ranking: str, failures: dict[tuple[str, str], tuple[str, ...]] | None = None) -> ScoreCard:
    entries = [Entry(m, c, {}, (failures or {}).get((m, c), ())) for m in ranking for c in ("Nuclei", "Membrane")]
    return ScoreCard("fov", ("flicker",), ranking, tuple(entries))


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (card("motion", "raw"), "By the score card, motion is the best here.</p>"),
        (card("raw", "savgol"), "By the score card, no method is shown to be better than the raw prediction.</p>"),
        (
            card("motion", "savgol", failures={("savgol", "Membrane"): ("sharpness", "pearson_fast")}),
            "motion is the best here. savgol is worse than allowed in sharpness, pearson fast (Membrane).</p>",
        ),
    ],
)
def test_the_report_states_the_ranking_of_the_score_card(tmp_path: Path, shown: ScoreCard, words: str) -> None:
    run = FinishedRun(tmp_path, frames=2)
    write_run_report(run.plan, run.series, run.results[0], shown, tmp_path, film=run.numbers)
    assert words in (tmp_path / "report.html").read_text()


def test_without_a_score_card_no_ranking_is_stated(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, frames=2)
    write_run_report(run.plan, run.series, run.results[0], ScoreCard("fov", (), (), ()), tmp_path, film=run.numbers)
    assert "By the score card" not in (tmp_path / "report.html").read_text()
