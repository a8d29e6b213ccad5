"""What the explorer's page keeps while a person moves its controls: loaded networks, and what they made of images."""

import gc
import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation import data
from image_translation.explorer.inspector import Inspector, NetworkInput, View
from image_translation.explorer.presets import is_label_free
from image_translation.network.devices import empty_cache
from image_translation.network.features import Placement
from image_translation.network.loading import ModelSpec
from image_translation.omezarr.selection import PREFERRED_CHANNEL
from image_translation.omezarr.store import Position

MEMORY = 2**30  # bytes of features that are kept

_Seen = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, Placement]]


class Explorer:
    """Networks that stay loaded, and what they made of the last images.

    A network stays as long as its checkpoint is the one of its slot; its memory, on the GPU too, is free before the
    next one is loaded. What it made of an image is known by the checkpoint's sum and by the pixels that it was shown,
    so that it is right whatever leads to them; the last ones are kept, up to `memory` bytes.

    Parameters
    ----------
    device
        See `devices.resolve_device`.
    memory
        In bytes, of features that are kept; the last view is kept in any case.
    """

    def __init__(self, device: str = "auto", memory: int = MEMORY) -> None:
        self._device, self._memory = device, memory
        self._slots: dict[str, tuple[tuple[object, ...], Inspector]] = {}
        self._seen: OrderedDict[tuple[str, bytes, tuple[int, ...]], _Seen] = OrderedDict()

    def network(self, slot: str, checkpoint: str) -> Inspector:
        """Return the network of a checkpoint, which takes the place of the one that was in the slot.

        Parameters
        ----------
        slot
            Such as "first" or "second".
        checkpoint
            Path, or a name that `data.resolve_checkpoint` knows.

        Raises
        ------
        UsageError, DataError
            As `data.resolve_checkpoint` and `loading.read_spec`; what was in the slot then stays.
        """
        path = data.resolve_checkpoint(checkpoint)
        key = (path.resolve(), *_state_of(path), *_state_of(path.with_name(f"{path.name}.json")))
        inspector = next((one for known, one in self._slots.values() if known == key), None)
        if inspector is None:
            inspector = Inspector(str(path), device=self._device)
        if self._slots.get(slot, (key, inspector))[1] is not inspector:
            self.release(slot)
        self._slots[slot] = (key, inspector)
        return inspector

    def release(self, slot: str) -> None:
        """Let go of the network in a slot, and of the memory that no other slot needs."""
        if self._slots.pop(slot, None) is None:
            return
        gc.collect()  # modules and their hooks hold each other
        empty_cache()

    def see(self, inspector: Inspector, shown: NetworkInput) -> View:
        """Return what a network makes of what it is shown; from memory if it has been shown it before."""
        key = (inspector.spec.sha256, hashlib.sha256(shown.image.tobytes()).digest(), shown.image.shape)
        if key not in self._seen:
            view = inspector.see(shown)
            self._seen[key] = view.prediction, view.features, view.placements
            while len(self._seen) > 1 and sum(map(_size, self._seen.values())) > self._memory:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return View(shown.image, shown.image_channels, shown.truth, *self._seen[key])


def likely_channels(spec: ModelSpec, position: Position) -> tuple[str, ...]:
    """Choose what to show a network first, where nobody has said it; there may be fewer than the network takes.

    Those that it was trained with, if the image has them. Otherwise a label-free channel for a network of one input,
    and the fluorescence for one of several, by their names.
    """
    names, wanted = position.channels, spec.architecture.in_channels
    if spec.input_channels and set(spec.input_channels) <= set(names):
        return spec.input_channels
    if wanted == 1:
        if PREFERRED_CHANNEL in names:
            return (PREFERRED_CHANNEL,)
        return tuple(sorted(names, key=lambda name: not is_label_free(name))[:1])
    return tuple(sorted(names, key=is_label_free)[:wanted])


def _state_of(path: Path) -> tuple[object, ...]:
    """Tell a file from another one that has taken its place."""
    if not path.exists():
        return (None,)
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _size(seen: _Seen) -> int:
    prediction, features, _ = seen
    return prediction.nbytes + sum(array.nbytes for array in features.values())
