"""From a VisCy checkpoint to a network and a description of it.

The networks are the 2D ones of VisCy (https://github.com/mehta-lab/VisCy; Liu et al., "Robust virtual staining of
landmark organelles with Cytoland", Nature Machine Intelligence, 2025): `FullyConvolutionalMAE`, also called
"UNeXt2_2D" and "fcmae". They run as `fcmae.Network`, so that VisCy need not be imported.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from image_translation.data.lookup import checkpoint_facts
from image_translation.errors import DataError
from image_translation.network import architecture as architectures
from image_translation.network import checkpoint as checkpoints
from image_translation.network.architecture import Architecture
from image_translation.network.checkpoint import StateDict
from image_translation.network.fcmae import Network
from image_translation.normalize import METHODS, Method

METADATA_KEY = "image_translation"
METADATA_FORMAT = 1
LONGEST_NAME = 80  # characters of a channel's name


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a checkpoint without building its network.

    Attributes
    ----------
    path, sha256
        The file and its sum in hexadecimal.
    architecture
        Enough to build the network.
    n_parameters
        Number of weights.
    input_channels
        Names of the channels that the network was trained on; empty if unknown.
    output_channels
        Names of the channels that it predicts.
    normalization, normalization_source
        Method, and where it was found ("checkpoint", "sidecar" or "registry"); None if unknown.
    description
        One line for people; may be empty.
    notes
        Lines worth a warning: what had to be assumed.
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
        """Number of pixels of which height and width must be a multiple."""
        return self.architecture.stride

    def require_in_channels(self, count: int) -> None:
        """Raise `DataError` unless the network takes `count` channels."""
        wanted = self.architecture.in_channels
        if wanted != count:
            names = f" ({', '.join(self.input_channels)})" if self.input_channels else ""
            msg = (
                f"{self.path}: the network needs {wanted} channels{names}, but gets {count}; choose another checkpoint"
            )
            raise DataError(msg)


def read_spec(path: Path) -> tuple[ModelSpec, StateDict]:
    """Read a checkpoint and find out what it is, without importing VisCy.

    Parameters
    ----------
    path
        A Lightning checkpoint of VisCy's `VSUNet` or `FcmaeUNet`, or a plain state dict of the network.

    Returns
    -------
    ModelSpec
        The description.
    dict
        The weights, by the names that the network gives them; memory mapped where possible.

    Raises
    ------
    DataError
        The file cannot be read or would execute code; the network is of another architecture or takes stacks; a
        weight is not finite; or what the file says of itself makes no sense.
    """
    content = checkpoints.load(path)
    state = architectures.network_weights(path, checkpoints.state_dict(path, content))
    config = architectures.model_config(content)
    architecture = architectures.infer(path, state, config)
    if architecture.in_stack_depth > 1:
        msg = (
            f"{path}: the network needs stacks of {architecture.in_stack_depth} planes; this tool stains single planes"
        )
        raise DataError(msg)
    digest = checkpoints.sha256(path)
    described = dict(_described(path, content, digest))
    normalization, source = described.get("normalization", (None, None))
    spec = ModelSpec(
        path=path,
        sha256=digest,
        architecture=architecture,
        n_parameters=sum(weight.numel() for weight in state.values()),
        input_channels=_channel_names(path, described, "input_channels", architecture.in_channels) or (),
        output_channels=_channel_names(path, described, "output_channels", architecture.out_channels)
        or _default_outputs(architecture.out_channels),
        normalization=_method(path, normalization),
        normalization_source=source,
        description=str(described.get("description", ("", None))[0]),
        notes=tuple(architectures.doubts(architecture, config)),
    )
    return spec, state


def build(spec: ModelSpec, state: StateDict) -> torch.nn.Module:
    """Build the network of a checkpoint, ready for inference.

    Parameters
    ----------
    spec, state
        As `read_spec` returns them.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, float32 whatever the checkpoint holds:
        (B, C_in, 1, Y, X) -> (B, C_out, 1, Y, X), with Y and X multiples of `spec.stride`.

    Raises
    ------
    DataError
        Weights are missing, unexpected, or of another shape.
    """
    with torch.device("meta"):  # no memory, and no initial values that would be thrown away
        network = Network(spec.architecture)
    architectures.compare(
        spec.path, wanted=architectures.shapes_of(network.state_dict()), found=architectures.shapes_of(state)
    )
    network.load_state_dict({name: weight.to(torch.float32, copy=True) for name, weight in state.items()}, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def _described(path: Path, content: Mapping[str, Any], digest: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield each key of the metadata with its value and source, the most trusted source last."""
    facts = checkpoint_facts(digest)
    sources = {
        "registry": asdict(facts) if facts else {},
        "sidecar": _sidecar(path),
        "checkpoint": content.get(METADATA_KEY, {}),
    }
    for source, metadata in sources.items():
        if not isinstance(metadata, Mapping) or metadata.get("format", METADATA_FORMAT) != METADATA_FORMAT:
            msg = f"{path}: the metadata of the {source} are not in format {METADATA_FORMAT}, which this version reads"
            raise DataError(msg)
        yield from ((str(key), (value, source)) for key, value in metadata.items() if value is not None)


def _sidecar(path: Path) -> Any:
    sidecar = path.with_name(path.name + ".json")
    try:
        return json.loads(sidecar.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        msg = f"{sidecar}: cannot be read as JSON: {error}"
        raise DataError(msg) from error


def _method(path: Path, value: Any) -> Method | None:
    if value is not None and value not in METHODS:
        msg = f"{path}: its metadata ask for the normalization {value!r}; known are {', '.join(METHODS)}"
        raise DataError(msg)
    return cast("Method | None", value)


def _channel_names(path: Path, described: Mapping[str, Any], key: str, count: int) -> tuple[str, ...] | None:
    names = described.get(key, (None, None))[0]
    if names is None:
        return None
    if not isinstance(names, list | tuple) or len(names) != count or not all(isinstance(name, str) for name in names):
        msg = f"{path}: its metadata give {names!r:.200} as {key}; the network has {count}"
        raise DataError(msg)
    for name in names:
        if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME and names.count(name) == 1):
            msg = (
                f"{path}: its metadata give {name!r:.100} as one of its {key}; "
                f"names must differ, and be printable and of 1 to {LONGEST_NAME} characters"
            )
            raise DataError(msg)
    return tuple(names)


def _default_outputs(count: int) -> tuple[str, ...]:
    if count == 2:
        return ("Nuclei", "Membrane")
    return ("Prediction",) if count == 1 else tuple(f"Prediction_{i}" for i in range(count))
