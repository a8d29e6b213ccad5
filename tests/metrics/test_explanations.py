"""Each column of a score card is explained."""

from image_translation.metrics.criteria import COLUMNS
from image_translation.metrics.explanations import explain


def test_each_column_of_a_score_card_is_explained() -> None:
    for column in COLUMNS:
        assert explain(column).endswith(".")
        assert len(explain(column)) < 150
