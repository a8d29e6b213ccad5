"""What is stated about a checkpoint: in the file itself, in a sidecar beside it, or in the registry.

A sidecar is a JSON file named like the checkpoint with ``.json`` appended. The file itself takes precedence over the
sidecar, and the sidecar over the registry.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from image_translation.data.lookup import checkpoint_facts
from image_translation.errors import DataError
from image_translation.files import read_text
from image_translation.normalize import METHODS, OVER, Method, Over

METADATA_KEY = "image_translation"
METADATA_FORMAT = 1
CHECKPOINT = "checkpoint"
UNTOLD = {"head_pool": "head_conv_pool", "residual": "residual", "task": "task", "out_stack_depth": "out_stack_depth"}
"""Hyper-parameters that weights may not tell, by their name in metadata; another name that VisCy has for them."""

_U_NET_DEFAULTS = {"residual": False, "task": "seg", "out_stack_depth": 1}
"""Of VisCy's U-Nets, which are built with stored hyper-parameters: what these leave out has its default."""

_MAX_NAME_LENGTH = 80  # characters of a channel name

Metadata = Mapping[str, tuple[Any, str]]
"""Each key with its value and the source of the value: "checkpoint", "sidecar" or "registry"."""


def read_metadata(path: Path, content: Mapping[str, Any], checksum: str) -> Metadata:
    """Read the metadata of a checkpoint.

    Parameters
    ----------
    path
        Path of the checkpoint.
    content
        What the file holds.
    checksum
        SHA-256 checksum of the file, by which the registry knows it.

    Raises
    ------
    DataError
        If the sidecar cannot be read, or the metadata have another format.
    """
    published = checkpoint_facts(checksum)
    sources = {
        "registry": asdict(published) if published else {},
        "sidecar": _sidecar(path),
        CHECKPOINT: content.get(METADATA_KEY, {}),
    }
    found: dict[str, tuple[Any, str]] = {}
    for source, metadata in sources.items():
        if not isinstance(metadata, Mapping) or metadata.get("format", METADATA_FORMAT) != METADATA_FORMAT:
            msg = f"{path}: the metadata of the {source} are not in format {METADATA_FORMAT}, the only one supported"
            raise DataError(msg)
        found |= {str(key): (value, source) for key, value in metadata.items() if value is not None}
    return found


def model_config(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hyper-parameters of the network from a Lightning checkpoint; empty if there are none."""
    hyper_parameters = content.get("hyper_parameters")
    config = hyper_parameters.get("model_config") if isinstance(hyper_parameters, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def in_file(config: Mapping[str, Any], metadata: Metadata, *, u_net: bool) -> dict[str, Any]:
    """Return the hyper-parameters of `UNTOLD` that the file itself states.

    Parameters
    ----------
    config
        Hyper-parameters from `model_config`.
    metadata
        From `read_metadata`.
    u_net
        Whether the network is one of VisCy's U-Nets.
    """
    defaults = _U_NET_DEFAULTS if u_net and config else {}
    own = {key: value for key, (value, source) in metadata.items() if key in UNTOLD and source == CHECKPOINT}
    stored = {key: config.get(key, config.get(other)) for key, other in UNTOLD.items()}
    return defaults | own | {key: value for key, value in stored.items() if value is not None}


def outside_file(metadata: Metadata) -> dict[str, Any]:
    """Return the hyper-parameters of `UNTOLD` that sidecar or registry state."""
    return {key: value for key, (value, source) in metadata.items() if key in UNTOLD and source != CHECKPOINT}


def find_discrepancies(
    arguments: Mapping[str, Any], config: Mapping[str, Any], untold: tuple[str, ...]
) -> Iterator[str]:
    """Yield a line for each stored hyper-parameter that is not the one used.

    Parameters
    ----------
    arguments
        Arguments of the network that is used.
    config
        Hyper-parameters from `model_config`.
    untold
        Names of those that the weights do not tell.
    """
    pools = {"head_pool", UNTOLD["head_pool"]}
    for name, value in arguments.items():
        stated = config.get(name)
        if stated is None or (isinstance(stated, list | tuple) and not stated):  # VisCy's default follows from others
            continue
        if isinstance(stated, list | tuple):
            stated = type(value)(stated) if isinstance(value, list | tuple) else stated
        if name == "backbone":
            stated = str(stated).split(".", 1)[0]  # timm appends what the weights were trained on
        if stated == value or (name in pools and "head_pool" not in untold):
            continue
        if name in pools:
            yield f"the hyper-parameters say {name}={config[name]}; {value} is used, as asked for"
        else:
            yield f"the hyper-parameters say {name}={config[name]}, the weights {value}; the weights are used"


def normalization_method(path: Path, metadata: Metadata) -> tuple[Method | None, str | None]:
    """Return the normalisation method and its source."""
    value, source = metadata.get("normalization", (None, None))
    if value is not None and value not in METHODS:
        msg = f"{path}: the metadata give the normalization {value!r}; allowed are {', '.join(METHODS)}"
        raise DataError(msg)
    return cast("Method | None", value), source


def statistics_over(path: Path, metadata: Metadata) -> Over | None:
    """Return what the statistics to normalise the input by are pooled over; None if unknown."""
    value = metadata.get("statistics_over", (None, None))[0]
    if value is not None and value not in OVER:
        msg = f"{path}: the metadata give statistics over {value!r}; allowed are {', '.join(OVER)}"
        raise DataError(msg)
    return cast("Over | None", value)


def pixel_size(path: Path, metadata: Metadata) -> tuple[float | None, float, float] | None:
    """Return the size of the pixels that the network was trained with, (Z, Y, X) in micrometres; None if unknown.

    Trainings of this package state ``pixel_size_um``, the size in y and x alone: the size in z is None then. Where
    ``pixel_size`` is stated, too, in the file or outside, it is used.
    """
    value = metadata.get("pixel_size", (None, None))[0]
    if value is None:
        side = metadata.get("pixel_size_um", (None, None))[0]
        if side is not None and not _is_size(side):
            msg = f"{path}: the metadata give {side!r:.100} as pixel_size_um; it must be a positive number"
            raise DataError(msg)
        return None if side is None else (None, float(side), float(side))
    sizes = list(value) if isinstance(value, list | tuple) else []
    if len(sizes) != 3 or not all(_is_size(one) for one in sizes[1:]) or not (sizes[0] is None or _is_size(sizes[0])):
        msg = (
            f"{path}: the metadata give {value!r:.100} as pixel_size; it must be three positive numbers, "
            "the size in z, y and x in micrometres; null for z if it is unknown"
        )
        raise DataError(msg)
    return None if sizes[0] is None else float(sizes[0]), float(sizes[1]), float(sizes[2])


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def channel_names(path: Path, metadata: Metadata, key: str, count: int) -> tuple[str, ...] | None:
    """Return the names of the `count` input or output channels; None if they are unknown."""
    names = metadata.get(key, (None, None))[0]
    if names is None:
        return None
    if not isinstance(names, list | tuple) or len(names) != count or not all(isinstance(name, str) for name in names):
        msg = f"{path}: the metadata give {names!r:.200} as {key}; the network has {count}"
        raise DataError(msg)
    for name in names:
        if not is_channel_name(name) or names.count(name) > 1:
            msg = (
                f"{path}: the metadata give {name!r:.100} as one of the {key}; "
                f"names must differ, be printable, and have 1 to {_MAX_NAME_LENGTH} characters"
            )
            raise DataError(msg)
    return tuple(names)


def is_channel_name(name: str) -> bool:
    """Return whether a channel may have a name."""
    return bool(name.strip()) and name.isprintable() and len(name) <= _MAX_NAME_LENGTH


def _sidecar(path: Path) -> Any:
    sidecar = path.with_name(path.name + ".json")
    try:
        return json.loads(read_text(sidecar))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        msg = f"{sidecar}: cannot be read as JSON: {error}"
        raise DataError(msg) from error
