"""Load VisCy checkpoints: read their metadata and build their networks.

Supported is VisCy's 2D network (https://github.com/mehta-lab/VisCy; Liu et al., "Robust virtual staining of
landmark organelles with Cytoland", Nature Machine Intelligence, 2025): `FullyConvolutionalMAE`, also called
"UNeXt2_2D" and "fcmae". It runs as `fcmae.FCMAE`, so that VisCy is not imported.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from image_translation.data.lookup import checkpoint_facts
from image_translation.errors import DataError
from image_translation.files import read_text
from image_translation.network.architecture import (
    Architecture,
    describe_copies,
    find_discrepancies,
    infer_architecture,
    model_config,
    require_shapes,
    select_network_weights,
    weight_shapes,
)
from image_translation.network.checkpoint import StateDict, extract_state_dict, load_checkpoint, sha256
from image_translation.network.fcmae import FCMAE
from image_translation.normalize import METHODS, Method

METADATA_KEY = "image_translation"
METADATA_FORMAT = 1
_MAX_STRIDE = 1024  # pixels; VisCy's own networks have 16 to 64
_MAX_NAME_LENGTH = 80  # characters of a channel name


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
    notes
        Warnings about assumptions and contradictions, one line each.
    """

    path: Path
    sha256: str
    architecture: Architecture
    n_parameters: int
    input_channels: tuple[str, ...]
    output_channels: tuple[str, ...]
    normalization: Method | None
    normalization_source: str | None
    description: str
    notes: tuple[str, ...] = ()

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return self.architecture.stride

    def require_in_channels(self, count: int) -> None:
        """Raise a `DataError` unless the network has `count` input channels."""
        wanted = self.architecture.in_channels
        if wanted != count:
            names = f" ({', '.join(self.input_channels)})" if self.input_channels else ""
            msg = f"{self.path}: the network needs {wanted} channels{names}, not {count}; choose another checkpoint"
            raise DataError(msg)


def read_spec(path: Path) -> tuple[ModelSpec, StateDict]:
    """Read the description and the weights of a checkpoint, without importing VisCy.

    Parameters
    ----------
    path
        A Lightning checkpoint of VisCy's `VSUNet` or `FcmaeUNet`, or a plain state dict of the network.

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
    """
    content = load_checkpoint(path)
    stored = extract_state_dict(path, content)
    state = select_network_weights(path, stored)
    config = model_config(content)
    architecture = infer_architecture(path, state, config)
    if architecture.stride > _MAX_STRIDE:
        msg = (
            f"{path}: images would be padded to multiples of {architecture.stride} pixels; "
            f"at most {_MAX_STRIDE} is supported"
        )
        raise DataError(msg)
    checksum = sha256(path)
    metadata = dict(_merged_metadata(path, content, checksum))
    normalization, source = metadata.get("normalization", (None, None))
    spec = ModelSpec(
        path=path,
        sha256=checksum,
        architecture=architecture,
        n_parameters=sum(weight.numel() for weight in state.values()),
        input_channels=_channel_names(path, metadata, "input_channels", architecture.in_channels) or (),
        output_channels=_channel_names(path, metadata, "output_channels", architecture.out_channels)
        or _default_output_channels(architecture.out_channels),
        normalization=_normalization_method(path, normalization),
        normalization_source=source,
        description=str(metadata.get("description", ("", None))[0]),
        notes=(*describe_copies(stored), *find_discrepancies(architecture, config)),
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
    """
    with torch.device("meta"):  # allocates and initialises nothing
        network = FCMAE(spec.architecture)
    require_shapes(spec.path, expected=weight_shapes(network.state_dict()), found=weight_shapes(state))
    network.load_state_dict({name: weight.to(torch.float32, copy=True) for name, weight in state.items()}, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def _merged_metadata(path: Path, content: Mapping[str, Any], checksum: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield each key of the metadata with its value and source, the source of highest priority last."""
    published = checkpoint_facts(checksum)
    sources = {
        "registry": asdict(published) if published else {},
        "sidecar": _sidecar(path),
        "checkpoint": content.get(METADATA_KEY, {}),
    }
    for source, metadata in sources.items():
        if not isinstance(metadata, Mapping) or metadata.get("format", METADATA_FORMAT) != METADATA_FORMAT:
            msg = f"{path}: the metadata of the {source} are not in format {METADATA_FORMAT}, the only one supported"
            raise DataError(msg)
        yield from ((str(key), (value, source)) for key, value in metadata.items() if value is not None)


def _sidecar(path: Path) -> Any:
    sidecar = path.with_name(path.name + ".json")
    try:
        return json.loads(read_text(sidecar))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        msg = f"{sidecar}: cannot be read as JSON: {error}"
        raise DataError(msg) from error


def _normalization_method(path: Path, value: Any) -> Method | None:
    if value is not None and value not in METHODS:
        msg = f"{path}: the metadata give the normalization {value!r}; allowed are {', '.join(METHODS)}"
        raise DataError(msg)
    return cast("Method | None", value)


def _channel_names(path: Path, metadata: Mapping[str, Any], key: str, count: int) -> tuple[str, ...] | None:
    names = metadata.get(key, (None, None))[0]
    if names is None:
        return None
    if not isinstance(names, list | tuple) or len(names) != count or not all(isinstance(name, str) for name in names):
        msg = f"{path}: the metadata give {names!r:.200} as {key}; the network has {count}"
        raise DataError(msg)
    for name in names:
        if not (name.strip() and name.isprintable() and len(name) <= _MAX_NAME_LENGTH and names.count(name) == 1):
            msg = (
                f"{path}: the metadata give {name!r:.100} as one of the {key}; "
                f"names must differ, be printable, and have 1 to {_MAX_NAME_LENGTH} characters"
            )
            raise DataError(msg)
    return tuple(names)


def _default_output_channels(count: int) -> tuple[str, ...]:
    if count == 2:
        return ("Nuclei", "Membrane")
    return ("Prediction",) if count == 1 else tuple(f"Prediction_{i}" for i in range(count))
