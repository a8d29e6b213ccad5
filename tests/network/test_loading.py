"""Loading checkpoints: description, metadata and their priority, and the network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import published
from support.checkpoints import SMALL, VSCYTO2D, Save, assert_one_line, assert_refused, has_weights, random_weights

from image_translation.data.registry import REGISTRY_VARIABLE
from image_translation.errors import DataError
from image_translation.network import loading
from image_translation.network.architecture import Architecture
from image_translation.network.loading import ModelSpec, build_network, read_spec


@pytest.mark.parametrize("stated", [False, True])
def test_vscyto2d_is_read_and_built(network_class: Any, save: Save, stated: bool) -> None:
    with torch.random.fork_rng():
        state = random_weights(network_class, VSCYTO2D)
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
    network = build_network(spec, found)
    assert has_weights(network, state)
    assert not network.training
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 1, 16, 32)).shape == (1, 2, 1, 16, 32)


def test_plain_state_dict_in_half_precision(network_class: Any, tmp_path: Path) -> None:
    state = {name: weight.half() for name, weight in random_weights(network_class, SMALL, "").items()}
    torch.save(state, tmp_path / "plain.pt")
    network = build_network(*read_spec(tmp_path / "plain.pt"))
    assert has_weights(network, state, "")
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_metadata_of_the_checkpoint(tiny_model: tuple[ModelSpec, Any], tiny_checkpoint: Path) -> None:
    spec, _ = tiny_model
    assert (spec.normalization, spec.normalization_source) == ("mean_std", "checkpoint")
    assert (spec.input_channels, spec.output_channels) == (("Phase3D",), ("Nuclei", "Membrane"))
    assert (spec.description, spec.stride, spec.path) == ("a random network for tests", 4, tiny_checkpoint)


def test_sidecar_overrides_registry(
    network_class: Any, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(random_weights(network_class, SMALL))
    known = published.checkpoint(content=path.read_bytes()).with_entry(
        title="known", normalization="median_iqr", input_channels=["Phase3D"], output_channels=["A", "B"]
    )
    registry = published.write_registry(tmp_path / "own.toml", "https://example.org", [known])
    monkeypatch.setenv(REGISTRY_VARIABLE, str(registry))
    spec, _ = read_spec(path)
    assert (spec.normalization, spec.normalization_source, spec.description) == ("median_iqr", "registry", "known")
    Path(f"{path}.json").write_text(json.dumps({"normalization": "none", "output_channels": ["X", "Y"]}))
    spec, _ = read_spec(path)
    assert (spec.normalization, spec.normalization_source, spec.input_channels) == ("none", "sidecar", ("Phase3D",))
    assert spec.output_channels == ("X", "Y")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"normalization": "minmax"}, "'minmax'; allowed are median_iqr, mean_std, percentiles, none"),
        ({"statistics_over": "well"}, "statistics over 'well'; allowed are fov, timepoint, dataset"),
        ({"normalization": ["mean_std"]}, "allowed are median_iqr"),
        ({"output_channels": ["Nuclei"]}, "as output_channels; the network has 2"),
        ({"output_channels": ["A", 1]}, "as output_channels; the network has 2"),
        ({"output_channels": ["A", "A"]}, "'A' as one of the output_channels; names must differ"),
        ({"output_channels": ["A", ""]}, "'' as one of the output_channels"),
        ({"output_channels": ["A", "  "]}, "'  ' as one of the output_channels"),
        ({"output_channels": ["A", "B\nC"]}, r"'B\\nC' as one of the output_channels"),
        ({"output_channels": ["A", "B\x1b[0m"]}, r"'B\\x1b\[0m' as one of the output_channels"),
        ({"output_channels": ["A", 10**6 * "B"]}, "be printable, and have 1 to 80 characters"),
        ({"input_channels": "P"}, "as input_channels; the network has 1"),
        ({"pixel_size": 0.1}, "0.1 as pixel_size; it must be three positive numbers"),
        ({"pixel_size": [0.1, 0.1]}, "as pixel_size; it must be three positive numbers"),
        ({"pixel_size": [0.2, 0.1, 0]}, "as pixel_size"),
        ({"pixel_size": [0.2, 0.1, float("nan")]}, "as pixel_size"),
        ({"pixel_size": [0.2, 0.1, True]}, "as pixel_size"),
        ({"pixel_size": ["a", "b", "c"]}, "as pixel_size"),
        ({"pixel_size": [0.2, None, 0.1]}, "as pixel_size; .* null for z if it is unknown"),
        ({"pixel_size_um": -0.1}, "-0.1 as pixel_size_um; it must be a positive number"),
        ({"pixel_size_um": [0.1]}, "as pixel_size_um"),
        ({"format": 2}, "not in format 1"),
        ([], "not in format 1"),
    ],
)
def test_invalid_metadata_are_refused(network_class: Any, save: Save, metadata: Any, message: str) -> None:
    path = save(random_weights(network_class, SMALL), image_translation=metadata)
    with pytest.raises(DataError, match=message) as caught:
        read_spec(path)
    assert_one_line(caught.value, path)


def test_pixel_size_is_read_from_the_metadata(network_class: Any, save: Save) -> None:
    state = random_weights(network_class, SMALL)
    assert read_spec(save(state))[0].pixel_size is None
    assert read_spec(save(state, image_translation={"pixel_size": [0.2, 0.1, 1]}))[0].pixel_size == (0.2, 0.1, 1.0)
    path = save(state)
    Path(f"{path}.json").write_text('{"pixel_size": [0.25, 0.108, 0.108]}')
    assert read_spec(path)[0].pixel_size == (0.25, 0.108, 0.108)
    Path(f"{path}.json").write_text('{"pixel_size": [null, 0.1, 0.11]}')
    assert read_spec(path)[0].pixel_size == (None, 0.1, 0.11)


def test_pixel_size_of_a_training_is_that_in_y_and_x(network_class: Any, save: Save) -> None:
    state = random_weights(network_class, SMALL)
    path = save(state, image_translation={"pixel_size_um": 0.325})
    assert read_spec(path)[0].pixel_size == (None, 0.325, 0.325)
    assert read_spec(save(state, image_translation={"pixel_size_um": None}))[0].pixel_size is None
    path = save(state, image_translation={"pixel_size_um": 0.325})
    Path(f"{path}.json").write_text('{"pixel_size": [0.5, 0.3, 0.3]}')  # says more, so that z can be added
    assert read_spec(path)[0].pixel_size == (0.5, 0.3, 0.3)


def test_sidecar_that_is_not_json_is_refused(network_class: Any, save: Save) -> None:
    path = save(random_weights(network_class, SMALL))
    Path(f"{path}.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_spec(path)


def test_default_names_of_output_channels() -> None:
    assert [loading._default_output_channels(count) for count in (1, 2, 3)] == [
        ("Prediction",),
        ("Nuclei", "Membrane"),
        ("Prediction_0", "Prediction_1", "Prediction_2"),
    ]


def test_number_of_input_channels_is_checked(network_class: Any, save: Save, tiny_model: tuple[ModelSpec, Any]) -> None:
    tiny_model[0].require_in_channels(1)
    spec, _ = read_spec(save(random_weights(network_class, SMALL | {"in_channels": 2})))
    with pytest.raises(DataError, match="needs 2 channels, not 1"):
        spec.require_in_channels(1)


def test_reading_does_not_import_viscy(tiny_checkpoint: Path) -> None:
    code = (
        "import sys, pathlib; from image_translation.network.loading import read_spec;"
        "read_spec(pathlib.Path(sys.argv[1]));"
        "print(sorted({'viscy', 'monai', 'timm', 'lightning'} & set(sys.modules)))"
    )
    run = [sys.executable, "-W", "error", "-c", code, str(tiny_checkpoint)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_networks_that_would_pad_images_endlessly_are_refused(network_class: Any, save: Save) -> None:
    config = SMALL | {"encoder_blocks": [1] * 11, "dims": [8] * 11}
    assert_refused(save(random_weights(network_class, config)), "multiples of 2048 pixels; at most 1024 is supported")
