"""Description of a plan for ``--dry-run``: what a run would read, compute and write."""

import math
from collections.abc import Sequence

from image_translation.metrics.rows import RAW
from image_translation.omezarr.output import ImageSpec
from image_translation.staining.network_grid import describe_grid
from image_translation.staining.phase_statistics import describe_normalization
from image_translation.staining.plan import Plan
from image_translation.staining.plane_groups import plane_bytes, plane_groups
from image_translation.staining.stream import AHEAD
from image_translation.temporal.registration import METHOD as REGISTRATION_METHOD

BYTES_PER_VALUE = 4
_FRAGMENTATION = 1.3  # memory of large stacks on a CPU, where freed memory is kept, against the sum of the arrays


def describe(plan: Plan) -> str:
    """Describe what a run would do, in a few lines.

    Parameters
    ----------
    plan
        The run.

    Returns
    -------
    str
        Checkpoint, movie, stores with their shapes (T, C, Z, Y, X) and bytes, and an estimate of the memory.
    """
    options, spec, first = plan.options, plan.spec, plan.series[0]
    depth, height, width = first.position.shape[2:]
    names = list(plan.images(RAW))
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    source = ", ".join(first.position.channels[channel] for channel in first.inputs)
    source_of_method = "--normalization" if options.normalization else spec.normalization_source or "assumed"
    lines = [
        ("checkpoint", f"{spec.path}"),
        ("", spec.description or "no description"),
        ("", f"{spec.n_parameters / 1e6:.2f} million weights, stages {spec.architecture.dims}, stride {spec.stride}"),
        ("", f"{source} -> {', '.join(spec.output_channels)}"),
        ("normalization", f"{describe_normalization(plan)} ({source_of_method})"),
        ("registration", REGISTRATION_METHOD if options.register else "none"),
        ("movie", f"{plan.store.path} ({plan.store.description})"),
        ("positions", f"{len(names)}: {shown}"),
        ("frames", f"{len(first.frames)} of {first.position.shape[0]}, each of {height} x {width} pixels"),
        ("planes", f"{_ranges(plan.request['input']['z'])} of {depth}"),
    ]
    if options.resample:
        lines.append(("resampling", describe_grid(first.position, spec, plan.grid(first.position))))
    if plan.window:
        windows = len(_sources(plan)) - plan.window.in_depth + 1
        stacks = f"{windows} stacks of {plan.window.in_depth} planes a frame, {plan.window.out_depth} predicted of each"
        lines.append(("", stacks + (", in reverse" if plan.window.reverse else "")))
    lines += [("cannot read", f"{name}: {error}") for name, error in plan.unreadable.items()]
    if written := plan.request.get("output"):
        lines.append(("written with", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in written.items())))
    total = 0
    for method in options.methods:
        images = plan.images(method)
        size = sum(_bytes(image) for image in images.values())
        total += size
        shape = " x ".join(str(n) for n in images[names[0]].shape)
        lines.append(("would write", f"{options.output / method}.ome.zarr: {shape} float32, {_readable(size)}"))
    lines += [
        ("in all", f"{_readable(total)} before compression"),
        ("memory", f"about {_readable(_memory(plan))} beside the libraries', in each process"),
        ("runs", f"on {options.scheduler}" if options.scheduler else "in this process"),
    ]
    return "\n".join(f"{label:<15}{text}" for label, text in lines)


def _memory(plan: Plan) -> int:
    architecture = plan.spec.architecture
    grid = plan.grid(plan.series[0].position)
    # What the network sees, and what is made of its prediction, the larger of the two.
    pixels = max(math.prod(grid.shape[1:]), math.prod(grid.network_shape[1:]))
    batch = plan.options.batch_size or 1
    activations = batch * architecture.values_per_pixel
    channels, image = architecture.out_channels, plan.images(RAW)[plan.series[0].position.name]
    together = max(len(numbers) for numbers in plane_groups(plan))
    planes = together * plane_bytes(plan, image)
    if plan.window is None:
        return int((activations + 4 * batch * channels) * pixels * BYTES_PER_VALUE) + planes
    # Volumes are predicted first, and their planes smoothed afterwards. The stem and the head see all planes, three of
    # which coexist before and after them, and planes wait to be summed up and written.
    inputs = 2 * plan.window.in_depth * batch + batch
    waiting = batch + 2 * AHEAD + (image.frames_per_shard - 1) * len(image.planes)
    outputs = plan.window.out_depth * (3 * batch + 1) + waiting
    images = _FRAGMENTATION * (activations + inputs * architecture.in_channels + outputs * channels)
    return max(int(images * pixels * BYTES_PER_VALUE), planes)


def _sources(plan: Plan) -> list[int]:
    """Return the planes that are read to predict a frame."""
    group, *_ = plan.groups.values()
    grid = plan.grid(group[0].position)
    needed = grid.needed([series.z for series in group])
    return plan.window.sources(needed, grid.network_shape[0]) if plan.window else []


def _ranges(planes: Sequence[int]) -> str:
    """Write consecutive numbers as ranges: 0 to 8, 12."""
    starts = [z for z in planes if z - 1 not in planes]
    stops = [z for z in planes if z + 1 not in planes]
    return ", ".join(
        str(start) if start == stop else f"{start} to {stop}" for start, stop in zip(starts, stops, strict=True)
    )


def _bytes(image: ImageSpec) -> int:
    return sum(math.prod(level.shape) for level in image.levels) * BYTES_PER_VALUE


def _readable(size: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
