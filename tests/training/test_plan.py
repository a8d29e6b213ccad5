"""Plan of a training: normalisation, metadata, and errors that are found before anything is written."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from support.checkpoints import SMALL_ARCHITECTURE
from support.stores import write_image

from image_translation.errors import DataError, UsageError
from image_translation.network.fcmae import FCMAE
from image_translation.network.viscy_networks import UNeXt2Architecture, infer_viscy_architecture, make_viscy_network
from image_translation.training.plan import make_plan


def test_plan_of_a_store(options):
    plan = make_plan(options)
    assert plan.options == replace(options, normalization="mean_std")
    assert plan.device == torch.device("cpu")
    assert (len(plan.fields.train), len(plan.fields.held_out)) == (8, 2)
    assert plan.model_config["in_channels"] == plan.model_config["out_channels"] == 1
    assert plan.weights is None
    assert plan.metadata["input_channels"] == ["Phase3D"]
    assert plan.metadata["output_channels"] == ["Nuclei"]
    assert plan.metadata["data_sha256"] == plan.fields.sha256
    assert not options.output.exists()


@pytest.mark.parametrize(("stack", "expected"), [(3, [2.5, 0.25, 0.25]), (None, None)])
def test_distance_of_planes_is_in_the_metadata_of_stacks_only(options, tmp_path, stack, expected):
    data = np.random.default_rng(0).normal(size=(6, 2, 4, 32, 64)).astype(np.float32)
    micrometres = dict.fromkeys("zyx", "micrometer")
    path = write_image(
        tmp_path / "m.zarr", data, channels=("Phase3D", "Nuclei"), units=micrometres, scale=(1, 1, 2.5, 0.25, 0.25)
    )
    metadata = make_plan(replace(options, data=str(path), stack=stack)).metadata
    assert metadata["pixel_size_um"] == 0.25
    assert metadata.get("pixel_size") == expected


def test_the_images_of_a_tiff_are_trained_on(options, tmp_path):
    data = np.random.default_rng(0).normal(size=(6, 2, 32, 64)).astype(np.float32)
    metadata = {"axes": "TCYX", "Channel": {"Name": ["Phase3D", "Nuclei"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "m.ome.tif", data, metadata=metadata, photometric="minisblack")
    plan = make_plan(replace(options, data=str(tmp_path / "m.ome.tif"), interval=60.0))
    assert plan.metadata["pixel_size_um"] == 0.5
    assert plan.metadata["training"]["interval"] == 60
    for region in plan.fields.train:
        np.testing.assert_array_equal(plan.fields.read(region)[:, 0], data[region.frame])


def test_plan_of_simulated_fields(options):
    plan = make_plan(replace(options, data="simulated"))
    assert plan.fields is None
    assert plan.metadata["normalization"] == "mean_std"
    assert "not for research" in plan.metadata["description"]


def test_network_and_normalization_are_those_of_the_initial_checkpoint(options, tiny_checkpoint, tmp_path):
    content = torch.load(tiny_checkpoint, weights_only=True)
    content["image_translation"]["normalization"] = "median_iqr"
    torch.save(content, tmp_path / "initial.ckpt")
    given = replace(options, data="simulated", target=("Nuclei", "Membrane"), initial=str(tmp_path / "initial.ckpt"))
    plan = make_plan(given)
    assert plan.options.normalization == "median_iqr"
    assert plan.model_config["dims"] == (8, 16)
    assert plan.weights is not None
    assert make_plan(replace(given, normalization="none")).options.normalization == "none"


def test_channels_of_the_initial_checkpoint_must_match(options, tiny_checkpoint):
    given = replace(options, initial=str(tiny_checkpoint))
    with pytest.raises(UsageError, match=r"predicts 2 channels \(Nuclei, Membrane\), and --target names 1"):
        make_plan(given)
    with pytest.raises(DataError, match="the network needs 1 channels"):
        make_plan(replace(given, source=("Phase3D", "Nuclei"), target=("Membrane",)))


def test_only_networks_that_take_the_planes_of_the_training_are_trained_further(options, tmp_path):
    depth = replace(SMALL_ARCHITECTURE, in_stack_depth=5, stem_kernel_size=(5, 4, 4))
    networks = {"stack": FCMAE(depth), "pools": FCMAE(replace(SMALL_ARCHITECTURE, head_conv=True))}
    weights = {name: network.state_dict() for name, network in networks.items()}
    weights["u_net"] = {
        "down_conv_block_0.Conv2d_0.weight": torch.ones(4, 1, 3, 3),
        "bottom_transition_block.Conv2d_0.weight": torch.ones(8, 4, 3, 3),
        "terminal_block.Conv2d_0.weight": torch.ones(2, 4, 3, 3),
    }
    for name, state in weights.items():
        torch.save({key: weight + 0.01 for key, weight in state.items()}, tmp_path / f"{name}.pt")
    (tmp_path / "u_net.pt.json").write_text('{"residual": false, "task": "reg"}', encoding="utf-8")
    given = replace(options, data="simulated", target=("Nuclei", "Membrane"))
    with pytest.raises(
        UsageError, match="takes stacks of 5 planes, and the training is on single planes; use --stack 5"
    ):
        make_plan(replace(given, initial=str(tmp_path / "stack.pt")))
    with pytest.raises(UsageError, match="takes stacks of 5 planes, and the training is on stacks of 3; use"):
        make_plan(replace(given, initial=str(tmp_path / "stack.pt"), stack=3))
    with pytest.raises(UsageError, match="takes single planes, and the training is on stacks of 5; leave out"):
        make_plan(replace(given, initial=str(tmp_path / "pools.pt"), stack=5, head_pool=True))
    plan = make_plan(replace(given, initial=str(tmp_path / "stack.pt"), stack=5))
    assert (plan.architecture, plan.model_config["in_stack_depth"]) == ("UNeXt2_2D", 5)
    with pytest.raises(
        UsageError, match="a Unet2d; only networks of VisCy's FullyConvolutionalMAE and UNeXt2 are trained further"
    ):
        make_plan(replace(given, initial=str(tmp_path / "u_net.pt")))
    with pytest.raises(UsageError, match="--head-pool"):
        make_plan(replace(given, initial=str(tmp_path / "pools.pt")))
    plan = make_plan(replace(given, initial=str(tmp_path / "pools.pt"), head_pool=False))
    assert plan.model_config["head_conv_pool"] is False
    assert plan.options.request()["head_pool"] is False
    assert "head_pool" not in given.request()


@pytest.mark.parametrize(
    ("size", "stack", "stem"),
    [("small", 5, 5), ("small", 10, 5), ("small", 15, 15), ("small", 2, 2), ("full", 15, 5), ("full", 7, 7)],
)
def test_network_for_stacks_is_one_that_is_recognised_by_its_weights(options, tmp_path, size, stack, stem):
    plan = make_plan(replace(options, data="simulated", stack=stack, size=size))
    assert plan.architecture == "UNeXt2"
    assert plan.model_config["stem_kernel_size"] == (stem, 4, 4)
    assert plan.model_config["head_pool"] is True
    published = {"backbone": "convnextv2_tiny", "decoder_conv_blocks": 2, "head_expansion_ratio": 4}
    assert (plan.model_config.items() >= published.items()) is (size == "full")
    architecture = UNeXt2Architecture(**plan.model_config)
    weights = make_viscy_network(tmp_path, architecture).state_dict()
    found = infer_viscy_architecture(tmp_path, "UNeXt2", dict(weights), {"head_pool": True})
    assert found == architecture


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stack": 5}, "--stack 5: .* has only 1 plane; use a smaller stack, or train on single planes"),
        ({"device": "cuda:9"}, "--device cuda:9: not available"),
        ({"precision": "fp16"}, "not supported on the CPU"),
        ({"target": ("DAPI",)}, "has no channel DAPI"),
        ({"patch": 64}, "--patch 64: larger than the frames"),
        ({"validation": ("A/*/0",)}, "no image is left to train on"),
    ],
)
def test_errors_are_found_before_anything_is_written(options, wrong, message):
    with pytest.raises(UsageError, match=message):
        make_plan(replace(options, **wrong))
    assert not options.output.exists()
