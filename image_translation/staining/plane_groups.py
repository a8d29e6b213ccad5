"""Groups of planes that are stained together: those that share chunks, as many as fit into memory.

A chunk that holds several planes is decoded completely, whichever plane is read. Planes stained one after the other
would decode the whole movie once each; together, frame by frame, they decode it once.
"""

import math
from itertools import groupby

import numpy as np

from image_translation.metrics.rows import RAW
from image_translation.omezarr.output import ImageSpec
from image_translation.staining.plan import Plan

LARGEST_GROUP = 2 * 2**30  # estimated bytes of memory of the planes of a group
_SCORED_FRAMES = 6  # frames that the metrics hold of each method, with derived images


def plane_groups(plan: Plan) -> list[range]:
    """Return which series are to be stained together.

    Parameters
    ----------
    plan
        The run.

    Returns
    -------
    list of range
        Indices of the series of each group, in the order of the plan. The series of a group belong to one position and
        share chunks along z; a group has one series where each plane has its own chunks.
    """

    def chunk(number: int) -> tuple[str, int]:
        series = plan.series[number]
        return series.position.name, series.z // series.position.chunks[2]

    images = plan.images(RAW)
    groups = []
    for _, members in groupby(range(len(plan.series)), chunk):
        numbers = list(members)
        series = plan.series[numbers[0]]
        most = max(1, LARGEST_GROUP // plane_bytes(plan, images[series.position.name])) if len(numbers) > 1 else 1
        size = -(-len(numbers) // -(-len(numbers) // most))  # groups of nearly equal size
        stop = numbers[-1] + 1
        groups += [range(start, min(start + size, stop)) for start in range(numbers[0], stop, size)]
    return groups


def plane_bytes(plan: Plan, image: ImageSpec) -> int:
    """Estimate the memory that one plane takes while it is filtered, scored and written, in bytes.

    Parameters
    ----------
    plan
        The run.
    image
        Output image of its position.
    """
    filters, channels = plan.options.filters().values(), len(image.channels)
    windows = sum(temporal_filter.images_held(channels) for temporal_filter in filters)
    compared = _SCORED_FRAMES * (channels + 1) * (len(filters) + 1)
    waiting = (image.frames_per_shard - 1) * channels * (len(filters) + 1)
    pixels = math.prod(image.shape[3:])
    return (windows + compared + waiting) * pixels * np.dtype(np.float32).itemsize
