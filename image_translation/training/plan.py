"""Plan of a training: options checked against data, checkpoint and device, before anything is computed or written."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from image_translation import data
from image_translation.errors import UsageError
from image_translation.network.architecture import Architecture
from image_translation.network.checkpoint import StateDict
from image_translation.network.devices import resolve_device, resolve_precision
from image_translation.network.loading import ModelSpec, read_spec
from image_translation.network.metadata import METADATA_FORMAT
from image_translation.network.viscy_networks import UNeXt2Architecture
from image_translation.sources.movie import open_movie
from image_translation.training.fields import Fields, FieldSelection, find_fields
from image_translation.training.options import DEFAULT_NORMALIZATION, SIZES, STACK_SIZES, TrainOptions
from image_translation.training.output_directory import find_resumable

_LIBRARIES = ("image-translation", "viscy", "monai", "torch", "lightning", "numpy", "scipy")

_VISCY_NAMES: dict[str, str] = {Architecture.name: "UNeXt2_2D", UNeXt2Architecture.name: "UNeXt2"}
"""VisCy's names for the networks that are trained, in hyper-parameters."""

_STEM_DEPTH = 5  # planes, as published

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPlan:
    """A training that has been checked.

    Attributes
    ----------
    options
        Options, with the normalisation decided.
    device
        Device to train on.
    fields
        Images and their statistics; None if they are simulated.
    architecture, model_config
        VisCy's name of the network, and its hyper-parameters.
    weights
        Weights to start from; None for random weights.
    metadata
        Metadata to store in checkpoints.
    """

    options: TrainOptions
    device: torch.device
    fields: Fields | None
    architecture: str
    model_config: Mapping[str, Any]
    weights: StateDict | None
    metadata: Mapping[str, Any]


def make_plan(options: TrainOptions) -> TrainingPlan:
    """Check options against data, device, output directory and the checkpoint to start from; write nothing.

    Parameters
    ----------
    options
        Options that have passed their own ``check``.

    Returns
    -------
    TrainingPlan
        Input of ``run.train``.

    Raises
    ------
    UsageError
        If the options do not match the data, the device or the checkpoint to start from, or the output directory
        contains a training with other options.
    DataError
        If the data or the checkpoint cannot be read.
    """
    device = resolve_device(options.device)
    resolve_precision(options.precision, device)
    if rank_zero_only.rank:  # with several devices, Lightning runs the command in each process: one of them logs
        logging.getLogger("image_translation").setLevel(logging.ERROR)
    initial = _read_initial(options, options.initial) if options.initial else None
    if options.normalization is None:
        stored = initial[0].normalization if initial else None
        options = replace(options, normalization=stored or DEFAULT_NORMALIZATION)
    fields, metadata = None, _common_metadata(options)
    if options.simulated:
        metadata |= _simulated_metadata(options)
    else:
        store = open_movie(data.resolve(options.data, kind="movie"), options.metadata)
        fields = find_fields(
            store,
            FieldSelection(
                options.source, options.target, options.positions, options.validation, options.planes,
                options.normalization or DEFAULT_NORMALIZATION, options.patch, options.seed, options.depth,
            ),
        )  # fmt: skip
        metadata |= _store_metadata(options, store.path.name, fields)
        what = f"stacks of {options.stack} planes" if options.stack else "images"
        _log.info("%d %s to train on, %d held out", len(fields.train), what, len(fields.held_out))
    find_resumable(options, fields)
    if initial:
        architecture = initial[0].architecture
        name, config, weights = _VISCY_NAMES[architecture.name], architecture.arguments(), initial[1]
        return TrainingPlan(options, device, fields, name, config, weights, metadata)
    return TrainingPlan(options, device, fields, *_new_network(options), None, metadata)


def _read_initial(options: TrainOptions, name: str) -> tuple[ModelSpec, StateDict]:
    """Read the checkpoint to start from."""
    spec, weights = read_spec(data.resolve_checkpoint(name), head_pool=options.head_pool)
    architecture = spec.architecture
    if architecture.name not in _VISCY_NAMES:
        raise UsageError(
            f"--from {name}: a {architecture.name}; only networks of VisCy's {' and '.join(_VISCY_NAMES)} are trained "
            "further"
        )
    _require_depth(options, name, architecture.in_stack_depth, architecture.out_stack_depth)
    if options.patch % spec.stride:
        raise UsageError(f"--patch {options.patch}: must be a multiple of {spec.stride} pixels for --from {name}")
    spec.require_in_channels(len(options.source))
    if spec.architecture.out_channels != len(options.target):
        raise UsageError(
            f"--from {name}: predicts {spec.architecture.out_channels} channels "
            f"({', '.join(spec.output_channels)}), and --target names {len(options.target)}"
        )
    return spec, weights


def _require_depth(options: TrainOptions, name: str, planes: int, predicted: int) -> None:
    """Raise a `UsageError` unless the network to start from takes and predicts the planes of the training."""
    if planes != options.depth:
        given = f"stacks of {options.stack}" if options.stack else "single planes"
        remedy = f"use --stack {planes}" if planes > 1 else "leave out --stack"
        taken = f"stacks of {planes} planes" if planes > 1 else "single planes"
        raise UsageError(f"--from {name}: takes {taken}, and the training is on {given}; {remedy}")
    if predicted != planes:
        raise UsageError(
            f"--from {name}: takes {planes} planes and predicts {predicted}; only networks that predict all planes "
            "that they take are trained further"
        )


def _new_network(options: TrainOptions) -> tuple[str, dict[str, Any]]:
    """Return name and hyper-parameters of a network that starts from random weights."""
    channels: dict[str, Any] = {"in_channels": len(options.source), "out_channels": len(options.target)}
    if options.stack is None:
        plane = {"stem_kernel_size": [1, 2, 2], "in_stack_depth": 1}
        return _VISCY_NAMES[Architecture.name], SIZES[options.size] | channels | plane
    depth, size = options.stack, STACK_SIZES[options.size]
    architecture = UNeXt2Architecture(
        **channels,
        **size,
        in_stack_depth=depth,
        out_stack_depth=depth,
        stem_kernel_size=(depth, 4, 4),
        decoder_upsample_pre_conv=False,
        head_pool=True,
    )
    parts, remainder = divmod(depth, _STEM_DEPTH)
    # The parts of a stack share the channels of the first stage.
    if not remainder and architecture.dims[0] % parts == 0:
        architecture = replace(architecture, stem_kernel_size=(_STEM_DEPTH, 4, 4))
    return _VISCY_NAMES[architecture.name], architecture.arguments()


def _common_metadata(options: TrainOptions) -> dict[str, Any]:
    return {
        "format": METADATA_FORMAT,
        "normalization": options.normalization,
        "input_channels": list(options.source),
        "output_channels": list(options.target),
        "training": options.request() | {"versions": {name: version(name) for name in _LIBRARIES}},
    }


def _simulated_metadata(options: TrainOptions) -> dict[str, Any]:
    return {
        "normalization": DEFAULT_NORMALIZATION,
        "pixel_size_um": None,
        "description": (
            f"Demonstration, trained on simulated cells only, not for research: {_direction(options)}; unit of stains: "
            "the typical intensity is 1, the background 0; unit of phase: radians, with constant optics."
        ),
    }


def _store_metadata(options: TrainOptions, name: str, fields: Fields) -> dict[str, Any]:
    statistics = {
        channel: {"mean": found.center, "std": found.scale} for channel, found in fields.target_statistics.items()
    }
    side, distance = fields.pixel_size, fields.plane_distance
    return {
        "pixel_size_um": side,
        # Only stacks say at which distance their planes are.
        **({"pixel_size": [distance, side, side]} if options.stack and side and distance else {}),
        "description": (
            f"{_direction(options)}, trained on {name}; unit: one standard deviation of the training data."
        ),
        "output_statistics": statistics,
        "data_sha256": fields.sha256,
    }


def _direction(options: TrainOptions) -> str:
    return f"{' and '.join(options.source)} to {' and '.join(options.target)}"
