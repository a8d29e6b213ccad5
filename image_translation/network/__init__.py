"""Read checkpoints of virtual staining networks, build the networks, and run them.

In: a checkpoint of VisCy, and normalised images (C, Y, X) or stacks (C, Z, Y, X). Out: a `ModelSpec` that describes the
checkpoint, predictions alike, and feature maps of every stage of the network. VisCy is imported only for those of its
networks that are not rebuilt here.

Start with `loading`, then `predictor`.

- `checkpoint`: read checkpoint files without executing code; `torch_file`: those of ``torch.save``
- `architecture`: recognise the network, and infer its hyper-parameters from the shapes of the weights
- `viscy_networks`: the same for the networks that run through VisCy
- `metadata`: what checkpoint, sidecar and registry state
- `loading`: checkpoint to description and network
- `fcmae`: VisCy's `FullyConvolutionalMAE` in plain PyTorch
- `pixel_size`, `resampling`: compare the pixels of movie and network; bring images to those of the network, and back
- `predictor`, `sliding_window`: predictions of images; of stacks, by a window that is slid along z
- `features`: predictions with the output of every stage
- `devices`, `compilation`: device, precision, memory and threads; networks compiled by ``torch.compile``
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
