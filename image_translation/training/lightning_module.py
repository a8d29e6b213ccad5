"""VisCy's network as it is trained here: its loss, its learning rate, and what its checkpoints say of themselves."""

from collections.abc import Mapping
from typing import Any

import torch
from monai.optimizers import WarmupCosineSchedule
from torchmetrics.functional import pearson_corrcoef
from viscy.translation.engine import MixedLoss, VSUNet

from image_translation.network.loading import METADATA_KEY

ARCHITECTURE = "UNeXt2_2D"
LOSS, HELD_OUT_LOSS, PEARSON, RATE = "loss/train", "loss/validation", "pearson", "rate"

_SILENT = 1e-24  # square of a response that is none
_WARM_UP = 0.05  # share of the steps
_EXAMPLES = 3  # fields that are shown


class StainingNetwork(VSUNet):  # type: ignore[misc]  # VisCy is not typed
    """VisCy's `VSUNet` with a rate that follows the steps, and checkpoints that every command can use.

    Its loss is VisCy's `MixedLoss`, of L1, L2 and multi-scale structural dissimilarity (Zhao et al., Loss functions for
    image restoration with neural networks, IEEE Trans. Comput. Imaging 3, 47-57, 2017).

    Parameters
    ----------
    model_config
        Arguments of VisCy's network.
    loss
        Weights of L1, L2 and MS-DSSIM.
    rate
        Highest learning rate.
    steps
        Length of the training, for the warm-up and the cosine.
    targets
        Names of the channels that are predicted.
    told
        What checkpoints say: normalization, channels, versions.
    """

    def __init__(
        self,
        model_config: dict[str, Any],
        *,
        loss: tuple[float, float, float],
        rate: float,
        steps: int,
        targets: tuple[str, ...],
        told: Mapping[str, Any],
    ) -> None:
        l1, l2, ms_dssim = loss
        super().__init__(
            ARCHITECTURE,
            model_config | {"pretraining": False},
            loss_function=MixedLoss(l1_alpha=l1, l2_alpha=l2, ms_dssim_alpha=ms_dssim),
            lr=rate,
        )
        replace_response_norms(self.model)
        self.example_input_array = None
        self.examples: list[dict[str, torch.Tensor]] = []
        self._model_config, self._steps, self._targets, self._told = model_config, steps, targets, dict(told)

    def training_step(self, batch: dict[str, torch.Tensor], _batch_idx: int) -> torch.Tensor:
        """Compare the prediction of a batch of patches with its target."""
        loss: torch.Tensor = self.loss_function(self(batch["source"]), batch["target"])
        self.log(LOSS, loss, on_step=True, on_epoch=True, sync_dist=True, batch_size=len(batch["source"]))
        return loss

    def on_train_epoch_end(self) -> None:
        """Log no pictures here, as VisCy would."""

    def on_validation_epoch_start(self) -> None:
        """Forget the examples of the round before."""
        self.examples = []

    def validation_step(self, batch: dict[str, torch.Tensor], number: int, _dataloader_idx: int = 0) -> None:
        """Compare the prediction of a field that is held out with the truth."""
        predicted = self(batch["source"]).float()
        scores = {HELD_OUT_LOSS: self.loss_function(predicted, batch["target"])}
        for channel, name in enumerate(self._targets):
            found = pearson_corrcoef(predicted[:, channel].flatten(), batch["target"][:, channel].flatten())
            scores[f"{PEARSON}/{name}"] = torch.nan_to_num(found)  # a field without a trace of the stain
        self.log_dict(scores, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)
        every = max(1, self.trainer.num_val_batches[0] // _EXAMPLES)
        if number % every == 0 and len(self.examples) < _EXAMPLES:
            shown = {"source": batch["source"], "target": batch["target"], "predicted": predicted}
            self.examples.append({side: images[0, :, 0].detach().float().cpu() for side, images in shown.items()})

    def on_validation_epoch_end(self) -> None:
        """Log no pictures here, as VisCy would."""

    def configure_optimizers(self) -> dict[str, Any]:
        """Warm up linearly, then follow half a cosine to 0."""
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr)
        schedule = WarmupCosineSchedule(
            optimizer, warmup_steps=round(_WARM_UP * self._steps), t_total=self._steps, warmup_multiplier=0.01
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint what the network is, and what it expects."""
        checkpoint["hyper_parameters"] = {"architecture": ARCHITECTURE, "model_config": self._model_config}
        checkpoint[METADATA_KEY] = self._told


class _ResponseNorm(torch.nn.Module):
    """Global response normalisation (Woo et al., "ConvNeXt V2", CVPR 2023) with the weights and axes of timm's.

    On a CPU the norm over all but the last axis of a tensor is many times slower than the sum of its squares, and less
    exact; and scaling in one pass instead of three spares two arrays of the size of the widest features.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias
        self._spatial, self._channel, self._shape = original.spatial_dim, original.channel_dim, original.wb_shape
        self._eps = original.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the slope of the root is infinite at 0, which a channel that is silent everywhere would make of it in training
        response = x.float().square().sum(self._spatial, keepdim=True).clamp_min(_SILENT).sqrt()
        relative = response / (response.mean(self._channel, keepdim=True) + self._eps)
        return torch.addcmul(self.bias.view(self._shape), x, 1 + self.weight.view(self._shape) * relative)


def replace_response_norms(network: torch.nn.Module) -> None:
    """Put a faster global response normalisation, of the same weights, in the place of each one of a network."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "GlobalResponseNorm":
                setattr(module, name, _ResponseNorm(child))
