"""Damaged checkpoints."""

import argparse
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.checkpoints import SMALL_ARCHITECTURE

from fuzz.attempt import Rng, Try
from fuzz.damage import NAMES, OTHERS, damage_file, junk
from image_translation.network.fcmae import FCMAE
from image_translation.network.loading import build_network, read_spec

State = dict[str, Any]


def write_checkpoint(path: Path) -> State:
    """Write a checkpoint of a small random network; return its content."""
    torch.manual_seed(0)
    state = {f"model.{name}": weight + 0.01 for name, weight in FCMAE(SMALL_ARCHITECTURE).state_dict().items()}
    content = {
        "epoch": 1,
        "state_dict": state,
        "hyper_parameters": {"model_config": {"in_channels": 1, "dims": [8, 16], "head_conv_pool": True}},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "image_translation": {"format": 1, "normalization": "mean_std", "output_channels": ["Nuclei", "Membrane"]},
    }
    torch.save(content, path)
    return content


def checkpoint_tries(rng: Rng, checkpoint: Path, scratch: Path) -> Iterator[Try]:
    """Yield checkpoints with damaged bytes, with other content, and with damaged weights."""
    content = torch.load(checkpoint, weights_only=True)
    expected = _predict(checkpoint)
    path = scratch / "damaged.ckpt"
    while True:
        for old in scratch.glob("damaged.ckpt*"):
            old.rmdir() if old.is_dir() and not old.is_symlink() else old.unlink()
        kind = rng.integers(3)
        if kind == 0:
            path.write_bytes(checkpoint.read_bytes())
            what = damage_file(rng, path)
        else:
            damaged = dict(content) | {"state_dict": OrderedDict(content["state_dict"])}
            change = (_CONTENT, _WEIGHTS)[kind - 1]
            what = change[rng.integers(len(change))](rng, damaged)
            torch.save(damaged, path, _use_new_zipfile_serialization=bool(rng.random() < 0.8))
        # Weights that were changed may be those of another network; everything else is the same or refused.
        yield Try(what, lambda same=kind < 2: _check(path, expected if same else None))


def _predict(path: Path) -> torch.Tensor:
    network = build_network(*read_spec(path))
    with torch.inference_mode():
        return network(torch.linspace(-1, 1, 256).reshape(1, 1, 1, 16, 16))


def _check(path: Path, expected: torch.Tensor | None) -> None:
    prediction = _predict(path)
    if expected is not None:
        torch.testing.assert_close(prediction, expected, rtol=0, atol=0)


class _Object:
    """An object of a class that a training has and a reader has not."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def _fail() -> None:
    msg = "code of a checkpoint was executed"
    raise AssertionError(msg)


def _foreign(rng: Rng) -> Any:
    values: list[Callable[[], Any]] = [
        lambda: _Call(_fail), lambda: _Call(eval, "_"), lambda: _Object(3), lambda: argparse.Namespace(a=1),
        lambda: Path("x"), lambda: np.float64(1), lambda: np.zeros(3), lambda: np.dtype("f4"), lambda: {1, 2},
        lambda: frozenset({1}), lambda: range(3), lambda: slice(1), lambda: 1 + 2j, lambda: bytearray(b"x"),
        lambda: OrderedDict(a=1), lambda: torch.Size([1]), lambda: torch.float32, lambda: torch.device("cpu"),
    ]  # fmt: skip
    return values[rng.integers(len(values))]()


def _foreign_value(rng: Rng, content: State) -> str:
    key = ("epoch", "hyper_parameters", "callbacks", "loops")[rng.integers(4)]
    content[key] = _foreign(rng)
    return f"{key} is a {type(content[key]).__name__}"


def _junk_value(rng: Rng, content: State) -> str:
    key = ("epoch", "hyper_parameters", "optimizer_states")[rng.integers(3)]
    content[key] = junk(rng)
    return f"{key} = {content[key]!r:.30}"


def _config(rng: Rng, content: State) -> str:
    key = ("in_channels", "dims", "encoder_blocks", "head_conv_pool", "stem_kernel_size")[rng.integers(5)]
    value = junk(rng)
    content["hyper_parameters"] = {"model_config": {key: value}}
    return f"model_config {key} = {value!r:.30}"


def _metadata(rng: Rng, content: State) -> str:
    key = ("format", "normalization", "output_channels", "input_channels", "description")[rng.integers(5)]
    value = junk(rng)
    content["image_translation"] = content["image_translation"] | {key: value}
    return f"metadata {key} = {value!r:.30}"


def _wrap(rng: Rng, content: State) -> str:
    key = ("model", "model_state_dict", "network", "ema", "weights")[rng.integers(5)]
    content[key] = content.pop("state_dict")
    return f"weights under {key}"


def _extra(rng: Rng, content: State) -> str:
    name = (*NAMES, "model._extra_state", "loss.weight", "model.encoder._extra_state")[rng.integers(len(NAMES) + 3)]
    content["state_dict"][name] = (torch.ones(1), None, *OTHERS)[rng.integers(len(OTHERS) + 2)]
    return f"further entry {name!r:.30}"


def _prefix(rng: Rng, content: State) -> str:
    prefix = ("_orig_mod.", "module.", "net.model.", "model.", "", "a._orig_mod.b.")[rng.integers(6)]
    content["state_dict"] = {
        f"{prefix}{name.removeprefix('model.')}": weight for name, weight in content["state_dict"].items()
    }
    return f"prefix {prefix!r}"


def _tensor(rng: Rng, content: State) -> str:
    state = content["state_dict"]
    name = list(state)[rng.integers(len(state))]
    weight = state[name]
    forms: dict[str, Callable[[], Any]] = {
        "sparse": weight.to_sparse,
        "meta": lambda: weight.to("meta"),
        "NaN": lambda: weight * torch.nan,
        "infinite": lambda: weight / 0,
        "large": lambda: weight * 1e38,
        "expanded": lambda: torch.zeros(1).expand(weight.shape),
        "huge": lambda: torch.ones(1).expand(2**20, 2**20),
        "scalar": weight.sum,
        "empty": lambda: weight[:0],
        "reshaped": lambda: weight.reshape(-1),
        "transposed": lambda: weight.T if weight.ndim == 2 else weight.flip(0),
        "half": weight.half,
        "double": weight.double,
        "int8": lambda: weight.to(torch.int8),
        "float8": lambda: weight.to(torch.float8_e4m3fn),
        "complex": lambda: weight.to(torch.complex64),
        "parameter": lambda: torch.nn.Parameter(weight),
        "list": weight.tolist,
        "NumPy": weight.numpy,
    }
    form = list(forms)[rng.integers(len(forms))]
    state[name] = forms[form]()
    return f"{name} {form}"


def _renamed(rng: Rng, content: State) -> str:
    state = content["state_dict"]
    name = list(state)[rng.integers(len(state))]
    other = NAMES[rng.integers(len(NAMES))] if rng.random() < 0.5 else name.replace("0", str(rng.integers(1, 10**6)))
    state[other] = state.pop(name)
    return f"{name} renamed {other!r:.40}"


def _removed(rng: Rng, content: State) -> str:
    state = content["state_dict"]
    names = [name for name in state if rng.random() < 0.1] or [next(iter(state))]
    for name in names:
        del state[name]
    return f"{len(names)} weights removed"


Change = Callable[[Rng, State], str]
_CONTENT: tuple[Change, ...] = (_foreign_value, _junk_value, _config, _metadata, _wrap, _extra, _prefix)
_WEIGHTS: tuple[Change, ...] = (_tensor, _renamed, _removed)
