"""Description of a plan for ``--dry-run``: what a run would read, compute and write."""

import math

from image_translation.metrics.rows import RAW
from image_translation.omezarr.output import ImageSpec
from image_translation.staining.plan import Plan
from image_translation.staining.plane_groups import plane_bytes, plane_groups
from image_translation.temporal.registration import METHOD as REGISTRATION_METHOD

BYTES_PER_VALUE = 4


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
    source = first.position.channels[first.channel]
    source_of_method = "--normalization" if options.normalization else spec.normalization_source or "assumed"
    lines = [
        ("checkpoint", f"{spec.path}"),
        ("", spec.description or "no description"),
        ("", f"{spec.n_parameters / 1e6:.2f} million weights, stages {spec.architecture.dims}, stride {spec.stride}"),
        ("", f"{source} -> {', '.join(spec.output_channels)}"),
        ("normalization", f"{plan.normalization} ({source_of_method})"),
        ("registration", REGISTRATION_METHOD if options.register else "none"),
        ("movie", f"{plan.store.path} (OME-Zarr {plan.store.version}, {plan.store.layout})"),
        ("positions", f"{len(names)}: {shown}"),
        ("frames", f"{len(first.frames)} of {first.position.shape[0]}, each of {height} x {width} pixels"),
        ("planes", f"{', '.join(str(z) for z in plan.request['input']['z'])} of {depth}"),
    ]
    lines += [("cannot read", f"{name}: {error}") for name, error in plan.unreadable.items()]
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
    height, width = plan.series[0].position.shape[3:]
    batch = plan.options.batch_size or 1
    # The widest activations have four times the channels of the first stage; about three of them coexist.
    activations = 12 * architecture.dims[0] * batch / architecture.stem_stride**2
    channels = architecture.out_channels
    together = max(len(numbers) for numbers in plane_groups(plan))
    planes = together * plane_bytes(plan, plan.images(RAW)[plan.series[0].position.name])
    return int((activations + 4 * batch * channels) * height * width * BYTES_PER_VALUE) + planes


def _bytes(image: ImageSpec) -> int:
    return sum(math.prod(level.shape) for level in image.levels) * BYTES_PER_VALUE


def _readable(size: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
