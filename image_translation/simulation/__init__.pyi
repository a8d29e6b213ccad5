from .movie import Movie as Movie
from .spec import CHANNELS as CHANNELS
from .spec import MovieSpec as MovieSpec
