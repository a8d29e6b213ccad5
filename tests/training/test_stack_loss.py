"""Loss of stacks: that of VisCy, and its gradient."""

import pytest
import torch


@pytest.mark.parametrize("weights", [(0.5, 0.0, 0.5), (0.0, 0.0, 1.0), (0.3, 0.7, 0.0)])
@pytest.mark.parametrize("depth", [2, 5])
def test_loss_and_gradient_are_those_of_viscy(network_class, weights, depth):
    from viscy.translation.engine import MixedLoss

    from image_translation.training.stack_loss import StackLoss

    generator = torch.Generator().manual_seed(depth)
    target = torch.randn((2, 2, depth, 176, 192), generator=generator)
    noise = torch.randn(target.shape, generator=generator)
    found = []
    for loss_class in (MixedLoss, StackLoss):
        predicted = (0.8 * target + 0.3 * noise).requires_grad_()
        loss = loss_class(*weights)(predicted, target)
        loss.backward()
        found.append((loss.detach(), predicted.grad))
    (expected, expected_slope), (loss, slope) = found
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-3, atol=1e-4 * float(expected_slope.abs().max()))
