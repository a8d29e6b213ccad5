from .fields import Fields as Fields
from .fields import FieldSelection as FieldSelection
from .fields import find_fields as find_fields
from .options import TrainOptions as TrainOptions
from .plan import TrainingPlan as TrainingPlan
from .plan import make_plan as make_plan
from .run import Training as Training
from .run import train as train
