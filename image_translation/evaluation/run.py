"""The command ``evaluate``: a plan in; rows out, and tables and figures if an output directory is given."""

import logging
from dataclasses import dataclass

from image_translation.evaluation.options import METRICS, SCORE_CARD
from image_translation.evaluation.over_time import score_over_time
from image_translation.evaluation.paired_scores import SEGMENTERS, score_pairs
from image_translation.evaluation.plan import EvaluationPlan
from image_translation.evaluation.report import write_report
from image_translation.evaluation.tracking import score_tracking
from image_translation.metrics.rows import TRUTH, Row, write_csv
from image_translation.metrics.score_card import score_cards, write_score_cards

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Scores of predictions.

    Attributes
    ----------
    over_time
        Metrics over time, as in ``metrics.csv``; empty if there were none to compute.
    against_truth
        Scores of each image against its truth, as in ``scores.csv``; empty without truth.
    """

    over_time: list[Row]
    against_truth: list[Row]


def evaluate(plan: EvaluationPlan) -> Evaluation:
    """Score predictions, and write tables and figures if an output directory is given.

    Raises
    ------
    UsageError
        If a prediction has no valid image beside a valid one of the truth.
    DataError
        If something cannot be read or written.
    """
    options = plan.options
    over_time: list[Row] = []
    if plan.series:
        if not any(series.phase or TRUTH in series.planes for series in plan.series):
            _log.warning("flicker is not known without the phase or the truth; give --phase or --truth")
        over_time = score_over_time(plan.series)
        if options.tracking:
            over_time += score_tracking(plan.series)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            write_csv(over_time, options.output / METRICS)
            write_score_cards(score_cards(over_time), options.output / SCORE_CARD)
    against_truth: list[Row] = []
    if plan.pairs:
        segment = SEGMENTERS[options.segmenter]
        scores = score_pairs(plan.pairs, objects=options.objects, segment=segment, rescale=options.rescale)
        against_truth = scores.rows
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            _log.info("drawing figures")
            write_report(plan, scores, options.output)
    return Evaluation(over_time, against_truth)
