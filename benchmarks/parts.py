"""The parts of ``python -m benchmarks``: their notes, and the checks of their arguments before anything is measured.

Imports nothing heavy: fresh processes import the main program before their number of threads is set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks import filters, plates
from benchmarks.fresh_process import FreshProcess
from benchmarks.job import Job
from benchmarks.movies import MIN_SIDE
from image_translation.errors import ImageTranslationError, UsageError, first_line

_SAVGOL = f"the window of its Savitzky-Golay filter is {filters.WINDOW}"
_MEAN = "its moving average is over 2"
_SIMULATION = "as the simulation of its movie needs"


@dataclass(frozen=True)
class Part:
    """One part of the benchmarks.

    Attributes
    ----------
    notes
        How it is measured; printed below the table.
    min_frames, frames_reason
        Smallest number of frames that it can use, and the reason.
    min_side, side_reason
        Smallest height and width that it can use, in pixels, and the reason.
    uses_checkpoint
        Whether it runs ``--checkpoint``, which must have one input channel.
    n_outputs
        Number of output channels that the checkpoint must have; None is any.
    uses_device
        Whether it runs on ``--device`` with ``--precision``.
    """

    notes: str
    min_frames: int = 1
    frames_reason: str = ""
    min_side: int = MIN_SIDE
    side_reason: str = _SIMULATION
    uses_checkpoint: bool = False
    n_outputs: int | None = None
    uses_device: bool = False


PARTS = {
    "end-to-end": Part(
        """\
movie to stores: raw, window 2 and savgol 11/3 are written and scored. In all pipelines the network is built and run
  once beforehand; in ours the plan is made beforehand, and figures are not drawn. VisCy's network is the bundled one as
  VisCy runs it, also in the baseline script; ours has the same weights, in plain PyTorch. The script padded to 2048
  takes most of the time and is far from its target: it runs in the first turn only.""",
        min_frames=filters.WINDOW,
        frames_reason=_SAVGOL,
        uses_checkpoint=True,
        n_outputs=2,
        uses_device=True,
    ),
    "memory": Part(
        """\
memory: of the process. On large frames, in both pipelines, the network runs on every {every}th frame only; a copy of
  the frame replaces the prediction of the others (--every 1: it runs on all).""",
        min_frames=filters.WINDOW,
        frames_reason=_SAVGOL,
        uses_checkpoint=True,
        n_outputs=2,
        uses_device=True,
    ),
    "filters": Part(
        "filters: Savitzky-Golay with window 11 and order 3, float32, one thread each.",
        min_frames=filters.WINDOW,
        frames_reason=_SAVGOL,
        min_side=1,
        side_reason="",
    ),
    "motion": Part(
        """\
motion: one frame with two channels, in a movie whose frames have all their neighbours; the network is ours, in plain
  PyTorch, on the CPU. All of them use all processors.""",
        uses_checkpoint=True,
    ),
    "storage": Part("""\
storage: MB (10^6 bytes) of float32 pixels per second, before compression. Ours uses tensorstore, the baseline
  zarr-python on equal stores, both with default settings; stores are read plane by plane from the page cache of the
  system. zarr-python writes all frames of a shard at once."""),
    "network": Part(
        """\
network: one frame on the CPU, padded by reflection, from array to array; the first two frames of each process are
  excluded. The bundled network, and one with random weights in the architecture of VSCyto2D. VisCy's runs in a process
  with default settings, and in one that keeps freed memory, as ours does. torch.compile and OpenVINO (if installed;
  both in float32) are for comparison; the time of their first frame is listed as well.""",
        uses_checkpoint=True,
    ),
    "plates": Part(
        f"""\
plates: a simulated plate, raw and window 2, on Dask clusters whose workers have one thread and one processor each, and
  have processed some positions before. Timed from the connection to the scheduler to the end of the last task; the
  plan, metrics.csv and figures are excluded. The scheduler and the client share the processors of the workers if there
  are no others. The time of the scheduler is that of {plates.N_EMPTY_TASKS} tasks that do nothing, on two workers;
  its share is relative to the time of a position on one worker, with frames as small as these.""",
        min_frames=2,
        frames_reason=_MEAN,
        uses_checkpoint=True,
    ),
    "gpu": Part(
        """\
gpu: the architecture of VSCyto2D with random weights, one frame at a time, with input and output on the device.
  Operations are those of convolutions and matrix products. The movie is in memory if the system has a file system
  there; some of it is stained beforehand, the plan is made beforehand, and figures are not drawn.""",
        min_frames=2,
        frames_reason=_MEAN,
    ),
    "startup": Part(
        """\
response: the complete process, from start to exit. The first predicted frame: from the start of the process to the
  output of the network, the bundled one, for a frame of the movie; the imports are those of torch and iohub.ngff in a
  process of their own. The files are in the page cache of the system.""",
        min_frames=filters.WINDOW,
        frames_reason=_SAVGOL,
    ),
}


def check_sizes(parts: Sequence[str], frames: int | None, size: tuple[int, int] | None) -> None:
    """Raise a ``UsageError`` if a part cannot use the number of frames or their size; None is its default."""
    for name in parts:
        part = PARTS[name]
        if frames is not None and frames < part.min_frames:
            reason = f" ({part.frames_reason})" if part.frames_reason else ""
            raise UsageError(f"--frames {frames}: {name} needs at least {part.min_frames}{reason}")
        if size is not None and min(size) < part.min_side:
            reason = f" ({part.side_reason})" if part.side_reason else ""
            raise UsageError(
                f"--size {size[0]}x{size[1]}: {name} needs height and width of at least {part.min_side} pixels{reason}"
            )


def check_networks(parts: Sequence[str], job: Job) -> Job:
    """Check checkpoint, device and precision in a fresh process, if a part uses them.

    Returns
    -------
    Job
        The job, with the name of a device in place of "auto".

    Raises
    ------
    UsageError
        The checkpoint cannot be read or has other numbers of channels, or there is no such device or precision.
    """
    chosen = [PARTS[name] for name in parts]
    device = None
    if any(part.uses_device for part in chosen) or ("gpu" in parts and job.device.startswith("cuda")):
        device = job.device
    n_outputs = max((part.n_outputs or 0 for part in chosen if part.uses_checkpoint), default=None)
    if device is None and n_outputs is None:
        return job
    with FreshProcess() as process:
        if n_outputs is not None:
            process.call(require_channels, job.checkpoint, n_outputs or None)
        if device is not None:
            return replace(job, device=process.call(require_device, device, job.precision))
    return job


def require_channels(checkpoint: str, n_outputs: int | None) -> None:
    """Raise an error unless a checkpoint can be read, and has one input and the given number of output channels."""
    from image_translation.data.lookup import locate, resolve_checkpoint
    from image_translation.network.loading import read_spec

    try:
        locate(checkpoint, kind="checkpoint")
        spec, _ = read_spec(resolve_checkpoint(checkpoint))
        spec.require_in_channels(1)
    except ImageTranslationError as error:
        raise UsageError(f"--checkpoint {first_line(error)}") from None
    if n_outputs and len(spec.output_channels) != n_outputs:
        names = ", ".join(spec.output_channels)
        raise UsageError(f"--checkpoint {checkpoint}: must have {n_outputs} output channels, and has {names}")


def require_device(name: str, precision: str) -> str:
    """Return the name of a device, "auto" resolved; raise a ``UsageError`` if it or the precision is not available."""
    from image_translation.network.devices import resolve_device, resolve_precision

    device = resolve_device(name)
    resolve_precision(precision, device)
    return str(device)
