import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import published
import pytest
import torch

from image_translation.errors import DataError
from image_translation.network import loading
from image_translation.network.architecture import Architecture
from image_translation.network.loading import ModelSpec, build, read_spec

VSCYTO2D = {
    "in_channels": 1,
    "out_channels": 2,
    "encoder_blocks": [3, 3, 9, 3],
    "dims": [96, 192, 384, 768],
    "decoder_conv_blocks": 2,
    "stem_kernel_size": [1, 2, 2],
    "in_stack_depth": 1,
    "pretraining": False,
}
SMALL = VSCYTO2D | {"encoder_blocks": [1, 1], "dims": [8, 16], "decoder_conv_blocks": 1}
Save = Callable[..., Path]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def weights(network_class: Any, config: dict[str, Any], prefix: str = "model.") -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": weight for name, weight in network_class(**config).state_dict().items()}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a checkpoint as Lightning does, with the given further keys."""

    def write(state: dict[str, torch.Tensor], **further: Any) -> Path:
        content = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {}}
        path = tmp_path / "net.ckpt"
        torch.save(content | {"callbacks": {}, "optimizer_states": [{"state": {}, "param_groups": []}]} | further, path)
        return path

    return write


def same(network: torch.nn.Module, state: dict[str, torch.Tensor], prefix: str = "model.") -> bool:
    own = network.state_dict()
    return set(state) == {prefix + name for name in own} and all(
        torch.equal(own[name.removeprefix(prefix)], weight.float()) for name, weight in state.items()
    )


@pytest.mark.parametrize("stated", [False, True])
def test_vscyto2d_round_trip(network_class: Any, save: Save, stated: bool) -> None:
    with torch.random.fork_rng():
        state = weights(network_class, VSCYTO2D)
    hyper_parameters = {"architecture": "UNeXt2_2D", "model_config": VSCYTO2D, "lr": 1e-3}
    spec, found = read_spec(save(state, **({"hyper_parameters": hyper_parameters} if stated else {})))
    assert spec.architecture == Architecture(
        in_channels=1,
        out_channels=2,
        encoder_blocks=(3, 3, 9, 3),
        dims=(96, 192, 384, 768),
        decoder_conv_blocks=2,
        stem_kernel_size=(1, 2, 2),
        in_stack_depth=1,
    )
    assert (spec.stride, spec.output_channels, spec.normalization, spec.notes) == (16, ("Nuclei", "Membrane"), None, ())
    assert spec.n_parameters == sum(weight.numel() for weight in state.values())
    network = build(spec, found)
    assert same(network, state)
    assert not network.training
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 1, 16, 32)).shape == (1, 2, 1, 16, 32)


@pytest.mark.parametrize(
    "config",
    [
        SMALL | {"encoder_blocks": [2, 1, 3], "dims": [8, 16, 32], "decoder_conv_blocks": 2},
        SMALL | {"encoder_blocks": [3, 2], "dims": [12, 24]},
        SMALL | {"in_channels": 2, "out_channels": 1},
        SMALL | {"out_channels": 3, "stem_kernel_size": [1, 4, 4], "dims": [16, 32]},
        SMALL | {"head_conv": True, "stem_kernel_size": [1, 4, 4], "dims": [16, 32]},
        SMALL | {"head_conv": True, "head_conv_expansion_ratio": 2, "stem_kernel_size": [1, 4, 4], "in_channels": 2},
    ],
)
@pytest.mark.parametrize("prefix", ["model.", "", "model._orig_mod."])
def test_any_shape_is_inferred(network_class: Any, save: Save, config: dict[str, Any], prefix: str) -> None:
    state = weights(network_class, config, prefix)
    spec, found = read_spec(save(state))
    for name, value in config.items():
        if name != "pretraining":
            assert getattr(spec.architecture, name) == (tuple(value) if isinstance(value, list) else value), name
    network = build(spec, found)
    assert same(network, state, prefix)
    with torch.inference_mode():
        output = network(torch.zeros(1, config["in_channels"], 1, spec.stride, 2 * spec.stride))
    assert output.shape == (1, config["out_channels"], 1, spec.stride, 2 * spec.stride)


def test_a_plain_state_dict_in_half_precision(network_class: Any, tmp_path: Path) -> None:
    state = {name: weight.half() for name, weight in weights(network_class, SMALL, "").items()}
    torch.save(state, tmp_path / "plain.pt")
    network = build(*read_spec(tmp_path / "plain.pt"))
    assert same(network, state, "")
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_the_former_file_format_is_read(network_class: Any, tmp_path: Path) -> None:
    state = weights(network_class, SMALL)
    torch.save({"state_dict": state}, tmp_path / "former.ckpt", _use_new_zipfile_serialization=False)
    assert same(build(*read_spec(tmp_path / "former.ckpt")), state)


def test_weights_of_other_modules_are_left_out(network_class: Any, save: Save) -> None:
    state = weights(network_class, SMALL)
    spec, found = read_spec(save(state | {"loss_function.window": torch.ones(3)}))
    assert same(build(spec, found), state)


def test_shapes_win_over_hyper_parameters(network_class: Any, save: Save) -> None:
    path = save(weights(network_class, SMALL), hyper_parameters={"model_config": SMALL | {"dims": [96, 192]}})
    spec, _ = read_spec(path)
    assert spec.architecture.dims == (8, 16)
    assert spec.notes == ("the hyper-parameters say dims=[96, 192], the weights (8, 16); the weights are followed",)


def test_hyper_parameters_tell_whether_the_head_pools(network_class: Any, save: Save) -> None:
    config = SMALL | {"head_conv": True, "stem_kernel_size": [1, 4, 4], "head_conv_pool": False}
    state = weights(network_class, config)
    spec, found = read_spec(save(state, hyper_parameters={"model_config": config}))
    assert not spec.architecture.head_conv_pool
    assert not any("AvgPool" in type(module).__name__ for module in build(spec, found).modules())
    assert "pooling, is assumed" in read_spec(save(state))[0].notes[0]


@pytest.mark.parametrize("hyper_parameters", [None, [], {"model_config": None}, {"architecture": "UNeXt2_2D"}])
def test_hyper_parameters_of_any_kind_are_tolerated(network_class: Any, save: Save, hyper_parameters: Any) -> None:
    spec, _ = read_spec(save(weights(network_class, SMALL), hyper_parameters=hyper_parameters))
    assert spec.architecture.dims == (8, 16)


def test_own_metadata(tiny_model: tuple[ModelSpec, Any], tiny_checkpoint: Path) -> None:
    spec, _ = tiny_model
    assert (spec.normalization, spec.normalization_source) == ("mean_std", "checkpoint")
    assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei", "Membrane"))
    assert (spec.description, spec.stride, spec.path) == ("a random network for tests", 4, tiny_checkpoint)


def test_sidecar_then_registry(network_class: Any, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(weights(network_class, SMALL))
    known = published.checkpoint(content=path.read_bytes()).with_entry(
        title="known", normalization="median_iqr", input_channels=["Phase3D"], output_channels=["A", "B"]
    )
    registry = published.write_registry(tmp_path / "own.toml", "https://example.org", [known])
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, str(registry))
    spec, _ = read_spec(path)
    assert (spec.normalization, spec.normalization_source, spec.description) == ("median_iqr", "registry", "known")
    Path(f"{path}.json").write_text(json.dumps({"normalization": "none", "output_channels": ["X", "Y"]}))
    spec, _ = read_spec(path)
    assert (spec.normalization, spec.normalization_source, spec.input_channels) == ("none", "sidecar", ("Phase3D",))
    assert spec.output_channels == ("X", "Y")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"normalization": "minmax"}, "'minmax'; known are median_iqr, mean_std, none"),
        ({"normalization": ["mean_std"]}, "known are median_iqr"),
        ({"output_channels": ["Nuclei"]}, "as output_channels; the network has 2"),
        ({"output_channels": ["A", 1]}, "as output_channels; the network has 2"),
        ({"output_channels": ["A", "A"]}, "'A' as one of its output_channels; names must differ"),
        ({"output_channels": ["A", ""]}, "'' as one of its output_channels"),
        ({"output_channels": ["A", "  "]}, "'  ' as one of its output_channels"),
        ({"output_channels": ["A", "B\nC"]}, r"'B\\nC' as one of its output_channels"),
        ({"output_channels": ["A", "B\x1b[0m"]}, r"'B\\x1b\[0m' as one of its output_channels"),
        ({"output_channels": ["A", 10**6 * "B"]}, "printable and of 1 to 80 characters"),
        ({"input_channels": "P"}, "as input_channels; the network has 1"),
        ({"format": 2}, "not in format 1"),
        ([], "not in format 1"),
    ],
)
def test_senseless_metadata(network_class: Any, save: Save, metadata: Any, message: str) -> None:
    path = save(weights(network_class, SMALL), image_translation=metadata)
    with pytest.raises(DataError, match=message) as caught:
        read_spec(path)
    assert_one_line(caught.value, path)


def test_broken_sidecar(network_class: Any, save: Save) -> None:
    path = save(weights(network_class, SMALL))
    Path(f"{path}.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_spec(path)


def test_output_names_by_number() -> None:
    assert [loading._default_outputs(count) for count in (1, 2, 3)] == [
        ("Prediction",),
        ("Nuclei", "Membrane"),
        ("Prediction_0", "Prediction_1", "Prediction_2"),
    ]


def test_number_of_input_channels(network_class: Any, save: Save, tiny_model: tuple[ModelSpec, Any]) -> None:
    tiny_model[0].require_in_channels(1)
    spec, _ = read_spec(save(weights(network_class, SMALL | {"in_channels": 2})))
    with pytest.raises(DataError, match="needs 2 channels, but gets 1"):
        spec.require_in_channels(1)


def assert_one_line(error: BaseException, path: Path) -> None:
    assert "\n" not in str(error)
    assert str(error).startswith(f"{path}: ")


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_spec(path)
    assert_one_line(caught.value, path)


def test_stacks_are_refused(network_class: Any, save: Save) -> None:
    config = SMALL | {"in_stack_depth": 5, "stem_kernel_size": [5, 4, 4]}
    refused(save(weights(network_class, config)), "stacks of 5 planes")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.encoder_stages.stem_1.weight", "UNeXt2, which stains 3D"),
        ("model.down_conv_block_0.batch_norm_0.weight", "the 2D U-Net"),
        ("model.projection.0.weight", "contrastive"),
        ("conv.weight", r"unknown network \(first weight: conv.weight\)"),
    ],
)
def test_other_architectures_are_named(save: Save, name: str, message: str) -> None:
    refused(save({name: torch.ones(2)}), message)


def test_two_and_a_half_dimensions(save: Save) -> None:
    state = {"model.down_conv_block_0.x": torch.ones(1), "model.skip_conv_layer_0.weight": torch.ones(1)}
    refused(save(state), "2.5D U-Net")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(network_class: Any, save: Save, value: float) -> None:
    state = weights(network_class, SMALL)
    state["model.encoder.stem.norm.bias"][3] = value
    refused(save(state), "1 of 42 weights are NaN or infinite: encoder.stem.norm.bias")


def test_missing_and_unexpected_weights(network_class: Any, save: Save) -> None:
    state = weights(network_class, SMALL)
    del state["model.encoder.stem.norm.bias"]
    state["model.extra"] = torch.ones(1)
    state["model.encoder.stem.norm.weight"] = torch.ones(3)
    message = "missing: encoder.stem.norm.bias; unexpected: extra; of another shape: encoder.stem.norm.weight"
    with pytest.raises(DataError, match=message):
        build(*read_spec(save(state)))
    refused(save({"model.encoder.stem.conv2d.weight": torch.ones(1)}), "incomplete weights")


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    refused(path, "No such file")
    refused(tmp_path, "Is a directory")
    path.touch()
    refused(path, "empty")
    path.write_bytes(b"just some text that is no checkpoint")
    refused(path, "not a PyTorch checkpoint")
    path.write_bytes(bytes(1000))
    refused(path, "not a PyTorch checkpoint")
    torch.save([torch.ones(1)], path)
    refused(path, "holds a list")
    torch.save({"epoch": 1, "weights": 2}, path)
    refused(path, "no state_dict of weights .found: epoch, weights")
    torch.save({"state_dict": {}}, path)
    refused(path, "no state_dict")


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.99])
def test_truncated(tiny_checkpoint: Path, tmp_path: Path, fraction: float) -> None:
    content = tiny_checkpoint.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(len(content) * fraction)])
    refused(path, "truncated or corrupt")


def test_one_flipped_bit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(content)
    refused(path, "truncated or corrupt")


@pytest.mark.parametrize("form", ["zip", "former", "pickle 2", "pickle 4"])
def test_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    content = {"state_dict": {"a": torch.ones(1)}, "hyper_parameters": Malicious()}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(Malicious(), protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    refused(path, r"would execute code \(posix.mkdir\).*never allowed.*save its weights alone")
    assert not Path("executed").exists()


def test_reading_imports_no_viscy(tiny_checkpoint: Path) -> None:
    code = (
        "import sys, pathlib; from image_translation.models import read_spec; read_spec(pathlib.Path(sys.argv[1]));"
        "print(sorted({'viscy', 'monai', 'timm', 'lightning'} & set(sys.modules)))"
    )
    run = [sys.executable, "-W", "error", "-c", code, str(tiny_checkpoint)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"
