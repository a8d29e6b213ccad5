from .options import EvaluationOptions as EvaluationOptions
from .plan import EvaluationPlan as EvaluationPlan
from .plan import make_plan as make_plan
from .report import format_scores as format_scores
from .run import Evaluation as Evaluation
from .run import evaluate as evaluate
