"""Lightning module of VisCy's network: loss, validation scores, learning rate schedule, and checkpoint metadata."""

from collections.abc import Mapping
from typing import Any

import torch
from monai.optimizers import WarmupCosineSchedule
from torchmetrics.functional import pearson_corrcoef
from viscy.translation.engine import MixedLoss, VSUNet

from image_translation.network.metadata import METADATA_KEY
from image_translation.training.stack_loss import StackLoss

LOSS, HELD_OUT_LOSS, PEARSON, RATE = "loss/train", "loss/validation", "pearson", "rate"

_MIN_ENERGY = 1e-24  # lower limit of the squared response of a channel
_WARM_UP = 0.05  # fraction of the steps
_EXAMPLES = 3  # validation fields to keep for the figure


class StainingModule(VSUNet):  # type: ignore[misc]  # VisCy is not typed
    """VisCy's `VSUNet` with a learning rate schedule by step, and checkpoints with metadata.

    The loss is VisCy's `MixedLoss` of L1, L2 and multi-scale structural dissimilarity (Zhao et al., Loss functions for
    image restoration with neural networks, IEEE Trans. Comput. Imaging 3, 47-57, 2017).

    Parameters
    ----------
    architecture
        VisCy's name of the network: "UNeXt2_2D" or "UNeXt2".
    model_config
        Hyper-parameters of VisCy's network.
    loss
        Weights of L1, L2 and MS-DSSIM.
    rate
        Highest learning rate.
    steps
        Total number of steps, for warm-up and cosine decay.
    targets
        Names of the target channels.
    metadata
        Metadata to store in checkpoints: normalization, channels, versions.
    """

    def __init__(
        self,
        architecture: str,
        model_config: dict[str, Any],
        *,
        loss: tuple[float, float, float],
        rate: float,
        steps: int,
        targets: tuple[str, ...],
        metadata: Mapping[str, Any],
    ) -> None:
        l1, l2, ms_dssim = loss
        loss_class = StackLoss if model_config["in_stack_depth"] > 1 else MixedLoss
        super().__init__(
            architecture,
            model_config | ({"pretraining": False} if architecture == "UNeXt2_2D" else {}),
            loss_function=loss_class(l1_alpha=l1, l2_alpha=l2, ms_dssim_alpha=ms_dssim),
            lr=rate,
        )
        replace_response_norms(self.model)
        self.example_input_array = None
        self.examples: list[dict[str, torch.Tensor]] = []
        self._hyper_parameters = {"architecture": architecture, "model_config": model_config}
        self._steps, self._targets, self._metadata = steps, targets, dict(metadata)

    def training_step(self, batch: dict[str, torch.Tensor], _batch_idx: int) -> torch.Tensor:
        """Compute the loss of a batch of patches."""
        loss: torch.Tensor = self.loss_function(self(batch["source"]), batch["target"])
        self.log(LOSS, loss, on_step=True, on_epoch=True, sync_dist=True, batch_size=len(batch["source"]))
        return loss

    def on_train_epoch_end(self) -> None:
        """Replace VisCy's logging of images."""

    def on_validation_epoch_start(self) -> None:
        """Discard the examples of the previous round."""
        self.examples = []

    def validation_step(self, batch: dict[str, torch.Tensor], number: int, _dataloader_idx: int = 0) -> None:
        """Compute loss and correlation of a validation field, and keep some fields as examples."""
        predicted = self(batch["source"]).float()
        scores = {HELD_OUT_LOSS: self.loss_function(predicted, batch["target"])}
        for channel, name in enumerate(self._targets):
            score = pearson_corrcoef(predicted[:, channel].flatten(), batch["target"][:, channel].flatten())
            scores[f"{PEARSON}/{name}"] = torch.nan_to_num(score)  # NaN for a field without stain
        self.log_dict(scores, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)
        every = max(1, self.trainer.num_val_batches[0] // _EXAMPLES)
        if number % every == 0 and len(self.examples) < _EXAMPLES:
            shown = {"source": batch["source"], "target": batch["target"], "predicted": predicted}
            middle = predicted.shape[2] // 2
            self.examples.append({side: images[0, :, middle].detach().float().cpu() for side, images in shown.items()})

    def on_validation_epoch_end(self) -> None:
        """Replace VisCy's logging of images."""

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW with a linear warm-up and a cosine decay to 0."""
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr)
        schedule = WarmupCosineSchedule(
            optimizer, warmup_steps=round(_WARM_UP * self._steps), t_total=self._steps, warmup_multiplier=0.01
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store hyper-parameters and metadata in the checkpoint."""
        checkpoint["hyper_parameters"] = self._hyper_parameters
        checkpoint[METADATA_KEY] = self._metadata


class _ResponseNorm(torch.nn.Module):
    """Global response normalisation (Woo et al., "ConvNeXt V2", CVPR 2023) with the weights and axes of timm's.

    On a CPU a norm over all but the last axis of a tensor is many times slower and less accurate than a sum of squares.
    Scaling in one pass instead of three saves two arrays of the size of the widest features.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias
        self._spatial, self._channel, self._shape = original.spatial_dim, original.channel_dim, original.wb_shape
        self._eps = original.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the square root has an infinite slope at 0, which a channel that is zero everywhere would reach
        response = x.float().square().sum(self._spatial, keepdim=True).clamp_min(_MIN_ENERGY).sqrt()
        relative = response / (response.mean(self._channel, keepdim=True) + self._eps)
        return torch.addcmul(self.bias.view(self._shape), x, 1 + self.weight.view(self._shape) * relative)


def replace_response_norms(network: torch.nn.Module) -> None:
    """Replace each global response normalisation of a network by a faster one with the same weights."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "GlobalResponseNorm":
                setattr(module, name, _ResponseNorm(child))
