"""Train a network that predicts channels from other channels, on an OME-Zarr store or on simulated fields.

In: `TrainOptions`. Out: ``best.ckpt``, which all commands can use, ``last.ckpt``, from which an interrupted training is
resumed, and the training history in the output directory. Options become a plan, which is run.

Start with `plan`, then `run`.

- `options`, `plan`: options of a training; options checked against data, checkpoint and device
- `run`: train, or resume a training
- `fields`, `simulated_fields`: images of a store, their split and statistics; simulated images
- `patches`, `augmentation`: Lightning data modules and patch sampler; transforms from fields to patches
- `lightning_module`, `stack_loss`: network, learning rate, checkpoint metadata; loss of stacks
- `callbacks`, `output_directory`: progress bar, history, checkpoints; lock, resumption and replacement of results
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
