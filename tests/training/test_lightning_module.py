"""Lightning module: learning rate schedule, and gradients of the response normalisation."""

import numpy as np
import pytest
import torch


def test_a_channel_that_is_zero_everywhere_gives_finite_gradients(staining_module):
    from timm.layers.grn import GlobalResponseNorm  # takes seconds

    from image_translation.training.lightning_module import replace_response_norms

    network = torch.nn.Sequential(GlobalResponseNorm(4, channels_last=True))
    replace_response_norms(network)
    image = torch.zeros(1, 8, 8, 4, requires_grad=True)
    network(image).sum().backward()
    assert torch.isfinite(image.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters())


def test_learning_rate_warms_up_and_decays_to_zero(staining_module):
    network = staining_module(
        "UNeXt2_2D",
        {"in_channels": 1, "out_channels": 1, "encoder_blocks": [1, 1], "dims": [4, 8], "stem_kernel_size": [1, 2, 2],
         "in_stack_depth": 1, "decoder_conv_blocks": 1},
        loss=(1.0, 0.0, 0.0), rate=1e-3, steps=100, targets=("Nuclei",), metadata={},
    )  # fmt: skip
    parts = network.configure_optimizers()
    rates = []
    for _ in range(100):
        rates.append(parts["optimizer"].param_groups[0]["lr"])
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
    assert np.argmax(rates) == 5
    assert rates[5] == pytest.approx(1e-3)
    assert (np.diff(rates[5:]) < 0).all()
    assert rates[52] == pytest.approx(0.5e-3, rel=0.02)
    assert rates[-1] < 1e-6
