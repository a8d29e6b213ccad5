"""VisCy's `MixedLoss` for stacks, with means over windows that are fast on a CPU.

The loss is of Zhao et al., "Loss functions for image restoration with neural networks", IEEE Trans. Comput. Imaging 3,
47-57, 2017; its multi-scale structural similarity of Wang et al., "Multiscale structural similarity for image quality
assessment", Asilomar Conference on Signals, Systems and Computers, 2003.
"""

import torch
from torch.nn.functional import avg_pool2d, avg_pool3d, l1_loss, mse_loss
from viscy.translation.engine import MixedLoss

_WINDOW = 11  # pixels
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the finest scale to the coarsest
_LEAST = 1e-4  # of the similarity at a scale
_K1, _K2 = 0.01, 0.03


class StackLoss(MixedLoss):  # type: ignore[misc]  # VisCy is not typed
    """The same loss as VisCy's `MixedLoss`, to rounding errors.

    VisCy convolves stacks with windows of 11 x 11 pixels and all planes, in which training spends most of its time on a
    CPU. The mean over such a window is that over the planes, the rows and the columns, one after the other.
    """

    def forward(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of predictions (B, C, Z, Y, X), as a scalar."""
        with torch.autocast(preds.device.type, enabled=False):
            preds, target = preds.float(), target.float()
            loss = preds.new_zeros(())
            if self.l1_alpha:
                loss = loss + self.l1_alpha * l1_loss(preds, target)
            if self.l2_alpha:
                loss = loss + self.l2_alpha * mse_loss(preds, target)
            if self.ms_dssim_alpha:
                loss = loss + self.ms_dssim_alpha * (1 - _multi_scale_similarity(preds, target))
            return loss


def _multi_scale_similarity(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the structural similarity of stacks (B, C, Z, Y, X), averaged over the batch."""
    factors = []
    for scale, exponent in enumerate(_EXPONENTS):
        if scale:
            first, second = avg_pool3d(first, (1, 2, 2)), avg_pool3d(second, (1, 2, 2))
        similarity, contrast = _similarity(first, second)
        coarsest = scale == len(_EXPONENTS) - 1
        factors.append((similarity if coarsest else contrast).clamp(min=_LEAST) ** exponent)
    return torch.stack(factors).prod(0).mean()


def _similarity(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the structural similarity of each stack, (B,), and its factor of contrast and structure."""
    luminance_limit, contrast_limit = ((k * second.max()) ** 2 for k in (_K1, _K2))
    products = first.square(), second.square(), first * second
    mean, other, square, other_square, product = map(_window_means, (first, second, *products))
    contrast = (2 * (product - mean * other) + contrast_limit) / (
        square - mean.square() + other_square - other.square() + contrast_limit
    )
    luminance = (2 * mean * other + luminance_limit) / (mean.square() + other.square() + luminance_limit)
    return (luminance * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)


def _window_means(stack: torch.Tensor) -> torch.Tensor:
    """Return the means over windows of all planes: (B, C, Z, Y, X) -> (B, C, Y - 10, X - 10)."""
    return avg_pool2d(avg_pool2d(stack.mean(2), (_WINDOW, 1), stride=1), (1, _WINDOW), stride=1)
