"""Inference of the architecture from weights: any size of VisCy's 2D network, and errors for all others."""

from typing import Any

import pytest
import torch
from support.checkpoints import SMALL, Save, assert_refused, has_weights, random_weights

from image_translation.errors import DataError
from image_translation.network.loading import build_network, read_spec


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
def test_architecture_is_inferred_from_weight_shapes(
    network_class: Any, save: Save, config: dict[str, Any], prefix: str
) -> None:
    state = random_weights(network_class, config, prefix)
    spec, found = read_spec(save(state))
    for name, value in config.items():
        if name != "pretraining":
            assert getattr(spec.architecture, name) == (tuple(value) if isinstance(value, list) else value), name
    network = build_network(spec, found)
    assert has_weights(network, state, prefix)
    with torch.inference_mode():
        output = network(torch.zeros(1, config["in_channels"], 1, spec.stride, 2 * spec.stride))
    assert output.shape == (1, config["out_channels"], 1, spec.stride, 2 * spec.stride)


def test_weights_of_other_modules_are_ignored(network_class: Any, save: Save) -> None:
    state = random_weights(network_class, SMALL)
    spec, found = read_spec(save(state | {"loss_function.window": torch.ones(3)}))
    assert has_weights(build_network(spec, found), state)


def test_weight_shapes_override_hyper_parameters(network_class: Any, save: Save) -> None:
    path = save(random_weights(network_class, SMALL), hyper_parameters={"model_config": SMALL | {"dims": [96, 192]}})
    spec, _ = read_spec(path)
    assert spec.architecture.dims == (8, 16)
    assert spec.notes == ("the hyper-parameters say dims=[96, 192], the weights (8, 16); the weights are used",)


def test_pooling_of_the_head_is_read_from_the_hyper_parameters(network_class: Any, save: Save) -> None:
    config = SMALL | {"head_conv": True, "stem_kernel_size": [1, 4, 4], "head_conv_pool": False}
    state = random_weights(network_class, config)
    spec, found = read_spec(save(state, hyper_parameters={"model_config": config}))
    assert not spec.architecture.head_conv_pool
    assert not any("AvgPool" in type(module).__name__ for module in build_network(spec, found).modules())
    assert "head_conv_pool; VisCy's default, True, is assumed" in read_spec(save(state))[0].notes[0]


@pytest.mark.parametrize("hyper_parameters", [None, [], {"model_config": None}, {"architecture": "UNeXt2_2D"}])
def test_malformed_hyper_parameters_are_ignored(network_class: Any, save: Save, hyper_parameters: Any) -> None:
    spec, _ = read_spec(save(random_weights(network_class, SMALL), hyper_parameters=hyper_parameters))
    assert spec.architecture.dims == (8, 16)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.encoder_stages.stem_1.weight", "UNeXt2, which predicts 3D stacks"),
        ("model.down_conv_block_0.batch_norm_0.weight", "the 2D U-Net"),
        ("model.projection.0.weight", "contrastive"),
        ("conv.weight", r"unknown network \(first weight: conv.weight\)"),
    ],
)
def test_other_architectures_are_named_in_the_error(save: Save, name: str, message: str) -> None:
    assert_refused(save({name: torch.ones(2)}), message)


def test_the_2_5d_u_net_is_recognised(save: Save) -> None:
    state = {"model.down_conv_block_0.x": torch.ones(1), "model.skip_conv_layer_0.weight": torch.ones(1)}
    assert_refused(save(state), "2.5D U-Net")


@pytest.mark.parametrize("averaged", ["ema_model.", "model_averaged.module.", "swa."])
@pytest.mark.parametrize("first", [True, False])
def test_the_weights_of_the_network_are_preferred_to_averaged_ones(
    network_class: Any, save: Save, averaged: str, *, first: bool
) -> None:
    plain = random_weights(network_class, SMALL)
    copy = {name.replace("model.", averaged, 1): 2 * weight for name, weight in plain.items()}
    spec, state = read_spec(save(copy | plain if first else plain | copy))
    assert torch.equal(state["encoder.stem.conv3d.bias"], plain["model.encoder.stem.conv3d.bias"])
    assert spec.notes == (f"the checkpoint has 2 copies of the network: model.* is used, and not {averaged}*",)
    spec, _ = read_spec(save(copy))
    assert spec.notes == ()


@pytest.mark.parametrize("dtype", ["int8", "complex64", "bool"])
def test_weights_of_other_dtypes_are_refused(network_class: Any, save: Save, dtype: str) -> None:
    state = random_weights(network_class, SMALL)
    state["model.encoder.stem.norm.bias"] = state["model.encoder.stem.norm.bias"].to(getattr(torch, dtype))
    assert_refused(save(state), f"1 of 42 weights are {dtype}: encoder.stem.norm.bias; only float16")


def test_zero_weights_are_refused(network_class: Any, save: Save) -> None:
    state = {name: torch.zeros_like(weight) for name, weight in random_weights(network_class, SMALL).items()}
    assert_refused(save(state), "all weights are zero")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_are_refused(network_class: Any, save: Save, value: float) -> None:
    state = random_weights(network_class, SMALL)
    state["model.encoder.stem.norm.bias"][3] = value
    assert_refused(save(state), "1 of 42 weights are NaN or infinite: encoder.stem.norm.bias")


def test_missing_and_unexpected_weights_are_listed(network_class: Any, save: Save) -> None:
    state = random_weights(network_class, SMALL)
    del state["model.encoder.stem.norm.bias"]
    state["model.extra"] = torch.ones(1)
    state["model.encoder.stem.norm.weight"] = torch.ones(3)
    message = "missing: encoder.stem.norm.bias; unexpected: extra; of another shape: encoder.stem.norm.weight"
    with pytest.raises(DataError, match=message):
        build_network(*read_spec(save(state)))
    assert_refused(save({"model.encoder.stem.conv2d.weight": torch.ones(1)}), "incomplete weights")
