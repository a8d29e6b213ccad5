from .options import TrackingOptions as TrackingOptions
from .plan import TrackingPlan as TrackingPlan
from .plan import make_plan as make_plan
from .run import track as track
from .tables import read_napari_tracks as read_napari_tracks
