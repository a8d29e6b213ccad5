from .array import ArrayPosition as ArrayPosition
from .array import ArrayStore as ArrayStore
from .array import store_array as store_array
from .movie import open_movie as open_movie
from .movie_metadata import MovieMetadata as MovieMetadata
