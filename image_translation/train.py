"""Train the two bundled demonstration networks on simulated movies.

The networks are VisCy's `VSUNet` (Liu et al., Nature Machine Intelligence 7, 901-915, 2025), small enough to ship.
They show what the package does; they are no models for science.
"""

import math
import sys
import warnings
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from viscy.translation.engine import MixedLoss, VSUNet

from image_translation.errors import UsageError
from image_translation.patches import FIELD, Batches, Direction
from image_translation.simulate import CHANNELS

_ARCHITECTURE = "UNeXt2_2D"
_STRIDE = 16
_PEAK_RATE = 2e-3
_WARM_UP = 0.05  # share of the steps

_DESCRIPTION = {
    "phase2fluor": (
        "Demonstration, trained on simulated movies only, no model for science: phase to nuclei and membrane stains; "
        "typical stain is 1 and empty ground 0."
    ),
    "fluor2phase": (
        "Demonstration, trained on simulated movies only, no model for science: nuclei and membrane stains to phase "
        "in radians, as seen by steady optics."
    ),
}


def train_demo(
    direction: Direction,
    output: Path,
    *,
    steps: int = 3500,
    batch_size: int = 4,
    patch: int = 128,
    pool: int = 48,
    dims: tuple[int, ...] = (24, 48, 96, 192),
    seed: int = 0,
) -> None:
    """Train one of the demonstration networks on simulated movies and write its checkpoint.

    Parameters
    ----------
    direction
        ``"phase2fluor"``: from the phase to nuclei and membrane; ``"fluor2phase"``: the reverse.
    output
        File to write; its folder is made.
    steps
        Number of gradient steps.
    batch_size
        Patches in a step.
    patch
        Side of a patch in pixels, a multiple of 16.
    pool
        Simulated fields kept at a time; every second step replaces one of them.
    dims
        Channels of the stages of the encoder.
    seed
        The weights are a function of the arguments and, on one machine, of nothing else.

    Raises
    ------
    UsageError
        An argument is out of its range.
    """
    if direction not in _DESCRIPTION:
        raise UsageError(f"direction is {direction!r}; choose one of {', '.join(_DESCRIPTION)}")
    if patch % _STRIDE or not _STRIDE <= patch <= FIELD:
        raise UsageError(f"patch is {patch}; it must be a multiple of {_STRIDE} up to {FIELD}")
    for name, value in {"steps": steps, "batch_size": batch_size, "pool": pool}.items():
        if value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    model_config = _model_config(direction, dims)
    settings = {"steps": steps, "batch_size": batch_size, "patch": patch, "pool": pool, "seed": seed}
    batches = Batches(direction, batch_size=batch_size, patch=patch, pool=pool, seed=seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _fit(_DemoNet(model_config, steps), batches, steps).save_checkpoint(output, weights_only=True)
    versions = {name: version(name) for name in ("image-translation", "viscy", "torch", "lightning", "numpy", "scipy")}
    full = torch.load(output, map_location="cpu", weights_only=True)
    torch.save(strip_checkpoint(full, direction, model_config, {**settings, "versions": versions}), output)


def strip_checkpoint(
    full: dict[str, Any], direction: Direction, model_config: dict[str, Any], training: dict[str, Any]
) -> dict[str, Any]:
    """Keep of a Lightning checkpoint what predicting needs, and say what the network expects.

    Parameters
    ----------
    full
        Checkpoint as Lightning saves it.
    direction
        What the network was trained for.
    model_config
        Arguments of VisCy's network.
    training
        How it was trained; plain numbers and text.

    Returns
    -------
    Checkpoint of plain containers and half-precision tensors: it loads without running code.
    """
    inputs, outputs = _channels(direction)
    return {
        "epoch": full["epoch"],
        "global_step": full["global_step"],
        "pytorch-lightning_version": full["pytorch-lightning_version"],
        "state_dict": {name: weight.half() for name, weight in full["state_dict"].items()},
        "hyper_parameters": {"architecture": _ARCHITECTURE, "model_config": model_config},
        "image_translation": {
            "format": 1,
            "normalization": "mean_std",
            "input_channels": inputs,
            "output_channels": outputs,
            "pixel_size_um": None,
            "description": _DESCRIPTION[direction],
            "training": training,
        },
    }


def _channels(direction: Direction) -> tuple[list[str], list[str]]:
    phase, stains = list(CHANNELS[:1]), list(CHANNELS[1:])
    return (phase, stains) if direction == "phase2fluor" else (stains, phase)


def _model_config(direction: Direction, dims: tuple[int, ...]) -> dict[str, Any]:
    inputs, outputs = _channels(direction)
    return {
        "in_channels": len(inputs),
        "out_channels": len(outputs),
        "encoder_blocks": [1, 1, 2, 1],
        "dims": list(dims),
        "decoder_conv_blocks": 1,
        "stem_kernel_size": [1, 2, 2],
        "in_stack_depth": 1,
        "pretraining": False,
    }


class _DemoNet(VSUNet):  # type: ignore[misc]  # VisCy is not typed
    """VisCy's network with a learning rate that follows the steps, without the pictures VisCy logs."""

    def __init__(self, model_config: dict[str, Any], steps: int) -> None:
        loss = MixedLoss(l1_alpha=0.1, l2_alpha=0.9, ms_dssim_alpha=0.0)
        super().__init__(_ARCHITECTURE, model_config, loss_function=loss, lr=_PEAK_RATE)
        self._steps = steps

    def training_step(self, batch: dict[str, torch.Tensor], _batch_idx: int) -> torch.Tensor:
        """Compare the prediction of a batch with its target."""
        loss: torch.Tensor = self.loss_function(self(batch["source"]), batch["target"])
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log no pictures."""

    def configure_optimizers(self) -> dict[str, Any]:
        """Warm up linearly, then follow half a cosine to 0."""
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr)
        warm_up = max(1, round(_WARM_UP * self._steps))

        def rate(step: int) -> float:
            done = (step - warm_up) / max(1, self._steps - warm_up)
            return (step + 1) / warm_up if step < warm_up else 0.5 * (1 + math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _fit(network: _DemoNet, batches: Batches, steps: int) -> Trainer:
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=1,
        limit_train_batches=steps,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    # one process draws the batches, so that they do not depend on the number of cores; nothing is held out
    expected = ".*does not have many workers|.*no `val_dataloader`|.*LeafSpec"
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.filterwarnings("ignore", message=expected)
        trainer.fit(network, DataLoader(batches, batch_size=None))
    return trainer
