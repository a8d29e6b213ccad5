"""Load VisCy checkpoints: read their metadata and build their networks.

Supported are VisCy's networks for virtual staining (https://github.com/mehta-lab/VisCy; Liu et al., "Robust virtual
staining of landmark organelles with Cytoland", Nature Machine Intelligence, 2025). `FullyConvolutionalMAE`, also called
"UNeXt2_2D" and "fcmae", runs as `fcmae.FCMAE`, so that VisCy is not imported; the others run through VisCy.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from image_translation.errors import DataError, UsageError
from image_translation.extras import require_extra
from image_translation.network.architecture import (
    COUNTERS,
    Architecture,
    describe_copies,
    infer_architecture,
    require_shapes,
    select_network_weights,
    weight_shapes,
)
from image_translation.network.checkpoint import StateDict, extract_state_dict, load_checkpoint, sha256
from image_translation.network.fcmae import FCMAE
from image_translation.network.metadata import (
    channel_names,
    find_discrepancies,
    in_file,
    is_channel_name,
    model_config,
    normalization_method,
    outside_file,
    pixel_size,
    read_metadata,
    statistics_over,
)
from image_translation.network.viscy_networks import VisCyArchitecture, infer_viscy_architecture, make_viscy_network
from image_translation.normalize import Method, Over

_MAX_STRIDE = 1024  # pixels; VisCy's own networks have 16 to 64


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Description of a checkpoint: its architecture and metadata.

    Attributes
    ----------
    path, sha256
        Path of the file, and its SHA-256 checksum in hexadecimal.
    architecture
        Hyper-parameters of the network.
    n_parameters
        Number of weights.
    input_channels
        Names of the channels that the network was trained on; empty if unknown.
    output_channels
        Names of the channels that the network predicts.
    normalization, normalization_source
        Normalisation method of the input, and its source ("checkpoint", "sidecar" or "registry"); None if unknown.
    description
        One line of text; may be empty.
    pixel_size
        Size of the pixels that the network was trained with, (Z, Y, X) in micrometres; None if unknown. The size in z
        alone is None if only the others are known.
    supplied
        Names and values of the hyper-parameters that neither the weights nor the file tell; they come from the caller,
        the sidecar or the registry, and decide the prediction as the weights do.
    notes
        Warnings about assumptions and contradictions, one line each.
    statistics_over
        What the statistics to normalise the input by are pooled over; None if unknown.
    """

    path: Path
    sha256: str
    architecture: Architecture | VisCyArchitecture
    n_parameters: int
    input_channels: tuple[str, ...]
    output_channels: tuple[str, ...]
    normalization: Method | None
    normalization_source: str | None
    description: str
    pixel_size: tuple[float | None, float, float] | None = None
    supplied: tuple[tuple[str, bool | int | str], ...] = ()
    notes: tuple[str, ...] = ()
    statistics_over: Over | None = None

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return self.architecture.stride

    def require_libraries(self) -> None:
        """Raise a `UsageError` if libraries that the network runs through are not installed."""
        if not isinstance(self.architecture, Architecture):
            require_extra(f"{self.path}: its {self.architecture.name}", "train")

    def with_output_channels(self, names: tuple[str, ...]) -> "ModelSpec":
        """Return the description with other names of the predicted channels; ``UsageError`` if they do not fit."""
        count = self.architecture.out_channels
        if len(names) != count or len(set(names)) != count or not all(map(is_channel_name, names)):
            raise UsageError(
                f"--output-channels {' '.join(names)}: {self.path} predicts {count} channels "
                f"({', '.join(self.output_channels)}); give {count} different, printable names"
            )
        return replace(self, output_channels=names)

    def require_in_channels(self, count: int) -> None:
        """Raise a `DataError` unless the network has `count` input channels."""
        wanted = self.architecture.in_channels
        if wanted != count:
            names = f" ({', '.join(self.input_channels)})" if self.input_channels else ""
            msg = f"{self.path}: the network needs {wanted} channels{names}, not {count}; choose another checkpoint"
            raise DataError(msg)


def read_spec(path: Path, *, head_pool: bool | None = None) -> tuple[ModelSpec, StateDict]:
    """Read the description and the weights of a checkpoint, without importing VisCy.

    Parameters
    ----------
    path
        A Lightning checkpoint of VisCy's `VSUNet` or `FcmaeUNet`, or a plain state dict of the network.
    head_pool
        Whether the network's head pools, which weights do not show; None takes what hyper-parameters, sidecar or
        registry say.

    Returns
    -------
    ModelSpec
        Description of the checkpoint.
    dict
        Weights by their name in the network; memory mapped where possible.

    Raises
    ------
    DataError
        If the file cannot be read or would execute code, the network has another architecture, its
        weights are unusable, or the metadata are invalid.
    UsageError
        If it is unknown whether the head pools.
    """
    content = load_checkpoint(path)
    stored = extract_state_dict(path, content)
    network, state = select_network_weights(path, stored)
    config, checksum = model_config(content), sha256(path)
    metadata = read_metadata(path, content, checksum)
    own = in_file(config, metadata, u_net=network.startswith("Unet"))
    stated = outside_file(metadata) | own | ({} if head_pool is None else {"head_pool": head_pool})
    architecture = (
        infer_architecture(path, state, stated)
        if network == Architecture.name
        else infer_viscy_architecture(path, network, state, stated)
    )
    if architecture.stride > _MAX_STRIDE:
        msg = (
            f"{path}: images would be padded to multiples of {architecture.stride} pixels; "
            f"at most {_MAX_STRIDE} is supported"
        )
        raise DataError(msg)
    normalization, source = normalization_method(path, metadata)
    used = {key: getattr(architecture, key) for key in architecture.untold}
    notes = [*describe_copies(stored), *find_discrepancies(architecture.arguments(), config, architecture.untold)]
    if head_pool is not None and architecture.head_pool is None:
        notes.append("whether the head pools has no effect: the network's head has no such option")
    spec = ModelSpec(
        path=path,
        sha256=checksum,
        architecture=architecture,
        n_parameters=sum(weight.numel() for weight in state.values()),
        input_channels=channel_names(path, metadata, "input_channels", architecture.in_channels) or (),
        output_channels=channel_names(path, metadata, "output_channels", architecture.out_channels)
        or _default_output_channels(architecture.out_channels),
        normalization=normalization,
        normalization_source=source,
        description=str(metadata.get("description", ("", None))[0]),
        pixel_size=pixel_size(path, metadata),
        supplied=tuple((key, value) for key, value in used.items() if own.get(key) != value),
        notes=tuple(notes),
        statistics_over=statistics_over(path, metadata),
    )
    return spec, state


def build_network(spec: ModelSpec, state: StateDict) -> torch.nn.Module:
    """Build the network of a checkpoint for inference.

    Parameters
    ----------
    spec, state
        Results of `read_spec`.

    Returns
    -------
    torch.nn.Module
        Network (B, C_in, Z_in, Y, X) -> (B, C_out, Z_out, Y, X), with the stack depths of `spec.architecture`, and Y
        and X multiples of `spec.stride`; in evaluation mode, on the CPU, in float32 whatever the dtype of the
        checkpoint.

    Raises
    ------
    DataError
        If weights are missing, unexpected, or of another shape.
    UsageError
        If libraries that the network runs through are not installed.
    """
    spec.require_libraries()
    architecture = spec.architecture
    if isinstance(architecture, Architecture):
        with torch.device("meta"):  # allocates and initialises nothing
            network: torch.nn.Module = FCMAE(architecture)
    else:
        network = make_viscy_network(spec.path, architecture)
    expected = network.state_dict()
    counters = {name: torch.zeros_like(value, device="cpu") for name, value in expected.items() if COUNTERS in name}
    shapes = {name: shape for name, shape in weight_shapes(expected).items() if name not in counters}
    require_shapes(spec.path, architecture.name, expected=shapes, found=weight_shapes(state))
    weights = {name: weight.to(torch.float32, copy=True) for name, weight in state.items()}
    network.load_state_dict(weights | counters, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def _default_output_channels(count: int) -> tuple[str, ...]:
    if count == 2:
        return ("Nuclei", "Membrane")
    return ("Prediction",) if count == 1 else tuple(f"Prediction_{i}" for i in range(count))
