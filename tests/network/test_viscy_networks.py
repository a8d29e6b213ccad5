"""VisCy's UNeXt2 and U-Nets: recognised by their weights, and built so that they predict what VisCy's do."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.checkpoints import Save, assert_one_line, assert_refused

from image_translation.errors import DataError, UsageError
from image_translation.network.features import FeatureExtractor
from image_translation.network.loading import build_network, read_spec
from image_translation.network.predictor import Predictor
from image_translation.network.viscy_networks import UNetArchitecture, UNeXt2Architecture

ATTO = UNeXt2Architecture(
    in_channels=1,
    out_channels=2,
    in_stack_depth=5,
    out_stack_depth=5,
    backbone="convnextv2_atto",
    stem_kernel_size=(5, 4, 4),
    decoder_conv_blocks=1,
    decoder_upsample_pre_conv=False,
    head_expansion_ratio=4,
    head_pool=True,
)
U_NET_25D = UNetArchitecture(
    name="Unet25d",
    in_channels=1,
    out_channels=2,
    in_stack_depth=5,
    out_stack_depth=1,
    dims=(4, 8, 12),
    block_layers=2,
    kernel_size=(3, 3),
    residual=True,
    task="reg",
)
U_NET_2D = UNetArchitecture(
    name="Unet2d",
    in_channels=2,
    out_channels=1,
    in_stack_depth=1,
    out_stack_depth=1,
    dims=(4, 8, 12, 16),
    block_layers=1,
    kernel_size=(3, 3),
    residual=False,
    task="reg",
)
CASES = {
    "unext2": ATTO,
    "unext2 without pooling": replace(ATTO, head_pool=False, in_stack_depth=10, head_expansion_ratio=2),
    "unext2, fewer planes out": replace(
        ATTO, in_channels=2, out_channels=1, out_stack_depth=1, backbone="convnextv2_femto", decoder_conv_blocks=2
    ),
    "unext2 with convolutions": replace(
        ATTO, decoder_upsample_pre_conv=True, stem_kernel_size=(3, 4, 4), in_stack_depth=6, out_stack_depth=4
    ),
    "2.5D": U_NET_25D,
    "2.5D, two planes out": replace(U_NET_25D, in_channels=2, out_stack_depth=2, residual=False, task="seg"),
    "2.5D, large kernel": replace(U_NET_25D, kernel_size=(5, 3), block_layers=1, in_stack_depth=3),
    "2D": U_NET_2D,
    "2D, segmentation": replace(U_NET_2D, residual=True, task="seg", block_layers=2, kernel_size=(5, 5)),
}
Case = UNeXt2Architecture | UNetArchitecture


def random_network(viscy_classes: dict[str, Any], architecture: Case) -> torch.nn.Module:
    """Return VisCy's own network with random weights, also where they are initially 0 or 1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: torch.nn.Module = viscy_classes[architecture.name](**architecture.arguments()).eval()
        for name, weight in network.state_dict().items():
            if weight.is_floating_point():
                weight.add_(0.1 * (torch.rand_like(weight) if "running" in name else torch.randn_like(weight)))
    return network


def untold(architecture: Case) -> dict[str, Any]:
    return {key: getattr(architecture, key) for key in architecture.untold}


def lightning(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {f"model.{name}": weight for name, weight in network.state_dict().items()}


def stack(architecture: Case, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (architecture.stride, 2 * architecture.stride)
    return torch.randn(1, architecture.in_channels, architecture.in_stack_depth, *size, generator=generator)


@pytest.mark.parametrize("architecture", CASES.values(), ids=CASES)
def test_weights_alone_give_the_network_of_viscy(viscy_classes: dict[str, Any], save: Save, architecture: Case) -> None:
    original = random_network(viscy_classes, architecture)
    path = save(lightning(original))
    path.with_name("net.ckpt.json").write_text(json.dumps(untold(architecture)), encoding="utf-8")
    spec, state = read_spec(path)
    assert spec.architecture == architecture
    assert dict(spec.supplied) == untold(architecture)
    assert spec.notes == ()
    network = build_network(spec, state)
    image = stack(architecture)
    with torch.inference_mode():
        expected = original(image)
        assert torch.equal(network(image), expected)
    depth, height, width = architecture.out_stack_depth, *image.shape[-2:]
    assert expected.shape == (1, architecture.out_channels, depth, height, width)


@pytest.mark.parametrize("architecture", CASES.values(), ids=CASES)
def test_hyper_parameters_tell_what_weights_do_not(
    viscy_classes: dict[str, Any], save: Save, architecture: Case
) -> None:
    state = lightning(random_network(viscy_classes, architecture))
    config = {name: list(one) if isinstance(one, tuple) else one for name, one in architecture.arguments().items()}
    spec, _ = read_spec(save(state, hyper_parameters={"architecture": "any", "model_config": config}))
    assert spec.architecture == architecture
    assert spec.supplied == spec.notes == ()


@pytest.mark.parametrize("architecture", CASES.values(), ids=CASES)
def test_the_stride_is_the_smallest_that_the_network_takes(viscy_classes: dict[str, Any], architecture: Case) -> None:
    network, stride = random_network(viscy_classes, architecture), architecture.stride
    image = stack(architecture)
    with torch.inference_mode():
        network(image)
        with pytest.raises(RuntimeError):
            network(image[..., : stride + stride // 2])


def test_hyper_parameters_that_contradict_the_weights_are_noted(viscy_classes: dict[str, Any], save: Save) -> None:
    state = lightning(random_network(viscy_classes, ATTO))
    config = {"backbone": "convnextv2_tiny", "head_pool": True, "out_stack_depth": None, "drop_path_rate": 0.1}
    spec, _ = read_spec(save(state, hyper_parameters={"model_config": config}))
    assert spec.architecture == ATTO
    assert spec.notes == (
        "the hyper-parameters say backbone=convnextv2_tiny, the weights convnextv2_atto; the weights are used",
    )
    config["backbone"] = "convnextv2_atto.fcmae_ft_in1k"  # timm's name with that of the pretrained weights
    assert read_spec(save(state, hyper_parameters={"model_config": config}))[0].notes == ()


def test_defaults_of_viscy_hold_for_u_nets_that_were_built_with_stored_hyper_parameters(
    viscy_classes: dict[str, Any], save: Save
) -> None:
    state = lightning(random_network(viscy_classes, replace(U_NET_25D, residual=False)))
    spec, _ = read_spec(save(state, hyper_parameters={"model_config": {"num_filters": [4, 8, 12], "num_blocks": 2}}))
    assert spec.architecture == replace(U_NET_25D, residual=False)
    assert spec.supplied == ()


def test_what_weights_do_not_tell_is_asked_for(viscy_classes: dict[str, Any], save: Save) -> None:
    path = save(lightning(random_network(viscy_classes, ATTO)))
    with pytest.raises(UsageError, match="--head-pool yes or --head-pool no") as caught:
        read_spec(path)
    assert_one_line(caught.value, path)
    assert read_spec(path, head_pool=False)[0].architecture == replace(ATTO, head_pool=False)

    path = save(lightning(random_network(viscy_classes, U_NET_25D)))
    sidecar = path.with_name("net.ckpt.json")
    assert_refused(path, r"does not store out_stack_depth of its Unet25d.*net\.ckpt\.json.*allowed are 1 to")
    sidecar.write_text('{"out_stack_depth": 1}', encoding="utf-8")
    assert_refused(path, "does not store residual of its Unet25d.*allowed are false or true")
    for value in ("0", "true", "1.5", '"1"'):
        sidecar.write_text(f'{{"out_stack_depth": {value}, "residual": false}}', encoding="utf-8")
        assert_refused(path, "out_stack_depth of the Unet25d is given as")

    sidecar.unlink()
    path = save(lightning(random_network(viscy_classes, U_NET_2D)))
    assert_refused(path, "does not store task of its Unet2d.*'reg' or 'seg'")


def test_networks_that_viscy_cannot_run_are_refused(viscy_classes: dict[str, Any], save: Save) -> None:
    network = random_network(viscy_classes, ATTO)
    state = lightning(network)
    del state["model.encoder_stages.stages_0.blocks.1.conv_dw.weight"]
    with pytest.raises(DataError, match=r"do not match VisCy's UNeXt2; missing: encoder_stages\.stages_0"):
        build_network(*read_spec(save(state), head_pool=True))
    shallow = {name: weight for name, weight in state.items() if "stages_0.blocks.1" not in name}
    assert_refused(save(shallow), r"encoder has \(1, 2, 6, 2\) blocks and \(40, 80, 160, 320\) channels; supported are")
    other_stem = state | {"model.stem.conv.weight": torch.ones(40, 1, 5, 2, 2)}
    assert_refused(save(other_stem), "a stem of 5 x 2 x 2 pixels.*supported are stems of 4 x 4 pixels")


def test_weights_that_viscy_makes_no_network_of_are_refused(viscy_classes: dict[str, Any], save: Save) -> None:
    state = lightning(random_network(viscy_classes, U_NET_2D))
    state["model.down_conv_block_0.Conv2d_0.weight"] = torch.ones(4, 2, 2, 2)
    config = {"num_filters": [4, 8, 12, 16], "task": "reg"}
    path = save(state, hyper_parameters={"model_config": config})
    with pytest.raises(DataError, match=r"VisCy cannot make the Unet2d.*odd") as caught:
        build_network(*read_spec(path))
    assert_one_line(caught.value, path)


PUBLISHED: dict[str, tuple[str, dict[str, Any], int]] = {
    "VSCyto3D": (
        "FullyConvolutionalMAE",
        {"stem_kernel_size": (5, 4, 4), "in_stack_depth": 15, "pretraining": False},
        32,
    ),
    "VSNeuromast": (
        "FullyConvolutionalMAE",
        {
            "stem_kernel_size": (7, 4, 4),
            "in_stack_depth": 21,
            "head_conv": True,
            "head_conv_expansion_ratio": 4,
            "head_conv_pool": False,
            "pretraining": False,
        },
        32,
    ),
    "the older VSCyto3D": (
        "UNeXt2",
        {"backbone": "convnextv2_tiny", "in_stack_depth": 5, "head_expansion_ratio": 4, "head_pool": True},
        32,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "config", "stride"), PUBLISHED.values(), ids=PUBLISHED)
@pytest.mark.parametrize("stated", [True, False])
def test_networks_of_the_published_shapes_predict_what_those_of_viscy_do(
    viscy_classes: dict[str, Any], save: Save, network: str, config: dict[str, Any], stride: int, *, stated: bool
) -> None:
    config = {"in_channels": 1, "out_channels": 2, "decoder_conv_blocks": 2} | config
    original = viscy_classes[network](**config).eval()
    hyper_parameters = {"hyper_parameters": {"model_config": config}} if stated else {}
    pool = config.get("head_pool", config.get("head_conv_pool"))
    spec, state = read_spec(save(lightning(original), **hyper_parameters), head_pool=None if stated else pool)
    assert spec.stride == stride
    assert spec.architecture.head_pool is pool
    assert spec.architecture.dims == (96, 192, 384, 768)
    depth = config["in_stack_depth"]
    assert spec.architecture.in_stack_depth == spec.architecture.out_stack_depth == depth
    image = torch.randn(1, 1, depth, stride, stride, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = original(image)
        difference = build_network(spec, state)(image) - expected
    assert difference.abs().max() < 1e-4 * expected.std()


STAGES = {
    "unext2": (
        *("stem", "encoder 1", "encoder 2", "encoder 3", "encoder 4"),
        *("decoder 1", "decoder 2", "decoder 3", "head"),
    ),
    "2.5D": ("encoder 1", "encoder 2", "bottom", "decoder 1", "decoder 2", "head"),
    "2D": ("encoder 1", "encoder 2", "encoder 3", "bottom", "decoder 1", "decoder 2", "decoder 3", "head"),
}


@pytest.mark.parametrize(("name", "stages"), STAGES.items())
def test_stages_have_features_in_the_plane(viscy_classes: dict[str, Any], name: str, stages: tuple[str, ...]) -> None:
    architecture = CASES[name]
    network, image = random_network(viscy_classes, architecture), stack(architecture)[0].numpy()
    image = image[:, 0] if architecture.in_stack_depth == 1 else image
    extractor = FeatureExtractor(network, architecture.stride, device="cpu")
    predicted, features, placements = extractor.extract(image)
    assert extractor.stages == tuple(features) == tuple(placements) == stages
    expected = Predictor(network, architecture.stride, device="cpu").predict([image])[0]
    np.testing.assert_array_equal(predicted, expected)
    middle = expected if architecture.in_stack_depth == 1 else expected[:, architecture.out_stack_depth // 2]
    np.testing.assert_array_equal(features["head"], middle)
    assert {array.ndim for array in features.values()} == {3}
    encoder = [features[stage] for stage in stages if stage.startswith(("encoder", "bottom"))]
    assert tuple(len(array) for array in encoder) == architecture.dims
    for stage in stages:
        assert features[stage].shape[1] * placements[stage].step == image.shape[-2]


def test_features_of_a_stage_with_planes_are_those_of_the_middle_one(viscy_classes: dict[str, Any]) -> None:
    network, image = random_network(viscy_classes, U_NET_25D), stack(U_NET_25D)
    _, features, _ = FeatureExtractor(network, U_NET_25D.stride, device="cpu").extract(image[0].numpy())
    with torch.inference_mode():
        planes = network.down_conv_block_0(image)[0]  # (C, Z, Y, X)
    np.testing.assert_array_equal(features["encoder 1"], planes[:, 2])
    assert not np.array_equal(planes[:, 2], planes[:, 1])


def test_viscy_is_imported_only_to_build_the_network_which_is_said(viscy_classes: dict[str, Any], save: Save) -> None:
    path = save(lightning(random_network(viscy_classes, ATTO)))
    script = (
        "import logging, pathlib, sys; logging.basicConfig(level=logging.INFO, format='%(message)s');"
        "from image_translation.network.loading import build_network, read_spec;"
        "spec, state = read_spec(pathlib.Path(sys.argv[1]), head_pool=True);"
        "assert not {'viscy', 'monai', 'timm'} & set(sys.modules); sys.modules['timm'] = None;"
        "build_network(spec, state)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert "importing VisCy for its UNeXt2, which takes up to half a minute" in done.stderr
    assert "import of timm halted" in done.stderr  # which spares the test the time
