from .array import ArrayPosition as ArrayPosition
from .array import ArrayStore as ArrayStore
from .array import store_array as store_array
