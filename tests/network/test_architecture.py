"""Inference of the architecture from weights, of what weights cannot tell from elsewhere, and errors for the rest."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support.checkpoints import SMALL, Save, assert_one_line, assert_refused, has_weights, random_weights

from image_translation.errors import DataError, UsageError
from image_translation.network import metadata
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
        SMALL | {"in_stack_depth": 15, "stem_kernel_size": [5, 4, 4], "dims": [24, 48]},
    ],
)
@pytest.mark.parametrize("prefix", ["model.", "", "model._orig_mod."])
def test_architecture_is_inferred_from_weight_shapes(
    network_class: Any, save: Save, config: dict[str, Any], prefix: str
) -> None:
    state = random_weights(network_class, config, prefix)
    spec, found = read_spec(save(state), head_pool=True if "head_conv" in config else None)
    for name, value in config.items():
        if name != "pretraining":
            assert getattr(spec.architecture, name) == (tuple(value) if isinstance(value, list) else value), name
    network = build_network(spec, found)
    assert has_weights(network, state, prefix)
    with torch.inference_mode():
        output = network(torch.zeros(1, config["in_channels"], config["in_stack_depth"], spec.stride, 2 * spec.stride))
    assert output.shape == (1, config["out_channels"], config["in_stack_depth"], spec.stride, 2 * spec.stride)
    assert spec.supplied == ((("head_pool", True),) if "head_conv" in config else ())


def test_weights_of_other_modules_are_ignored(network_class: Any, save: Save) -> None:
    state = random_weights(network_class, SMALL)
    spec, found = read_spec(save(state | {"loss_function.window": torch.ones(3)}))
    assert has_weights(build_network(spec, found), state)


def test_weight_shapes_override_hyper_parameters(network_class: Any, save: Save) -> None:
    path = save(random_weights(network_class, SMALL), hyper_parameters={"model_config": SMALL | {"dims": [96, 192]}})
    spec, _ = read_spec(path)
    assert spec.architecture.dims == (8, 16)
    assert spec.notes == ("the hyper-parameters say dims=[96, 192], the weights (8, 16); the weights are used",)


CONV_HEAD = SMALL | {"head_conv": True, "stem_kernel_size": [1, 4, 4], "dims": [16, 32]}


@pytest.fixture
def conv_head(network_class: Any) -> dict[str, Any]:
    return random_weights(network_class, CONV_HEAD)


def test_pooling_of_the_head_is_asked_for_where_nothing_tells_it(conv_head: dict[str, Any], save: Save) -> None:
    path = save(conv_head)
    with pytest.raises(UsageError, match=r"not known whether the network's head pools.*--head-pool yes or") as caught:
        read_spec(path)
    assert_one_line(caught.value, path)
    with pytest.raises(UsageError, match="--head-pool"):  # defaults of VisCy may have changed since
        read_spec(save(conv_head, hyper_parameters={"model_config": CONV_HEAD}))


@pytest.mark.parametrize("pool", [True, False])
def test_pooling_of_the_head_comes_from_caller_file_sidecar_or_registry(
    conv_head: dict[str, Any], save: Save, monkeypatch: pytest.MonkeyPatch, *, pool: bool
) -> None:
    stored = {"hyper_parameters": {"model_config": CONV_HEAD | {"head_conv_pool": pool}}}
    spec, _ = read_spec(save(conv_head, **stored))
    assert spec.architecture.head_pool is pool
    assert spec.supplied == spec.notes == ()
    spec, _ = read_spec(save(conv_head, image_translation={"format": 1, "head_pool": pool}))
    assert (spec.architecture.head_pool, spec.supplied) == (pool, ())

    spec, _ = read_spec(save(conv_head, **stored), head_pool=pool)
    assert (spec.architecture.head_pool, spec.supplied, spec.notes) == (pool, (), ())
    spec, _ = read_spec(save(conv_head, **stored), head_pool=not pool)  # the caller wins
    assert (spec.architecture.head_pool, spec.supplied) == (not pool, (("head_pool", not pool),))
    assert spec.notes == (f"the hyper-parameters say head_conv_pool={pool}; {not pool} is used, as asked for",)

    @dataclass(frozen=True)
    class Published:
        head_pool: bool

    path = save(conv_head)
    monkeypatch.setattr(metadata, "checkpoint_facts", lambda _: Published(pool))
    spec, _ = read_spec(path)
    assert (spec.architecture.head_pool, spec.supplied) == (pool, (("head_pool", pool),))
    path.with_name("net.ckpt.json").write_text(json.dumps({"head_pool": not pool}), encoding="utf-8")
    spec, _ = read_spec(path)  # before the registry
    assert (spec.architecture.head_pool, spec.supplied) == (not pool, (("head_pool", not pool),))
    spec, _ = read_spec(save(conv_head, **stored))  # after the file
    assert (spec.architecture.head_pool, spec.supplied) == (pool, ())


def test_the_pooling_of_the_head_changes_the_prediction(conv_head: dict[str, Any], save: Save) -> None:
    path = save(conv_head)
    image = torch.rand(1, 1, 1, 16, 16)
    with torch.inference_mode():
        with_pool, without = (build_network(*read_spec(path, head_pool=pool))(image) for pool in (True, False))
    assert not torch.allclose(with_pool, without, atol=1e-3)


def test_a_pooling_without_meaning_is_noted(network_class: Any, save: Save) -> None:
    path = save(random_weights(network_class, SMALL), hyper_parameters={"model_config": {"head_conv_pool": False}})
    assert read_spec(path)[0].notes == ()
    spec, _ = read_spec(path, head_pool=True)
    assert spec.notes == ("whether the head pools has no effect: the network's head has no such option",)
    assert spec.architecture.head_pool is None
    assert spec.supplied == ()


@pytest.mark.parametrize("value", ["yes", 1, [True]])
def test_a_pooling_of_the_head_that_is_no_boolean_is_refused(
    conv_head: dict[str, Any], save: Save, value: object
) -> None:
    path = save(conv_head)
    path.with_name("net.ckpt.json").write_text(json.dumps({"head_pool": value}), encoding="utf-8")
    assert_refused(path, "as head_pool; it must be true or false")


@pytest.mark.parametrize("hyper_parameters", [None, [], {"model_config": None}, {"architecture": "UNeXt2_2D"}])
def test_malformed_hyper_parameters_are_ignored(network_class: Any, save: Save, hyper_parameters: Any) -> None:
    spec, _ = read_spec(save(random_weights(network_class, SMALL), hyper_parameters=hyper_parameters))
    assert spec.architecture.dims == (8, 16)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.projection.0.weight", "contrastive"),
        ("conv.weight", r"unknown network \(first weight: conv.weight\); supported are VisCy's FullyConv.*, Unet2d"),
        ("model.encoder_stages.stages_0.blocks.0.conv_dw.weight", r"a UNeXt2 whose encoder has \(1,\) blocks"),
        ("model.down_conv_block_0.Conv3d_0.weight", "incomplete weights of a Unet25d network"),
        ("model.down_conv_block_0.Conv2d_0.weight", "incomplete weights of a Unet2d network"),
    ],
)
def test_other_and_incomplete_networks_are_named_in_the_error(save: Save, name: str, message: str) -> None:
    assert_refused(save({name: torch.ones(2)}), message)


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
