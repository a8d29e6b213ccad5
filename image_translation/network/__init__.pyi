from .devices import resolve_device as resolve_device
from .features import FeatureExtractor as FeatureExtractor
from .loading import ModelSpec as ModelSpec
from .loading import build_network as build_network
from .loading import read_spec as read_spec
from .predictor import Predictor as Predictor
