from .dry_run import describe as describe
from .methods import METHODS as METHODS
from .methods import RECOMMENDED as RECOMMENDED
from .options import Inference as Inference
from .options import SmoothOptions as SmoothOptions
from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .run import smooth_movie as smooth_movie
